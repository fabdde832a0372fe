//! Gemma 2, from top to bottom.
//!
//! Read it as the model: each line is one operation, with the name under which its result is recorded, which is also that of its
//! tensor in the checkpoint. Running it records a [`Graph`]; what each operation computes stands in `crates/model/src/ops`:
//!
//! | operation | formula | file |
//! |---|---|---|
//! | `embed`, `scale` | rows of the table, times sqrt(D) | `embed.rs` |
//! | `rms_norm` | x / sqrt(mean(x²) + eps) · (1 + w) | `norm.rs` |
//! | `linear` | x · wᵀ | `linear.rs` |
//! | `rope` | lanes i and i + H/2 are rotated by position · theta^(-2i/H) | `rope.rs` |
//! | `scores`, `context` | q · kᵀ · scale; p · v, with each key/value head repeated N/K times | `attention.rs` |
//! | `softcap` | cap · tanh(x / cap) | `softcap.rs` |
//! | `mask` | j ≤ i, and i - j < window in a sliding layer | `mask.rs` |
//! | `softmax` | over the visible keys | `softmax.rs` |
//! | `gelu` | GELU in its tanh form | `gelu.rs` |
//! | `multiply`, `add` | elementwise | `residual.rs` |
//!
//! Source: transformers `Gemma2ForCausalLM.forward` and what it calls; "Gemma 2: Improving Open Language Models at a Practical
//! Size" (2024), section 2.

use crate::Axis::{D, F, H, K, N};
use crate::{Config, Graph, Probe, Weight};

/// The graph of a forward pass of the model that `c` describes.
pub fn gemma2(c: &Config) -> Graph {
    let mut graph = Graph::new(c);
    let g = &mut graph;
    let ids = g.token_ids(); //                                                     [T]
    let raw = g.embed("embed.raw", ids, Weight::EMBED_TOKENS); //                   [T, D]
    let mut x = g.scale("embed.scaled", raw, (c.hidden_size as f64).sqrt()); //     [T, D]
    for l in 0..c.num_hidden_layers {
        x = g.layer(l, |g| decoder_layer(g, c, c.window(l), x)); //                 [T, D]
    }
    let x = g.rms_norm("norm", x, c.rms_norm_eps); //                               [T, D]
    let raw = g.head("logits.raw", x, Weight::head(c)); //                          [T, V]
    g.softcap("logits", raw, c.final_logit_softcapping); //                         [T, V]
    graph
}

/// Four norms around two residual joins. transformers `Gemma2DecoderLayer.forward`.
fn decoder_layer(g: &mut Graph, c: &Config, window: Option<usize>, x: Probe) -> Probe {
    let x = g.same("input", x); //                                                  [T, D]
    let h = g.rms_norm("input_layernorm", x, c.rms_norm_eps); //                    [T, D]
    let h = attention(g, c, window, h); //                                          [T, D]
    let h = g.rms_norm("post_attention_layernorm", h, c.rms_norm_eps); //           [T, D]
    let x = g.add("residual_attn", x, h); //                                        [T, D]

    let h = g.rms_norm("pre_feedforward_layernorm", x, c.rms_norm_eps); //          [T, D]
    let h = mlp(g, h); //                                                           [T, D]
    let h = g.rms_norm("post_feedforward_layernorm", h, c.rms_norm_eps); //         [T, D]
    g.add("output", x, h) //                                                        [T, D]
}

/// transformers `Gemma2Attention.forward`, with `eager_attention_forward`.
fn attention(g: &mut Graph, c: &Config, window: Option<usize>, h: Probe) -> Probe {
    let q = g.linear("self_attn.q_proj", h, &[N, H]); //                            [T, N, H]
    let k = g.linear("self_attn.k_proj", h, &[K, H]); //                            [T, K, H]
    let v = g.linear("self_attn.v_proj", h, &[K, H]); //                            [T, K, H]
    let q = g.rope("self_attn.q_rope", q, c.rope_theta); //                         [T, N, H]
    let k = g.rope("self_attn.k_rope", k, c.rope_theta); //                         [T, K, H]
    let s = g.scores("self_attn.scores", q, k, c.query_pre_attn_scalar.powf(-0.5)); // [N, T, S]
    let s = g.softcap("self_attn.scores_capped", s, c.attn_logit_softcapping); //   [N, T, S]
    let mask = g.mask("self_attn.mask", window); //                                 [T, S]
    let p = g.softmax("self_attn.probs", s, mask); //                               [N, T, S]
    let o = g.context("self_attn.context", p, v); //                                [T, N, H]
    g.linear("self_attn.o_proj", o, &[D]) //                                        [T, D]
}

/// transformers `Gemma2MLP.forward`.
fn mlp(g: &mut Graph, h: Probe) -> Probe {
    let gate = g.linear("mlp.gate_proj", h, &[F]); //                               [T, F]
    let up = g.linear("mlp.up_proj", h, &[F]); //                                   [T, F]
    let act = g.gelu("mlp.act", gate); //                                           [T, F]
    let gated = g.multiply("mlp.gated", act, up); //                                [T, F]
    g.linear("mlp.down_proj", gated, &[D]) //                                       [T, D]
}

#[cfg(test)]
mod tests {
    /// ARCHITECTURE.md shows these lines beside transformers': each stands here, and none is missing.
    #[test]
    fn the_page_shows_the_lines_as_they_are() {
        let page = include_str!("../../../ARCHITECTURE.md");
        let table = page.split("| Loupe | transformers |").nth(1).unwrap_or_default();
        let shown = table.lines().skip(2).map_while(|row| row.strip_prefix("| `")?.split('`').next());
        let (code, _) = include_str!("gemma2.rs").split_once("#[cfg(test)]").unwrap_or_default();
        let lines =
            code.lines().filter(|line| line.contains("g.") && !line.contains("g.layer") && !line.starts_with("//"));
        let lines: Vec<&str> = lines.filter(|line| !line.contains("g.token_ids")).map(str::trim).collect();
        let mut count = 0;
        for line in shown {
            let start = line.split('…').next().unwrap_or_default();
            assert!(lines.iter().any(|own| own.starts_with(start)), "{line}");
            count += 1;
        }
        // k and v stand for themselves with q in three of its lines, up with gate.
        assert_eq!(count + 4, lines.len(), "{lines:#?}");
    }
}
