//! What names say by themselves: of what operation a value is, which axes it has, which tensors there are. The model of one
//! layer knows it.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::{Axis, Config, Graph, Kind, Node, Probe, Weight, gemma2, nearest};

impl Graph {
    /// What a forward pass of the model computes that `config` describes: the one place that picks the function of an
    /// architecture.
    pub fn of(config: &Config) -> Graph {
        gemma2(config)
    }

    /// A model of one layer, the smallest there is: what names alone say is the same in every model.
    pub(crate) fn of_names() -> &'static Graph {
        static GRAPH: LazyLock<Graph> = LazyLock::new(|| Graph::of(&Config::of_one_layer()));
        &GRAPH
    }
}

impl Node {
    /// Computes it from what is called so in the same layer, or outside of all.
    pub fn set_inputs(&mut self, paths: &[&str]) {
        self.inputs = paths.iter().filter_map(|path| self.probe.beside(path)).collect();
    }
}

impl Probe {
    /// Every name there is, in computing order: those of a model of one layer.
    pub fn each() -> impl DoubleEndedIterator<Item = Probe> + ExactSizeIterator {
        Graph::of_names().probes()
    }

    /// What is called `path` in `layer`, or outside of all.
    pub fn of(layer: Option<usize>, path: &str) -> Option<Probe> {
        let own = Probe::each().find(|probe| probe.path() == path && probe.layer().is_some() == layer.is_some())?;
        Some(layer.map_or(own, |layer| own.of_layer(layer)))
    }

    /// The probe called `name`. A dump may have a million other names: none of them is likened to ours here.
    pub fn named(name: &str) -> Option<Probe> {
        Probe::like(name).find(|probe| probe.to_string() == name)
    }

    /// Those that `name` may mean: outside of the layers, or in its layer.
    fn like(name: &str) -> impl Iterator<Item = Probe> {
        let layer_part = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
        let in_layer = layer_part.and_then(|(index, _)| index.parse::<usize>().ok()).unwrap_or(0);
        Probe::each().map(move |probe| probe.of_layer(in_layer))
    }

    /// What is called `path` in the same layer, or outside of all.
    pub fn beside(self, path: &str) -> Option<Probe> {
        Probe::of(self.layer(), path)
    }

    /// Which operation it is the result of.
    pub fn kind(self) -> Kind {
        Kind::from(self.pattern_node().op)
    }

    /// Its axes.
    pub fn axes(self) -> &'static [Axis] {
        &self.pattern_node().shape
    }

    /// Which of its axes counts tokens.
    pub fn token_axis(self) -> usize {
        self.axes().iter().position(|axis| *axis == Axis::T).unwrap_or(0)
    }

    /// Whether keys are an axis beside the queries.
    pub fn has_keys(self) -> bool {
        self.axes().contains(&Axis::S)
    }

    /// Whether exp, tanh, sin or cos is in its formula: libraries differ in those by some units in the last place.
    pub fn has_library_function(self) -> bool {
        matches!(self.kind(), Kind::Softcap | Kind::Softmax | Kind::Gelu | Kind::Rope)
    }

    /// Whether it is one of the logits: a number for each id of the vocabulary.
    pub fn is_logits(self) -> bool {
        self.axes().contains(&Axis::V)
    }

    /// Whether it is one of the embeddings of the token ids, which no layer has changed yet.
    pub fn is_embedding(self) -> bool {
        matches!(self.kind(), Kind::Embed | Kind::Scale)
    }

    /// Whether it is a row of numbers for each token: neither the ids nor a mask.
    pub fn is_computed(self) -> bool {
        !matches!(self.kind(), Kind::TokenIds | Kind::Mask)
    }

    /// What is the same of it in every layer and every checkpoint: its node in a model of one layer.
    fn pattern_node(self) -> &'static Node {
        Graph::of_names()
            .node(self.of_layer(0))
            .unwrap_or_else(|| unreachable!("{self} is recorded by no line of gemma2"))
    }
}

impl Weight {
    /// The tensor called `path` of the same layer, or outside of all.
    pub fn beside(self, path: &str) -> Option<Weight> {
        let beside = |weight: &Weight| weight.path() == path && weight.layer().is_some() == self.layer().is_some();
        Graph::of_names().weights().find(beside).map(|weight| weight.of_layer(self.layer().unwrap_or(0)))
    }
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Probe, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Probe {
    fn schema_name() -> Cow<'static, str> {
        "Probe".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "The name of a probe point."})
    }
}

/// A name that is no probe point.
#[derive(Debug, thiserror::Error)]
#[error("no probe point is called \"{}\"{}", crate::echo(.name), crate::hint(.nearest.as_deref()))]
pub struct UnknownProbe {
    /// The name as given.
    pub name: String,
    /// The name of a probe most like it.
    pub nearest: Option<String>,
}

impl FromStr for Probe {
    type Err = UnknownProbe;

    fn from_str(name: &str) -> Result<Probe, UnknownProbe> {
        Probe::named(name).ok_or_else(|| {
            // A layer's number alone makes no name like another.
            let stage = |name: &str| match name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
                Some((_, stage)) => stage.to_string(),
                None => name.to_string(),
            };
            // "o_proj" means "self_attn.o_proj".
            let mut names: Vec<(String, Probe)> = Vec::new();
            for probe in Probe::like(name) {
                let own = stage(&probe.to_string());
                let last = own.rsplit('.').next().unwrap_or_default().to_string();
                names.extend([(own, probe), (last, probe)]);
            }
            let nearest = nearest(&stage(name), names.iter().map(|(own, _)| own.as_str()));
            let probe = nearest.and_then(|nearest| names.iter().find(|(own, _)| own == nearest));
            UnknownProbe { name: name.to_string(), nearest: probe.map(|(_, probe)| probe.to_string()) }
        })
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
