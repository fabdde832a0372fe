//! vLLM: the outputs of its modules, several of which return two tensors (`.0` and `.1`).

use super::{Dialect, Holds};

/// Modules of `Gemma2ForCausalLM`. A norm that is given a residual returns the normed sum and the sum; a layer returns what its
/// MLP adds and the residual that it is still to be added to.
pub(super) static VLLM: Dialect = Dialect {
    name: "vLLM modules",
    roots: &["", "model."],
    layers: &["layers.{l}."],
    after: &[],
    in_layer: &[
        ("input_layernorm.0", Holds::Values(&["input_layernorm"])),
        ("input_layernorm.1", Holds::Values(&["input"])),
        ("self_attn.qkv_proj", Holds::Fused(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"])),
        ("self_attn.qkv_proj.0", Holds::Fused(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"])),
        ("self_attn.rotary_emb.0", Holds::Values(&["self_attn.q_rope"])),
        ("self_attn.rotary_emb.1", Holds::Values(&["self_attn.k_rope"])),
        ("self_attn.attn", Holds::Values(&["self_attn.context"])),
        ("self_attn.o_proj.0", Holds::Values(&["self_attn.o_proj"])),
        ("pre_feedforward_layernorm.0", Holds::Values(&["pre_feedforward_layernorm"])),
        ("pre_feedforward_layernorm.1", Holds::Values(&["residual_attn"])),
        ("mlp.gate_up_proj", Holds::Fused(&["mlp.gate_proj", "mlp.up_proj"])),
        ("mlp.gate_up_proj.0", Holds::Fused(&["mlp.gate_proj", "mlp.up_proj"])),
        ("mlp.act_fn", Holds::Values(&["mlp.gated"])),
        ("mlp.down_proj.0", Holds::Values(&["mlp.down_proj"])),
        ("0", Holds::Values(&["post_feedforward_layernorm", "output"])),
        ("1", Holds::Values(&["residual_attn"])),
    ],
    elsewhere: &[("norm.0", Holds::Values(&["norm"])), ("logits_processor", Holds::Values(&["logits"]))],
    tails: &[],
};
