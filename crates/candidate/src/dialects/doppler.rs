//! DOPPLER: the stages of its probes and of its reference scripts (`layer_<i>/<stage>.npy`).

use loupe_spec::{Probe, Stage};

use super::{Dialect, Holds, l};

/// Stage names, in the order of a forward pass.
pub(super) static DOPPLER: Dialect = Dialect {
    name: "DOPPLER stages",
    roots: &[""],
    layers: &["layer_{l}.", "layers.{l}.", "layer{l}.", "L{l}."],
    after: &[],
    in_layer: &[
        ("layer_in", Holds::Values(&[l(Stage::Input)])),
        ("post_input_norm", Holds::Values(&[l(Stage::InputLayernorm)])),
        ("attn_normed", Holds::Values(&[l(Stage::InputLayernorm)])),
        ("q_proj", Holds::Values(&[l(Stage::QProj)])),
        ("k_proj", Holds::Values(&[l(Stage::KProj)])),
        ("v_proj", Holds::Values(&[l(Stage::VProj)])),
        ("q_rope", Holds::Values(&[l(Stage::QRope)])),
        ("k_rope", Holds::Values(&[l(Stage::KRope)])),
        ("attn_scores", Holds::Values(&[l(Stage::Scores), l(Stage::ScoresCapped)])),
        ("attn_core_out", Holds::Values(&[l(Stage::Context)])),
        ("attn_out", Holds::Values(&[l(Stage::OProj), l(Stage::Context), l(Stage::PostAttentionLayernorm)])),
        ("o_proj", Holds::Values(&[l(Stage::OProj)])),
        ("post_attn", Holds::Values(&[l(Stage::ResidualAttn), l(Stage::PostAttentionLayernorm)])),
        ("ffn_normed", Holds::Values(&[l(Stage::PreFeedforwardLayernorm)])),
        ("ffn_in", Holds::Values(&[l(Stage::PreFeedforwardLayernorm), l(Stage::ResidualAttn)])),
        ("ffn_gate", Holds::Values(&[l(Stage::GateProj)])),
        ("ffn_up", Holds::Values(&[l(Stage::UpProj)])),
        ("ffn_act", Holds::Values(&[l(Stage::Gated), l(Stage::Act)])),
        ("ffn_out", Holds::Values(&[l(Stage::DownProj), l(Stage::PostFeedforwardLayernorm)])),
        ("layer_out", Holds::Values(&[l(Stage::Output)])),
    ],
    elsewhere: &[
        ("embed_out", Holds::Values(&[Probe::EmbedScaled])),
        ("pre_final_norm", Holds::Nothing("the last layer's output; call it by that name to have it judged")),
        ("final_norm", Holds::Values(&[Probe::Norm])),
        ("logits", Holds::Values(&[Probe::LogitsRaw])),
        ("logits_final", Holds::Values(&[Probe::Logits])),
    ],
    tails: &[],
};

/// The same stages as the records of its operator diagnostics call them: `layer.12.attn.q_proj`.
pub(super) static DOPPLER_OPERATORS: Dialect = Dialect {
    name: "DOPPLER operators",
    roots: &[""],
    layers: &["layer.{l}."],
    after: &[],
    in_layer: &[
        ("attn.post_input_norm", Holds::Values(&[l(Stage::InputLayernorm)])),
        ("attn.normed", Holds::Values(&[l(Stage::InputLayernorm)])),
        ("attn.q_proj", Holds::Values(&[l(Stage::QProj)])),
        ("attn.k_proj", Holds::Values(&[l(Stage::KProj)])),
        ("attn.v_proj", Holds::Values(&[l(Stage::VProj)])),
        ("attn.q_rope", Holds::Values(&[l(Stage::QRope)])),
        ("attn.k_rope", Holds::Values(&[l(Stage::KRope)])),
        ("attn.scores", Holds::Values(&[l(Stage::Scores), l(Stage::ScoresCapped)])),
        ("attn.softmax", Holds::Values(&[l(Stage::Probs)])),
        ("attn.core_out", Holds::Values(&[l(Stage::Context)])),
        ("attn.out", Holds::Values(&[l(Stage::OProj), l(Stage::Context), l(Stage::PostAttentionLayernorm)])),
        ("attn.o_proj", Holds::Values(&[l(Stage::OProj)])),
        ("attn.post_attn", Holds::Values(&[l(Stage::ResidualAttn), l(Stage::PostAttentionLayernorm)])),
        ("ffn.normed", Holds::Values(&[l(Stage::PreFeedforwardLayernorm)])),
        ("ffn.in", Holds::Values(&[l(Stage::PreFeedforwardLayernorm), l(Stage::ResidualAttn)])),
        ("ffn.gate", Holds::Values(&[l(Stage::GateProj)])),
        ("ffn.up", Holds::Values(&[l(Stage::UpProj)])),
        ("ffn.act", Holds::Values(&[l(Stage::Gated), l(Stage::Act)])),
        ("ffn.out", Holds::Values(&[l(Stage::DownProj), l(Stage::PostFeedforwardLayernorm)])),
        ("layer.out", Holds::Values(&[l(Stage::Output)])),
    ],
    elsewhere: &[
        ("embed.out", Holds::Values(&[Probe::EmbedScaled])),
        ("final_norm.pre", Holds::Nothing("the last layer's output; call it by that name to have it judged")),
        ("final_norm.out", Holds::Values(&[Probe::Norm])),
        ("logits.out", Holds::Values(&[Probe::LogitsRaw])),
        ("logits.final", Holds::Values(&[Probe::Logits])),
    ],
    tails: &[],
};
