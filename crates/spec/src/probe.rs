//! The names of the values of a forward pass. What each is computed from stands in [`crate::gemma2`].

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::place::Place;
use crate::{Axis, Graph, Kind, Node, nearest};

/// A value of one forward pass over one prompt, batch axis dropped. The graph that records it names it; `Display` and `FromStr`
/// use its trace name: `embed.scaled`, `layers.3.self_attn.q_proj`, `norm`. Their order is the computing order.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    place: Place,
    /// Of one place there is one name.
    path: &'static str,
}

impl PartialEq for Probe {
    fn eq(&self, other: &Probe) -> bool {
        self.place == other.place
    }
}

impl Eq for Probe {}

impl Ord for Probe {
    fn cmp(&self, other: &Probe) -> Ordering {
        self.place.cmp(&other.place)
    }
}

impl PartialOrd for Probe {
    fn partial_cmp(&self, other: &Probe) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Probe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Probe, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Probe {
    /// `token_ids` [T], `<bos>` included: where everything starts.
    pub const TOKEN_IDS: Probe = Probe { place: Place::FIRST, path: "token_ids" };

    /// What a graph records under `path` after `last`, in `layer` or outside of all.
    pub(crate) fn after(last: Option<Probe>, layer: Option<usize>, path: &'static str) -> Probe {
        Probe { place: last.map_or(Place::FIRST, |last| Place::after(last.place, layer)), path }
    }

    /// Every name there is, in computing order: those of a model of one layer.
    pub fn each() -> impl DoubleEndedIterator<Item = Probe> + ExactSizeIterator {
        Graph::of_names().probes()
    }

    /// What is called `path` in `layer`, or outside of all.
    pub fn of(layer: Option<usize>, path: &str) -> Option<Probe> {
        let own = Probe::each().find(|probe| probe.path == path && probe.layer().is_some() == layer.is_some())?;
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

    /// The same of layer `layer`; what is outside of the layers is so of each.
    #[must_use]
    pub fn of_layer(self, layer: usize) -> Probe {
        Probe { place: self.place.of_layer(layer), ..self }
    }

    /// The layer this probe belongs to, if it belongs to one.
    pub fn layer(self) -> Option<usize> {
        self.place.layer()
    }

    /// Its name within its layer, or outside of all: `self_attn.q_proj`, `norm`.
    pub fn path(self) -> &'static str {
        self.path
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

    /// Whether `site`, a layer's number or a probe's name, includes it.
    pub fn is_at(self, site: &str) -> bool {
        self.to_string() == site || self.layer().is_some_and(|layer| layer.to_string() == site)
    }

    /// The patterns of `probes`, each once, in their order.
    pub fn patterns(probes: impl IntoIterator<Item = Probe>) -> Vec<String> {
        let mut patterns: Vec<String> = Vec::new();
        for pattern in probes.into_iter().map(Probe::pattern) {
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        patterns
    }

    /// The name with the layer's number replaced by `{l}`, as probe-point tables write it.
    pub fn pattern(self) -> String {
        let path = self.path();
        self.layer().map_or_else(|| path.to_string(), |_| format!("layers.{{l}}.{path}"))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` so that tables can align names with `{:<32}`.
        match self.layer() {
            Some(layer) => f.pad(&format!("layers.{layer}.{}", self.path())),
            None => f.pad(self.path()),
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Config, gemma2};

    fn config() -> Config {
        Config::from_json(
            r#"{"model_type":"gemma2","vocab_size":8,"hidden_size":6,"intermediate_size":4,"num_hidden_layers":2,
                "num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#,
        )
        .unwrap()
    }

    #[test]
    fn names_round_trip_and_a_typo_finds_its_neighbour() {
        for probe in gemma2(&config()).probes() {
            assert_eq!(probe.to_string().parse::<Probe>().unwrap(), probe);
        }
        // No layer is the last of all, nor none.
        for layer in [usize::MAX, usize::MAX - 1] {
            assert!(Probe::named(&format!("layers.{layer}.output")).is_none());
            assert!(Probe::of(Some(layer), "output") < Probe::of(None, "norm"));
        }
        let error = "layers.1.mlp.gate".parse::<Probe>().unwrap_err();
        assert!(error.nearest.unwrap().starts_with("layers.1.mlp.gate"));
    }

    /// docs/probes.md has every probe in order, with its shape.
    #[test]
    fn the_page_of_probe_points_says_what_is_so() {
        let page = include_str!("../../../docs/probes.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let said: Vec<(String, String)> = rows
            .map(|row| {
                let mut cells = row.split(" | ");
                let name = cells.next().unwrap().trim_start_matches("| ").replace('`', "");
                (name, cells.next().unwrap().to_string())
            })
            .collect();
        // Every length is another's, so that each shape tells its letters.
        let config = Config::from_json(
            r#"{"model_type":"gemma2","vocab_size":13,"hidden_size":11,"intermediate_size":7,"num_hidden_layers":1,
                "num_attention_heads":6,"num_key_value_heads":3,"head_dim":4}"#,
        )
        .unwrap();
        let letters = [("T", 5), ("D", 11), ("F", 7), ("N", 6), ("K", 3), ("H", 4), ("V", 13)];
        let letter = |size: &usize| letters.iter().find(|(_, length)| length == size).unwrap().0;
        let graph = gemma2(&config);
        let is: Vec<(String, String)> = graph
            .probes()
            .map(|probe| {
                let shape: Vec<&str> = graph.shape(probe, 5).iter().map(letter).collect();
                (probe.pattern(), format!("[{}]", shape.join(", ")).replace("T, T]", "T, S]"))
            })
            .collect();
        assert_eq!(said, is);
    }
}
