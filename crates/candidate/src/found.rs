//! What one name says by itself, and what that means in a model.

use loupe_spec::{NameEntry, Named, Probe};

use crate::counting::Counting;
use crate::dialects::{Holds, value};
use crate::meaning::{Meaning, Whose};

/// A name of "names" that leads to another name is followed so often.
const MOST_RENAMED: usize = 4;

/// Whose name it is, and what it says.
pub struct Found {
    /// `None`: nobody's.
    pub source: Option<Whose>,
    /// What it says.
    pub holds: Says,
}

/// What a name says, its layer by its own number.
pub enum Says {
    /// By an entry of "names" that holds no `{l}`.
    Exactly(Probe),
    /// A name of some program's, or a pattern of "names".
    Holds(Holds, usize),
    /// `rope.*` or `weights.*`
    Recorded,
    /// Nothing that is known.
    Nothing,
}

impl Found {
    /// What the name says of a layer, the layer as its number counts.
    pub fn in_layer(&self) -> Option<Probe> {
        let said = match self.holds {
            Says::Holds(Holds::Probe(probe), _) => Some(probe),
            Says::Holds(Holds::Values([path, ..]) | Holds::Fused([path, ..]), layer) => value(path, layer),
            _ => None,
        };
        said.filter(|probe| probe.layer().is_some())
    }
}

/// What `name` says, by the config's `entries` and the names in `order`.
pub fn found(name: &str, entries: &[NameEntry], order: &[Whose]) -> Found {
    let mut name = name.to_string();
    let mut by_config = None;
    for _ in 0..MOST_RENAMED {
        // A name in full goes before a pattern.
        let exact = entries.iter().filter(|entry| entry.probe().is_some());
        let patterns = entries.iter().filter(|entry| entry.probe().is_none());
        let entry = exact.chain(patterns).find_map(|entry| Some((entry, entry.of(&name)?)));
        by_config = by_config.or(entry.as_ref().map(|_| Whose::Config));
        match entry {
            Some((entry, Named::Probe(probe))) => {
                let is_exact = entry.probe().is_some();
                let holds = if is_exact { Says::Exactly(probe) } else { Says::Holds(Holds::Probe(probe), 0) };
                return Found { source: by_config, holds };
            }
            Some((_, Named::Renamed(other))) => name = other,
            None => break,
        }
    }
    if name.starts_with("rope.") || name.starts_with("weights.") {
        return Found { source: by_config.or(Some(Whose::Loupe)), holds: Says::Recorded };
    }
    match order.iter().find_map(|source| source.look_up(&name).map(|found| (*source, found))) {
        Some((source, (holds, layer))) => {
            Found { source: by_config.or(Some(source)), holds: Says::Holds(holds, layer) }
        }
        None => Found { source: None, holds: Says::Nothing },
    }
}

impl Says {
    /// What it means in a model of so many `layers`, that are counted so.
    pub fn meaning(&self, layers: usize, counting: Counting) -> Meaning {
        match *self {
            Says::Exactly(probe) => values(&[probe], layers, Counting::FromZero),
            Says::Holds(Holds::Probe(probe), _) => values(&[probe], layers, counting),
            Says::Holds(Holds::Values(paths), layer) => values(&at(paths, layer), layers, counting),
            Says::Holds(Holds::Fused(paths), layer) => match values(&at(paths, layer), layers, counting) {
                Meaning::Values(probes) => Meaning::Fused(probes),
                other => other,
            },
            Says::Holds(Holds::HiddenState, at) => hidden_state(at, layers),
            Says::Holds(Holds::HiddenStates, _) => Meaning::Stacked,
            Says::Holds(Holds::Nothing(what), _) => Meaning::Nothing(what),
            Says::Recorded => Meaning::Recorded,
            Says::Nothing => Meaning::Unknown(None),
        }
    }
}

/// The values of these paths, those of a layer in `layer`.
fn at(paths: &[&str], layer: usize) -> Vec<Probe> {
    paths.iter().filter_map(|path| value(path, layer)).collect()
}

/// What transformers' `hidden_states[number]` is.
pub(crate) fn hidden_state(number: usize, layers: usize) -> Meaning {
    let before = number.saturating_sub(1);
    match number {
        0 => Meaning::Values(at(&["embed.scaled"], 0)),
        last if last == layers => Meaning::Values(at(&["norm", "output"], before)),
        inner if inner < layers => Meaning::Values(at(&["output"], before)),
        _ => Meaning::Nothing("of a layer that the model has not"),
    }
}

/// `probes` by the numbers in their names, in a model of so many `layers` that are counted so.
fn values(probes: &[Probe], layers: usize, counting: Counting) -> Meaning {
    let output = probes.first().filter(|first| first.path() == "output" && counting == Counting::States);
    if let Some(number) = output.and_then(|output| output.layer()) {
        return hidden_state(number, layers);
    }
    let counted: Option<Vec<Probe>> = probes.iter().map(|probe| counting.counted(*probe)).collect();
    match counted.filter(|probes| probes.iter().all(|probe| probe.layer().is_none_or(|layer| layer < layers))) {
        Some(probes) => Meaning::Values(probes),
        None => Meaning::Nothing("of a layer that the model has not"),
    }
}
