//! The names of a checkpoint's tensors. Which there are, in which shape, stands in [`crate::gemma2`].

use std::fmt;
use std::str::FromStr;

use crate::{Config, Graph, nearest};

/// A tensor of the checkpoint. `Display` and `FromStr` use Hugging Face's state-dict names. A [`Graph`] knows its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight {
    layer: Option<usize>,
    path: &'static str,
}

impl Weight {
    /// `model.embed_tokens.weight` [V, D]
    pub const EMBED_TOKENS: Weight = Weight { layer: None, path: "embed_tokens" };
    /// `model.norm.weight` [D]
    pub const NORM: Weight = Weight { layer: None, path: "norm" };
    /// `lm_head.weight` [V, D]; read only where config.json says `tie_word_embeddings: false`.
    pub const LM_HEAD: Weight = Weight { layer: None, path: "lm_head" };

    /// The table that turns the final norm into logits: the embedding itself unless config.json unties it.
    pub fn head(config: &Config) -> Weight {
        if config.tie_word_embeddings { Weight::EMBED_TOKENS } else { Weight::LM_HEAD }
    }

    /// The tensor of what a graph records under `path`.
    pub(crate) fn recorded(layer: Option<usize>, path: &'static str) -> Weight {
        Weight { layer, path }
    }

    /// The layer that it belongs to, if it belongs to one.
    pub fn layer(self) -> Option<usize> {
        self.layer
    }

    /// Its name within its layer, or outside of all, without `.weight`: `self_attn.q_proj`, `norm`.
    pub fn path(self) -> &'static str {
        self.path
    }

    /// Whether it is that of a norm.
    pub fn is_norm(self) -> bool {
        self.path.ends_with("norm")
    }

    /// The tensor called `path` of the same layer, or outside of all.
    pub fn beside(self, path: &str) -> Option<Weight> {
        let beside = |weight: &Weight| weight.path == path && weight.layer.is_some() == self.layer.is_some();
        Graph::of_names().weights().find(beside).map(|weight| Weight { path: weight.path, ..self })
    }

    /// The same of layer `layer`; what is outside of the layers is so of each.
    #[must_use]
    pub fn of_layer(self, layer: usize) -> Weight {
        Weight { layer: self.layer.map(|_| layer), ..self }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "model.layers.{layer}.{}.weight", self.path),
            // transformers holds the head beside the model.
            None if *self == Weight::LM_HEAD => write!(f, "{}.weight", self.path),
            None => write!(f, "model.{}.weight", self.path),
        }
    }
}

/// A name that is no tensor of Gemma 2.
#[derive(Debug, thiserror::Error)]
#[error("no tensor of Gemma 2 is called \"{}\"{}", crate::echo(.name), crate::hint(.nearest.as_deref()))]
pub struct UnknownWeight {
    /// The name as given.
    pub name: String,
    /// The name of a tensor most like it.
    pub nearest: Option<String>,
}

impl FromStr for Weight {
    type Err = UnknownWeight;

    fn from_str(name: &str) -> Result<Weight, UnknownWeight> {
        let layer_part = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        let layer = layer_part.and_then(|(index, _)| index.parse().ok()).unwrap_or(0);
        let mut names = Vec::new();
        for weight in Graph::of_names().weights().map(|weight| weight.of_layer(layer)) {
            let text = weight.to_string();
            if text == name {
                return Ok(weight);
            }
            names.push(text);
        }
        let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_string);
        Err(UnknownWeight { name: name.to_string(), nearest })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_round_trip_and_a_typo_finds_its_neighbour() {
        for weight in Graph::of_names().weights().map(|weight| weight.of_layer(17)) {
            assert_eq!(weight.to_string().parse::<Weight>().unwrap(), weight);
        }
        let error = "model.layers.3.self_attn.qproj.weight".parse::<Weight>().unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("model.layers.3.self_attn.q_proj.weight"));
        let error = "model.layers.3.mlp.act.weight".parse::<Weight>().unwrap_err();
        assert_eq!(error.name, "model.layers.3.mlp.act.weight");
    }
}
