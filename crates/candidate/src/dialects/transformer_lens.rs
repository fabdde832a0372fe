//! TransformerLens: its hook points, as `run_with_cache` returns them.

use super::{Dialect, Holds};

/// `HookedTransformer` with `use_normalization_before_and_after`, as Gemma 2 has it.
pub(super) static TRANSFORMER_LENS: Dialect = Dialect {
    name: "TransformerLens hooks",
    roots: &[""],
    layers: &["blocks.{l}."],
    after: &[],
    in_layer: &[
        ("hook_resid_pre", Holds::Values(&["input"])),
        ("hook_resid_mid", Holds::Values(&["residual_attn"])),
        ("hook_resid_post", Holds::Values(&["output"])),
        ("hook_attn_in", Holds::Values(&["input"])),
        ("hook_mlp_in", Holds::Values(&["residual_attn"])),
        ("hook_attn_out", Holds::Values(&["post_attention_layernorm", "self_attn.o_proj"])),
        ("hook_mlp_out", Holds::Values(&["post_feedforward_layernorm", "mlp.down_proj"])),
        ("attn.hook_q", Holds::Values(&["self_attn.q_proj"])),
        ("attn.hook_k", Holds::Values(&["self_attn.k_proj"])),
        ("attn.hook_v", Holds::Values(&["self_attn.v_proj"])),
        ("attn.hook_rot_q", Holds::Values(&["self_attn.q_rope"])),
        ("attn.hook_rot_k", Holds::Values(&["self_attn.k_rope"])),
        ("attn.hook_attn_scores", Holds::Values(&["self_attn.scores_capped"])),
        ("attn.hook_pattern", Holds::Values(&["self_attn.probs"])),
        ("attn.hook_z", Holds::Values(&["self_attn.context"])),
        ("mlp.hook_pre", Holds::Values(&["mlp.gate_proj"])),
        ("mlp.hook_pre_linear", Holds::Values(&["mlp.up_proj"])),
        ("mlp.hook_post", Holds::Values(&["mlp.gated"])),
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
        ("tokens", Holds::Values(&["token_ids"])),
        ("hook_embed", Holds::Values(&["embed.scaled"])),
        ("ln_final.hook_normalized", Holds::Nothing("normalised, before the weight")),
        ("ln_final.hook_scale", Holds::Nothing("what a norm divides by")),
    ],
    tails: &[],
};
