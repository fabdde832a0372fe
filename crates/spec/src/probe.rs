//! The names of the values of a forward pass. What each is computed from stands in [`crate::gemma2`].

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::place::Place;

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

impl Probe {
    /// `token_ids` [T], `<bos>` included: where everything starts.
    pub const TOKEN_IDS: Probe = Probe { place: Place::FIRST, path: "token_ids" };

    /// What a graph records under `path` after `last`, in `layer` or outside of all.
    pub(crate) fn after(last: Option<Probe>, layer: Option<usize>, path: &'static str) -> Probe {
        Probe { place: last.map_or(Place::FIRST, |last| Place::after(last.place, layer)), path }
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
}
