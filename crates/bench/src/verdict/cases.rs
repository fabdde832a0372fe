//! What a verdict should say of each mistake: as the catalogue that is committed has it, since loupe-bench does not link the crate
//! that it is made from.

use std::sync::LazyLock;

use loupe_spec::{Config, Dtype};
use serde::Deserialize;

/// What a verdict must say of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// With its name.
    #[serde(rename = "architectural")]
    Architectural,
    /// With the detail `dtype_policy:` and its name.
    #[serde(rename = "numeric")]
    Policy,
    /// No name is needed.
    #[serde(rename = "backend_fault")]
    Fault,
}

/// A mistake that can be planted.
#[derive(Debug)]
pub struct Case {
    /// `id`, or `id--variant`.
    pub name: String,
    pub kind: Kind,
    /// The stages that it changes, as paths below a layer: one of them is the first to differ.
    pub at: Vec<&'static str>,
    /// Whether it can be planted in one layer alone.
    pub in_layers: bool,
    /// The number that it puts in the place of another in builtin:tiny, where that is all it does.
    number: Option<Number>,
}

#[derive(Debug, Deserialize)]
struct Number {
    right: f64,
    wrong: Option<f64>,
}

impl Case {
    /// The name without its variant, as verdicts have it.
    pub fn id(&self) -> &str {
        id_of(&self.name)
    }

    /// The parameter of the model that this mistake changes, and to what (`None`: no cap), where it is one: what is left
    /// to say of it when its name is not known.
    pub fn parameter(&self, config: &Config) -> Option<(&'static str, Option<f64>)> {
        let hidden = config.hidden_size as f64;
        let per_head = hidden / config.num_attention_heads as f64;
        let scaled = |of: f64| ("attn_scale", Some(of.powf(-0.5)));
        let wrong = self.number.as_ref().and_then(|number| number.wrong);
        let times = self.number.as_ref().and_then(|number| Some(number.wrong? / number.right));
        Some(match self.name.as_str() {
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
            "softcap_constant" => {
                ("attn_softcap", config.attn_logit_softcapping.zip(times).map(|(cap, times)| times * cap))
            }
            "final_softcap_missing" => ("final_softcap", None),
            "norm_eps" => ("rms_norm_eps", times.map(|times| times * config.rms_norm_eps)),
            "norm_eps--none" => ("rms_norm_eps", Some(0.0)),
            "rope_theta" => ("rope_theta", wrong),
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

/// The catalogue as it is committed: a change of what is expected is a change of that file, to be read as one.
const CATALOGUE: &str = include_str!("../../../mistakes/catalogue.json");

/// Every mistake of the model, in the order of the forward pass. Those of the prompt change no tensor of it: tests/cli has them.
pub static ALL: LazyLock<Vec<Case>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Catalogue {
        #[serde(borrow)]
        mistakes: Vec<Entry<'static>>,
    }
    #[derive(Deserialize)]
    struct Entry<'a> {
        id: &'a str,
        variant: Option<&'a str>,
        kind: Kind,
        stages: Vec<&'a str>,
        number: Option<Number>,
    }
    // It is compiled in, and a test reads it.
    let entries = serde_json::from_str(CATALOGUE).map(|catalogue: Catalogue| catalogue.mistakes).unwrap_or_default();
    let of_the_model = entries.into_iter().filter(|entry| entry.stages != ["token_ids"]);
    let case = |Entry { id, variant, kind, stages, number }: Entry<'static>| {
        let name = variant.map_or(id.to_string(), |variant| format!("{id}--{variant}"));
        let path = |stage: &'static str| stage.strip_prefix(LAYER).unwrap_or(stage);
        let in_layers = stages.iter().any(|stage| stage.starts_with(LAYER));
        Case { name, kind, at: stages.into_iter().map(path).collect(), in_layers, number }
    };
    of_the_model.map(case).collect()
});

/// Begins the names of stages that every layer has.
const LAYER: &str = "layers.{l}.";

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
    use super::*;

    #[test]
    fn the_catalogue_is_read() {
        assert_eq!(ALL.len(), CATALOGUE.matches("\"sentence\"").count() - 3);
        assert_eq!(find("gelu_erf@1").unwrap().at, ["mlp.act"]);
        assert!(!find("lm_head_scaled").unwrap().in_layers && find("norm_eps--none").unwrap().in_layers);
    }

    #[test]
    fn an_id_has_neither_variant_nor_site() {
        assert_eq!(id_of("norm_eps--none@2"), "norm_eps");
        assert_eq!(id_of("silu@0"), "silu");
        assert_eq!(find("norm_eps--none@2").unwrap().name, "norm_eps--none");
    }
}
