//! The names of a checkpoint's tensors. Which there are, in which shape, stands in [`crate::gemma2`].

use std::fmt;
use std::str::FromStr;

use crate::{Config, nearest};

/// A tensor of the checkpoint. `Display` and `FromStr` use Hugging Face's state-dict names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weight {
    /// `model.embed_tokens.weight` [V, D]
    EmbedTokens,
    /// `model.layers.{l}.….weight`
    Layer(usize, LayerWeight),
    /// `model.norm.weight` [D]
    Norm,
    /// `lm_head.weight` [V, D]; read only where config.json says `tie_word_embeddings: false`.
    LmHead,
}

/// A tensor of one decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is the state-dict name below
pub enum LayerWeight {
    InputLayernorm,
    QProj,
    KProj,
    VProj,
    OProj,
    PostAttentionLayernorm,
    PreFeedforwardLayernorm,
    GateProj,
    UpProj,
    DownProj,
    PostFeedforwardLayernorm,
}

impl LayerWeight {
    /// Every tensor of a layer, in the order a forward pass uses them.
    pub const ALL: [LayerWeight; 11] = [
        LayerWeight::InputLayernorm,
        LayerWeight::QProj,
        LayerWeight::KProj,
        LayerWeight::VProj,
        LayerWeight::OProj,
        LayerWeight::PostAttentionLayernorm,
        LayerWeight::PreFeedforwardLayernorm,
        LayerWeight::GateProj,
        LayerWeight::UpProj,
        LayerWeight::DownProj,
        LayerWeight::PostFeedforwardLayernorm,
    ];

    /// The path below `model.layers.{l}.`, without `.weight`.
    pub fn path(self) -> &'static str {
        match self {
            LayerWeight::InputLayernorm => "input_layernorm",
            LayerWeight::QProj => "self_attn.q_proj",
            LayerWeight::KProj => "self_attn.k_proj",
            LayerWeight::VProj => "self_attn.v_proj",
            LayerWeight::OProj => "self_attn.o_proj",
            LayerWeight::PostAttentionLayernorm => "post_attention_layernorm",
            LayerWeight::PreFeedforwardLayernorm => "pre_feedforward_layernorm",
            LayerWeight::GateProj => "mlp.gate_proj",
            LayerWeight::UpProj => "mlp.up_proj",
            LayerWeight::DownProj => "mlp.down_proj",
            LayerWeight::PostFeedforwardLayernorm => "post_feedforward_layernorm",
        }
    }
}

impl Weight {
    /// The table that turns the final norm into logits: the embedding itself unless config.json unties it.
    pub fn head(config: &Config) -> Weight {
        if config.tie_word_embeddings { Weight::EmbedTokens } else { Weight::LmHead }
    }

    /// The tensor of what is recorded under `path`, in a layer or outside of all.
    pub(crate) fn recorded(layer: Option<usize>, path: &str) -> Weight {
        let own = |layer| LayerWeight::ALL.into_iter().find(|w| w.path() == path).map(|w| Weight::Layer(layer, w));
        let outside = || (path == "norm").then_some(Weight::Norm);
        layer.map_or_else(outside, own).unwrap_or_else(|| unreachable!("{path} has no tensor"))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weight::EmbedTokens => f.write_str("model.embed_tokens.weight"),
            Weight::Layer(layer, weight) => write!(f, "model.layers.{layer}.{}.weight", weight.path()),
            Weight::Norm => f.write_str("model.norm.weight"),
            Weight::LmHead => f.write_str("lm_head.weight"),
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
        let index = layer_part.and_then(|(index, _)| index.parse::<usize>().ok());
        let in_layer = index.unwrap_or(0);
        let known = [Weight::EmbedTokens, Weight::Norm, Weight::LmHead]
            .into_iter()
            .chain(LayerWeight::ALL.map(|weight| Weight::Layer(in_layer, weight)));
        let mut names = Vec::new();
        for weight in known {
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
        for weight in [Weight::EmbedTokens, Weight::Norm, Weight::LmHead]
            .into_iter()
            .chain(LayerWeight::ALL.map(|w| Weight::Layer(17, w)))
        {
            assert_eq!(weight.to_string().parse::<Weight>().unwrap(), weight);
        }
        let error = "model.layers.3.self_attn.qproj.weight".parse::<Weight>().unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("model.layers.3.self_attn.q_proj.weight"));
    }
}
