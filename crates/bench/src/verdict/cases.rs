//! The mistakes of `crates/mistakes`, as plain data: loupe-bench does not link that crate, and what the benchmark expects
//! should not come from the code that it tests.

use loupe_spec::{Config, Dtype};

/// What a verdict must say of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `architectural`, with its name.
    Architectural,
    /// `numeric`, with the detail `dtype_policy:` and its name.
    Policy,
    /// `backend_fault`; no name is needed.
    Fault,
}

/// A mistake that can be planted.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `id`, or `id--variant`.
    pub name: &'static str,
    pub kind: Kind,
    /// The stages that it changes, as paths below a layer: one of them is the first to differ.
    pub at: &'static [&'static str],
    /// Whether it can be planted in one layer alone.
    pub in_layers: bool,
}

impl Case {
    /// The name without its variant, as verdicts have it.
    pub fn id(&self) -> &'static str {
        id_of(self.name)
    }

    /// The parameter of the model that this mistake changes, and to what (`None`: no cap), where it is one: what is left
    /// to say of it when its name is not known.
    pub fn parameter(&self, config: &Config) -> Option<(&'static str, Option<f64>)> {
        let hidden = config.hidden_size as f64;
        let per_head = hidden / config.num_attention_heads as f64;
        let scaled = |of: f64| ("attn_scale", Some(of.powf(-0.5)));
        Some(match self.name {
            "embed_scale_missing" => ("embed_scale", Some(1.0)),
            "embed_scale_twice" => ("embed_scale", Some(hidden)),
            "embed_scale_rounded" => ("embed_scale", Some(Dtype::Bf16.round(hidden.sqrt()))),
            "scale_head_dim" => scaled(config.head_dim as f64),
            "scale_hidden_per_head" => scaled(per_head),
            "scale_missing" => scaled(1.0),
            "scale_twice" => scaled(config.query_pre_attn_scalar * config.query_pre_attn_scalar),
            // cap * tanh(cap * x) caps what is cap^2 times as large.
            "softcap_formula--product" => {
                let cap = config.attn_logit_softcapping?;
                ("attn_scale", Some(config.query_pre_attn_scalar.powf(-0.5) * cap * cap))
            }
            "attn_softcap_missing" => ("attn_softcap", None),
            "softcap_constant" => ("attn_softcap", config.attn_logit_softcapping.map(|cap| 0.6 * cap)),
            "final_softcap_missing" => ("final_softcap", None),
            "norm_eps" => ("rms_norm_eps", Some(10.0 * config.rms_norm_eps)),
            "norm_eps--none" => ("rms_norm_eps", Some(0.0)),
            "rope_theta" => ("rope_theta", Some(1e6)),
            _ => return None,
        })
    }
}

/// `norm_eps` of `norm_eps--none@2`.
pub fn id_of(name: &str) -> &str {
    let end = name.find('@').unwrap_or(name.len());
    let name = &name[..end];
    name.split_once("--").map_or(name, |(id, _)| id)
}

const NORMS: &[&str] =
    &["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm", "norm"];
const ROPE: &[&str] = &["self_attn.q_rope", "self_attn.k_rope"];
const SCORES: &[&str] = &["self_attn.scores"];
const CAPPED: &[&str] = &["self_attn.scores_capped"];
const MASK: &[&str] = &["self_attn.mask"];
const PROJECTIONS: &[&str] = &[
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];
const WEIGHTS: &[&str] = &[
    "input_layernorm",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
    "post_feedforward_layernorm",
];

const fn wrong(name: &'static str, at: &'static [&'static str]) -> Case {
    Case { name, kind: Kind::Architectural, at, in_layers: true }
}

const fn outside(name: &'static str, at: &'static [&'static str]) -> Case {
    Case { name, kind: Kind::Architectural, at, in_layers: false }
}

const fn policy(name: &'static str, at: &'static [&'static str]) -> Case {
    Case { name, kind: Kind::Policy, at, in_layers: true }
}

/// Every mistake, in the order of the forward pass.
pub const ALL: &[Case] = &[
    outside("embed_scale_missing", &["embed.scaled"]),
    outside("embed_scale_twice", &["embed.scaled"]),
    Case { name: "embed_scale_rounded", kind: Kind::Policy, at: &["embed.scaled"], in_layers: false },
    wrong("norm_without_one", NORMS),
    wrong("norm_one_twice", NORMS),
    wrong("norm_weight_missing", NORMS),
    policy("norm_cast_first", NORMS),
    policy("norm_weight_low", NORMS),
    wrong("norm_eps", NORMS),
    wrong("norm_eps--none", NORMS),
    wrong("norm_mean_subtracted", NORMS),
    wrong("qkv_order", &["self_attn.k_proj", "self_attn.v_proj"]),
    wrong("layer_off_by_one", WEIGHTS),
    wrong("weight_transposed", PROJECTIONS),
    wrong("q4k_repeated_block", PROJECTIONS),
    Case { name: "matmul_zero_tiles", kind: Kind::Fault, at: PROJECTIONS, in_layers: true },
    wrong("rope_interleaved", ROPE),
    policy("rope_low_precision", ROPE),
    wrong("rope_offset", ROPE),
    wrong("rope_theta", ROPE),
    wrong("rope_query_only", &["self_attn.k_rope"]),
    wrong("rope_negated", ROPE),
    wrong("gqa_tiled", &["self_attn.scores", "self_attn.context"]),
    wrong("scale_head_dim", SCORES),
    wrong("scale_hidden_per_head", SCORES),
    wrong("scale_missing", SCORES),
    wrong("scale_twice", SCORES),
    wrong("attn_softcap_missing", CAPPED),
    wrong("softcap_constant", CAPPED),
    wrong("softcap_formula", CAPPED),
    wrong("softcap_formula--product", CAPPED),
    wrong("softcap_after_mask", &["self_attn.probs"]),
    wrong("window_parity", MASK),
    wrong("window_everywhere", MASK),
    wrong("window_nowhere", MASK),
    wrong("window_off_by_one", MASK),
    wrong("window_off_by_one--fewer", MASK),
    wrong("causal_off_by_one", MASK),
    wrong("causal_mask_missing", MASK),
    wrong("pre_norm_missing", &["input_layernorm", "pre_feedforward_layernorm", "norm"]),
    wrong("post_norm_missing", &["post_attention_layernorm", "post_feedforward_layernorm"]),
    wrong("norms_swapped", &["post_attention_layernorm", "pre_feedforward_layernorm"]),
    wrong(
        "post_norm_after_residual",
        &["post_attention_layernorm", "residual_attn", "post_feedforward_layernorm", "output"],
    ),
    wrong("gate_up_swapped", &["mlp.gate_proj", "mlp.up_proj"]),
    wrong("gate_up_swapped--wiring", &["mlp.act", "mlp.gated"]),
    wrong("gelu_erf", &["mlp.act"]),
    wrong("silu", &["mlp.act"]),
    outside("lm_head_scaled", &["logits.raw"]),
    outside("final_softcap_missing", &["logits"]),
];

/// The mistake called `name`, a site after it or not.
pub fn find(name: &str) -> Option<&'static Case> {
    let bare = name.split_once('@').map_or(name, |(bare, _)| bare);
    ALL.iter().find(|case| case.name == bare)
}

/// Whether the two can be planted together.
pub fn fit(a: &Case, b: &Case) -> bool {
    let apart = !a.at.iter().any(|stage| b.at.contains(stage));
    apart && [a, b].iter().all(|case| case.kind == Kind::Architectural)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    /// What stands in quotes after `key` on `line`.
    fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
        line.trim().strip_prefix(key)?.split('"').nth(1)
    }

    #[test]
    fn every_mistake_of_the_catalogue_is_here() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../mistakes/src");
        let mut found = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            // Mistakes of the prompt change no tensor of the model: `crates/cli` tests that they are named.
            if path.ends_with("tokens.rs") {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let mut id = None;
            for line in text.lines() {
                id = quoted(line, "id: ").map(str::to_string).or(id);
                if let Some(rest) = line.trim().strip_prefix("variant: ") {
                    let id = id.take().unwrap();
                    let variant = rest.split('"').nth(1);
                    found.insert(variant.map_or(id.clone(), |variant| format!("{id}--{variant}")));
                }
            }
        }
        let here: BTreeSet<String> = ALL.iter().map(|case| case.name.to_string()).collect();
        assert_eq!(here, found);
        assert_eq!(here.len(), ALL.len());
    }

    #[test]
    fn an_id_has_neither_variant_nor_site() {
        assert_eq!(id_of("norm_eps--none@2"), "norm_eps");
        assert_eq!(id_of("silu@0"), "silu");
        assert_eq!(find("norm_eps--none@2").unwrap().name, "norm_eps--none");
    }
}
