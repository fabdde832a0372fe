//! llama.cpp: the names that its graph gives to tensors (`cb(cur, "attn_norm", il)`), as `llama-eval-callback` prints them.

use loupe_spec::{Probe, Stage};

use super::{Dialect, Holds, l};

/// The builder of Gemma 2 and the functions that it shares with other models (`build_attn_mha`, `build_ffn`).
///
/// `Qcur`, `Kcur` and `Vcur` are each named before the rotation and again after it.
pub(super) static LLAMA_CPP: Dialect = Dialect {
    name: "llama.cpp's graph",
    roots: &[""],
    // Logs of people who port it.
    layers: &["blk.{l}.", "layer_{l}."],
    after: &["-{l}"],
    in_layer: &[
        ("attn_norm", Holds::Values(&[l(Stage::InputLayernorm)])),
        ("Qcur", Holds::Values(&[l(Stage::QRope), l(Stage::QProj)])),
        ("Kcur", Holds::Values(&[l(Stage::KRope), l(Stage::KProj)])),
        ("Vcur", Holds::Values(&[l(Stage::VProj)])),
        ("kq", Holds::Values(&[l(Stage::Scores)])),
        ("kq_scaled_2", Holds::Values(&[l(Stage::ScoresCapped)])),
        ("kq_soft_max", Holds::Values(&[l(Stage::Probs)])),
        ("kq_soft_max_ext", Holds::Values(&[l(Stage::Probs)])),
        ("kqv", Holds::Values(&[l(Stage::Context)])),
        ("kqv_merged_cont", Holds::Values(&[l(Stage::Context)])),
        ("kqv_out", Holds::Values(&[l(Stage::Context), l(Stage::OProj)])),
        ("attn_out", Holds::Values(&[l(Stage::OProj)])),
        ("attn_post_norm", Holds::Values(&[l(Stage::PostAttentionLayernorm)])),
        ("sa_out", Holds::Values(&[l(Stage::ResidualAttn)])),
        ("ffn_inp", Holds::Values(&[l(Stage::ResidualAttn)])),
        ("ffn_norm", Holds::Values(&[l(Stage::PreFeedforwardLayernorm)])),
        ("ffn_gate", Holds::Values(&[l(Stage::GateProj)])),
        ("ffn_up", Holds::Values(&[l(Stage::UpProj)])),
        ("ffn_gelu", Holds::Values(&[l(Stage::Act)])),
        ("ffn_geglu", Holds::Values(&[l(Stage::Gated)])),
        ("ffn_gate_par", Holds::Values(&[l(Stage::Gated)])),
        ("ffn_out", Holds::Values(&[l(Stage::DownProj)])),
        ("ffn_post_norm", Holds::Values(&[l(Stage::PostFeedforwardLayernorm)])),
        ("l_out", Holds::Values(&[l(Stage::Output)])),
        ("norm", Holds::Nothing("normalised, before the weight")),
        ("kq_scaled_1", Holds::Nothing("scores divided by the cap, before the tanh")),
        ("kq_tanh", Holds::Nothing("the tanh of the scores, before it is multiplied by the cap")),
    ],
    elsewhere: &[
        ("inp_tokens", Holds::Values(&[Probe::TokenIds])),
        ("embd", Holds::Values(&[Probe::EmbedRaw])),
        ("inp_embd", Holds::Values(&[Probe::EmbedRaw])),
        ("inp_scaled", Holds::Values(&[Probe::EmbedScaled])),
        ("result_norm", Holds::Values(&[Probe::Norm])),
        ("result_output", Holds::Values(&[Probe::Logits])),
        ("kq_mask", Holds::Nothing("the mask with room for more keys than the prompt has")),
        ("inp_pos", Holds::Nothing("positions")),
    ],
    tails: &[],
};
