//! What each value is, in a line, and where it is in transformers.

use crate::Probe;

/// Path, what it is, and what it is called in transformers: a module's output, or where in `modeling_gemma2.py` it arises. In the
/// order of the forward pass.
const MEANINGS: &[(&str, &str, &str)] = &[
    ("token_ids", "what the model reads, `<bos>` included", "input of the model"),
    (
        "embed.raw",
        "rows of `embed_tokens.weight`",
        "`embed_tokens`; since transformers 5.4 within it, before its scale",
    ),
    ("embed.scaled", "`embed.raw * sqrt(D)`", "`hidden_states[0]`"),
    ("input", "residual stream entering the layer", "`hidden_states[l]`"),
    ("input_layernorm", "RMSNorm of `input`, times `1 + weight`", "`input_layernorm`"),
    ("self_attn.q_proj", "projection of `input_layernorm`, before RoPE", "`self_attn.q_proj`, split into heads"),
    ("self_attn.k_proj", "projection of `input_layernorm`, before RoPE", "`self_attn.k_proj`, split into heads"),
    ("self_attn.v_proj", "projection of `input_layernorm`", "`self_attn.v_proj`, split into heads"),
    ("self_attn.q_rope", "rotated: lane `i` with lane `i + H/2`", "`apply_rotary_pos_emb`"),
    ("self_attn.k_rope", "rotated: lane `i` with lane `i + H/2`", "`apply_rotary_pos_emb`"),
    (
        "self_attn.scores",
        "`q · k * query_pre_attn_scalar^-0.5`, query head `n` with key head `n / (N/K)`",
        "`eager_attention_forward`",
    ),
    ("self_attn.scores_capped", "`cap * tanh(scores / cap)`, not masked yet", "`eager_attention_forward`"),
    (
        "self_attn.mask",
        "1 where query `t` may see key `s`: `s <= t`, in sliding layers also `t - s < sliding_window`",
        "`create_causal_mask`, `create_sliding_window_causal_mask`",
    ),
    ("self_attn.probs", "softmax over the keys that the mask leaves", "`attentions[l]`"),
    ("self_attn.context", "`probs @ v`, before `o_proj`", "`eager_attention_forward`"),
    ("self_attn.o_proj", "projection of `context`", "`self_attn`"),
    ("post_attention_layernorm", "RMSNorm of `o_proj`, before it joins the residual", "`post_attention_layernorm`"),
    ("residual_attn", "`input + post_attention_layernorm`", "`hidden_states` within the layer"),
    ("pre_feedforward_layernorm", "RMSNorm of `residual_attn`", "`pre_feedforward_layernorm`"),
    ("mlp.gate_proj", "projection of `pre_feedforward_layernorm`", "`mlp.gate_proj`"),
    ("mlp.up_proj", "projection of `pre_feedforward_layernorm`", "`mlp.up_proj`"),
    ("mlp.act", "`gelu_tanh(gate_proj)`", "`mlp.act_fn`"),
    ("mlp.gated", "`act * up_proj`", "input of `mlp.down_proj`"),
    ("mlp.down_proj", "projection of `gated`", "`mlp`"),
    (
        "post_feedforward_layernorm",
        "RMSNorm of `down_proj`, before it joins the residual",
        "`post_feedforward_layernorm`",
    ),
    (
        "output",
        "`residual_attn + post_feedforward_layernorm`",
        "`hidden_states[l + 1]`, in the last layer before the final norm",
    ),
    ("norm", "final RMSNorm", "`norm`; `hidden_states[-1]`"),
    ("logits.raw", "`norm @ lm_head.weight^T`, with tied weights `embed_tokens.weight`", "`lm_head`"),
    ("logits", "`cap * tanh(logits.raw / cap)`", "`logits`"),
];

impl Probe {
    /// What it is, in Markdown.
    pub fn meaning(self) -> &'static str {
        self.described().map_or("", |(_, what, _)| what)
    }

    /// What it is called in transformers, in Markdown; `{l}` stands for its layer.
    pub fn in_transformers(self) -> &'static str {
        self.described().map_or("", |(_, _, transformers)| transformers)
    }

    fn described(self) -> Option<&'static (&'static str, &'static str, &'static str)> {
        MEANINGS.iter().find(|(path, _, _)| *path == self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_meaning_and_no_other_has() {
        let paths: Vec<&str> = Probe::each().map(Probe::path).collect();
        assert_eq!(MEANINGS.iter().map(|(path, _, _)| *path).collect::<Vec<_>>(), paths);
    }
}
