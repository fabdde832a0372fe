//! TransformerLens: its hook points, as `run_with_cache` returns them.

use loupe_spec::{Probe, Stage};

use super::{Dialect, Holds, l};

/// `HookedTransformer` with `use_normalization_before_and_after`, as Gemma 2 has it.
pub(super) static TRANSFORMER_LENS: Dialect = Dialect {
    name: "TransformerLens hooks",
    roots: &[""],
    layers: &["blocks.{l}."],
    after: &[],
    in_layer: &[
        ("hook_resid_pre", Holds::Values(&[l(Stage::Input)])),
        ("hook_resid_mid", Holds::Values(&[l(Stage::ResidualAttn)])),
        ("hook_resid_post", Holds::Values(&[l(Stage::Output)])),
        ("hook_attn_in", Holds::Values(&[l(Stage::Input)])),
        ("hook_mlp_in", Holds::Values(&[l(Stage::ResidualAttn)])),
        ("hook_attn_out", Holds::Values(&[l(Stage::PostAttentionLayernorm), l(Stage::OProj)])),
        ("hook_mlp_out", Holds::Values(&[l(Stage::PostFeedforwardLayernorm), l(Stage::DownProj)])),
        ("attn.hook_q", Holds::Values(&[l(Stage::QProj)])),
        ("attn.hook_k", Holds::Values(&[l(Stage::KProj)])),
        ("attn.hook_v", Holds::Values(&[l(Stage::VProj)])),
        ("attn.hook_rot_q", Holds::Values(&[l(Stage::QRope)])),
        ("attn.hook_rot_k", Holds::Values(&[l(Stage::KRope)])),
        ("attn.hook_attn_scores", Holds::Values(&[l(Stage::ScoresCapped)])),
        ("attn.hook_pattern", Holds::Values(&[l(Stage::Probs)])),
        ("attn.hook_z", Holds::Values(&[l(Stage::Context)])),
        ("mlp.hook_pre", Holds::Values(&[l(Stage::GateProj)])),
        ("mlp.hook_pre_linear", Holds::Values(&[l(Stage::UpProj)])),
        ("mlp.hook_post", Holds::Values(&[l(Stage::Gated)])),
        ("attn.hook_result", Holds::Nothing("each head's share of o_proj's output")),
        ("ln1.hook_normalized", Holds::Nothing("normalised, before the weight")),
        ("ln1_post.hook_normalized", Holds::Nothing("normalised, before the weight")),
        ("ln2.hook_normalized", Holds::Nothing("normalised, before the weight")),
        ("ln2_post.hook_normalized", Holds::Nothing("normalised, before the weight")),
        ("ln1.hook_scale", Holds::Nothing("what a norm divides by")),
        ("ln1_post.hook_scale", Holds::Nothing("what a norm divides by")),
        ("ln2.hook_scale", Holds::Nothing("what a norm divides by")),
        ("ln2_post.hook_scale", Holds::Nothing("what a norm divides by")),
    ],
    elsewhere: &[
        ("tokens", Holds::Values(&[Probe::TokenIds])),
        ("hook_embed", Holds::Values(&[Probe::EmbedScaled])),
        ("ln_final.hook_normalized", Holds::Nothing("normalised, before the weight")),
        ("ln_final.hook_scale", Holds::Nothing("what a norm divides by")),
    ],
    tails: &[],
};
