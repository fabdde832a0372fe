//! DOPPLER: the stages of its probes and of its reference scripts (`layer_<i>/<stage>.npy`).

use super::{Dialect, Holds};

/// Stage names, in the order of a forward pass.
pub(super) static DOPPLER: Dialect = Dialect {
    name: "DOPPLER stages",
    roots: &[""],
    layers: &["layer_{l}.", "layers.{l}.", "layer{l}.", "L{l}."],
    after: &[],
    in_layer: &[
        ("layer_in", Holds::Values(&["input"])),
        ("post_input_norm", Holds::Values(&["input_layernorm"])),
        ("attn_normed", Holds::Values(&["input_layernorm"])),
        ("q_proj", Holds::Values(&["self_attn.q_proj"])),
        ("k_proj", Holds::Values(&["self_attn.k_proj"])),
        ("v_proj", Holds::Values(&["self_attn.v_proj"])),
        ("q_rope", Holds::Values(&["self_attn.q_rope"])),
        ("k_rope", Holds::Values(&["self_attn.k_rope"])),
        ("attn_scores", Holds::Values(&["self_attn.scores", "self_attn.scores_capped"])),
        ("attn_core_out", Holds::Values(&["self_attn.context"])),
        ("attn_out", Holds::Values(&["self_attn.o_proj", "self_attn.context", "post_attention_layernorm"])),
        ("o_proj", Holds::Values(&["self_attn.o_proj"])),
        ("post_attn", Holds::Values(&["residual_attn", "post_attention_layernorm"])),
        ("ffn_normed", Holds::Values(&["pre_feedforward_layernorm"])),
        ("ffn_in", Holds::Values(&["pre_feedforward_layernorm", "residual_attn"])),
        ("ffn_gate", Holds::Values(&["mlp.gate_proj"])),
        ("ffn_up", Holds::Values(&["mlp.up_proj"])),
        ("ffn_act", Holds::Values(&["mlp.gated", "mlp.act"])),
        ("ffn_out", Holds::Values(&["mlp.down_proj", "post_feedforward_layernorm"])),
        ("layer_out", Holds::Values(&["output"])),
    ],
    elsewhere: &[
        ("embed_out", Holds::Values(&["embed.scaled"])),
        ("pre_final_norm", Holds::Nothing("the last layer's output; call it by that name to have it judged")),
        ("final_norm", Holds::Values(&["norm"])),
        ("logits", Holds::Values(&["logits.raw"])),
        ("logits_final", Holds::Values(&["logits"])),
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
        ("attn.post_input_norm", Holds::Values(&["input_layernorm"])),
        ("attn.normed", Holds::Values(&["input_layernorm"])),
        ("attn.q_proj", Holds::Values(&["self_attn.q_proj"])),
        ("attn.k_proj", Holds::Values(&["self_attn.k_proj"])),
        ("attn.v_proj", Holds::Values(&["self_attn.v_proj"])),
        ("attn.q_rope", Holds::Values(&["self_attn.q_rope"])),
        ("attn.k_rope", Holds::Values(&["self_attn.k_rope"])),
        ("attn.scores", Holds::Values(&["self_attn.scores", "self_attn.scores_capped"])),
        ("attn.softmax", Holds::Values(&["self_attn.probs"])),
        ("attn.core_out", Holds::Values(&["self_attn.context"])),
        ("attn.out", Holds::Values(&["self_attn.o_proj", "self_attn.context", "post_attention_layernorm"])),
        ("attn.o_proj", Holds::Values(&["self_attn.o_proj"])),
        ("attn.post_attn", Holds::Values(&["residual_attn", "post_attention_layernorm"])),
        ("ffn.normed", Holds::Values(&["pre_feedforward_layernorm"])),
        ("ffn.in", Holds::Values(&["pre_feedforward_layernorm", "residual_attn"])),
        ("ffn.gate", Holds::Values(&["mlp.gate_proj"])),
        ("ffn.up", Holds::Values(&["mlp.up_proj"])),
        ("ffn.act", Holds::Values(&["mlp.gated", "mlp.act"])),
        ("ffn.out", Holds::Values(&["mlp.down_proj", "post_feedforward_layernorm"])),
        ("layer.out", Holds::Values(&["output"])),
    ],
    elsewhere: &[
        ("embed.out", Holds::Values(&["embed.scaled"])),
        ("final_norm.pre", Holds::Nothing("the last layer's output; call it by that name to have it judged")),
        ("final_norm.out", Holds::Values(&["norm"])),
        ("logits.out", Holds::Values(&["logits.raw"])),
        ("logits.final", Holds::Values(&["logits"])),
    ],
    tails: &[],
};
