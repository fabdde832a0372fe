//! The names of a checkpoint's tensors. Which there are, in which shape, stands in [`crate::gemma2`].

use std::fmt;

use crate::Config;

/// A tensor of the checkpoint. `Display` and `FromStr` use Hugging Face's state-dict names. A [`crate::Graph`] knows its shape.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Graph;

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
