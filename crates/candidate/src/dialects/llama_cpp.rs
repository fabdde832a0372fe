//! llama.cpp: the names that its graph gives to tensors (`cb(cur, "attn_norm", il)`), as `llama-eval-callback` prints them.

use super::{Dialect, Holds};

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
        ("attn_norm", Holds::Values(&["input_layernorm"])),
        ("Qcur", Holds::Values(&["self_attn.q_rope", "self_attn.q_proj"])),
        ("Kcur", Holds::Values(&["self_attn.k_rope", "self_attn.k_proj"])),
        ("Vcur", Holds::Values(&["self_attn.v_proj"])),
        ("kq", Holds::Values(&["self_attn.scores"])),
        ("kq_scaled_2", Holds::Values(&["self_attn.scores_capped"])),
        ("kq_soft_max", Holds::Values(&["self_attn.probs"])),
        ("kq_soft_max_ext", Holds::Values(&["self_attn.probs"])),
        ("kqv", Holds::Values(&["self_attn.context"])),
        ("kqv_merged_cont", Holds::Values(&["self_attn.context"])),
        ("kqv_out", Holds::Values(&["self_attn.context", "self_attn.o_proj"])),
        ("attn_out", Holds::Values(&["self_attn.o_proj"])),
        ("attn_post_norm", Holds::Values(&["post_attention_layernorm"])),
        ("sa_out", Holds::Values(&["residual_attn"])),
        ("ffn_inp", Holds::Values(&["residual_attn"])),
        ("ffn_norm", Holds::Values(&["pre_feedforward_layernorm"])),
        ("ffn_gate", Holds::Values(&["mlp.gate_proj"])),
        ("ffn_up", Holds::Values(&["mlp.up_proj"])),
        ("ffn_gelu", Holds::Values(&["mlp.act"])),
        ("ffn_geglu", Holds::Values(&["mlp.gated"])),
        ("ffn_gate_par", Holds::Values(&["mlp.gated"])),
        ("ffn_out", Holds::Values(&["mlp.down_proj"])),
        ("ffn_post_norm", Holds::Values(&["post_feedforward_layernorm"])),
        ("l_out", Holds::Values(&["output"])),
        ("norm", Holds::Nothing("normalised, before the weight")),
        ("kq_scaled_1", Holds::Nothing("scores divided by the cap, before the tanh")),
        ("kq_tanh", Holds::Nothing("the tanh of the scores, before it is multiplied by the cap")),
    ],
    elsewhere: &[
        ("inp_tokens", Holds::Values(&["token_ids"])),
        ("embd", Holds::Values(&["embed.raw"])),
        ("inp_embd", Holds::Values(&["embed.raw"])),
        ("inp_scaled", Holds::Values(&["embed.scaled"])),
        ("result_norm", Holds::Values(&["norm"])),
        ("result_output", Holds::Values(&["logits"])),
        ("kq_mask", Holds::Nothing("the mask with room for more keys than the prompt has")),
        ("inp_pos", Holds::Nothing("positions")),
    ],
    tails: &[],
};
