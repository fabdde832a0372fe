//! llama.cpp: the names that its graph gives to tensors (`cb(cur, "attn_norm", il)`), as `llama-eval-callback` prints them.

use loupe_spec::{Probe, Stage};

use super::{Dialect, Holds, l};

/// The builder of Gemma 2 and the functions that it shares with other models (`build_attn_mha`, `build_ffn`).
///
/// `Qcur`, `Kcur` and `Vcur` are each named before the rotation and again after it.
pub(super) static LLAMA_CPP: Dialect = Dialect {
    name: "llama.cpp's graph",
    roots: &[""],
    layers: &[],
    in_layer: &[],
    elsewhere: &[
        ("inp_tokens", Holds::Values(&[Probe::TokenIds])),
        ("embd", Holds::Values(&[Probe::EmbedRaw])),
        ("inp_embd", Holds::Values(&[Probe::EmbedRaw])),
        ("inp_scaled", Holds::Values(&[Probe::EmbedScaled])),
        ("attn_norm-{l}", Holds::Values(&[l(Stage::InputLayernorm)])),
        ("Qcur-{l}", Holds::Values(&[l(Stage::QRope), l(Stage::QProj)])),
        ("Kcur-{l}", Holds::Values(&[l(Stage::KRope), l(Stage::KProj)])),
        ("Vcur-{l}", Holds::Values(&[l(Stage::VProj)])),
        ("kq-{l}", Holds::Values(&[l(Stage::Scores)])),
        ("kq_scaled_2-{l}", Holds::Values(&[l(Stage::ScoresCapped)])),
        ("kq_soft_max-{l}", Holds::Values(&[l(Stage::Probs)])),
        ("kq_soft_max_ext-{l}", Holds::Values(&[l(Stage::Probs)])),
        ("kqv-{l}", Holds::Values(&[l(Stage::Context)])),
        ("kqv_merged_cont-{l}", Holds::Values(&[l(Stage::Context)])),
        ("kqv_out-{l}", Holds::Values(&[l(Stage::Context), l(Stage::OProj)])),
        ("attn_out-{l}", Holds::Values(&[l(Stage::OProj)])),
        ("attn_post_norm-{l}", Holds::Values(&[l(Stage::PostAttentionLayernorm)])),
        ("sa_out-{l}", Holds::Values(&[l(Stage::ResidualAttn)])),
        ("ffn_inp-{l}", Holds::Values(&[l(Stage::ResidualAttn)])),
        ("ffn_norm-{l}", Holds::Values(&[l(Stage::PreFeedforwardLayernorm)])),
        ("ffn_gate-{l}", Holds::Values(&[l(Stage::GateProj)])),
        ("ffn_up-{l}", Holds::Values(&[l(Stage::UpProj)])),
        ("ffn_gelu-{l}", Holds::Values(&[l(Stage::Act)])),
        ("ffn_geglu-{l}", Holds::Values(&[l(Stage::Gated)])),
        ("ffn_gate_par-{l}", Holds::Values(&[l(Stage::Gated)])),
        ("ffn_out-{l}", Holds::Values(&[l(Stage::DownProj)])),
        ("ffn_post_norm-{l}", Holds::Values(&[l(Stage::PostFeedforwardLayernorm)])),
        ("l_out-{l}", Holds::Values(&[l(Stage::Output)])),
        ("result_norm", Holds::Values(&[Probe::Norm])),
        ("result_output", Holds::Values(&[Probe::Logits])),
        ("norm-{l}", Holds::Nothing("normalised, before the weight")),
        ("kq_scaled_1-{l}", Holds::Nothing("scores divided by the cap, before the tanh")),
        ("kq_tanh-{l}", Holds::Nothing("the tanh of the scores, before it is multiplied by the cap")),
        ("kq_mask", Holds::Nothing("the mask with room for more keys than the prompt has")),
        ("inp_pos", Holds::Nothing("positions")),
    ],
    tails: &[],
};
