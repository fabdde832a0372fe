//! Where a mistake is planted.

use std::fmt;

use loupe_spec::{Config, Probe};
use miette::{Result, miette};

use super::cases::Case;

/// What the settings ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    Everywhere,
    First,
    Middle,
    Last,
    /// One probe of one layer, for mistakes that change more than one.
    Stage,
}

impl Site {
    pub const ALL: [(&str, Site); 5] = [
        ("everywhere", Site::Everywhere),
        ("first", Site::First),
        ("middle", Site::Middle),
        ("last", Site::Last),
        ("stage", Site::Stage),
    ];

    /// Its name in a config.
    pub fn of(name: &str) -> Result<Site> {
        let known = Site::ALL.into_iter().find(|(known, _)| *known == name);
        let names = Site::ALL.map(|(name, _)| name).join(", ");
        known.map(|(_, site)| site).ok_or_else(|| miette!("there is no site \"{name}\"; there are {names}"))
    }

    /// The place in a model of this config. `turn` goes round the stages and the layers; `None`: `case` has no such site.
    fn place(self, case: &Case, config: &Config, turn: usize) -> Option<Place> {
        let layers = config.num_hidden_layers;
        let layer = match self {
            Site::Everywhere => return Some(Place::Everywhere),
            Site::Stage => return stage(case, layers, turn),
            Site::First => 0,
            Site::Middle => layers / 2,
            Site::Last => layers - 1,
        };
        case.in_layers.then_some(Place::Layer(layer))
    }
}

fn stage(case: &Case, layers: usize, turn: usize) -> Option<Place> {
    if !case.in_layers || case.at.len() < 2 {
        return None;
    }
    let path = case.at[turn % case.at.len()];
    // The last norm is outside the layers.
    let name = if path == "norm" { path.to_string() } else { format!("layers.{}.{path}", turn % layers) };
    name.parse().ok().map(Place::Probe)
}

/// A place in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Everywhere,
    Layer(usize),
    Probe(Probe),
}

impl Place {
    /// The layer, where it is in one.
    pub fn layer(&self) -> Option<usize> {
        match self {
            Place::Everywhere => None,
            Place::Layer(layer) => Some(*layer),
            Place::Probe(probe) => probe.layer(),
        }
    }

    /// Whether it is in `site`, a layer or a probe.
    pub fn is_in(&self, site: &str) -> bool {
        match self {
            Place::Everywhere => false,
            Place::Layer(layer) => layer_of(site) == Some(*layer),
            Place::Probe(probe) => {
                let whole_layer = site.parse::<Probe>().is_err() && layer_of(site) == probe.layer();
                probe.to_string() == site || (whole_layer && probe.layer().is_some())
            }
        }
    }
}

/// `3`, or a probe in layer 3, as a verdict names where something is unseen: the layer.
fn layer_of(site: &str) -> Option<usize> {
    Probe::named(site).map_or_else(|| site.parse().ok(), Probe::layer)
}

/// A mistake and its place. `Display`: as a config plants it.
#[derive(Clone, Copy, Debug)]
pub struct Planting {
    pub case: &'static Case,
    pub place: Place,
}

impl fmt::Display for Planting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Everywhere => f.write_str(&self.case.name),
            Place::Layer(layer) => write!(f, "{}@{layer}", self.case.name),
            Place::Probe(probe) => write!(f, "{}@{probe}", self.case.name),
        }
    }
}

/// Every one of `cases` at every one of `sites`, each place once. `turn` is the number of the group.
pub fn plantings(cases: &[&'static Case], sites: &[Site], config: &Config, turn: usize) -> Vec<Planting> {
    let mut all: Vec<Planting> = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let mut places: Vec<Place> = Vec::new();
        for place in sites.iter().filter_map(|site| site.place(case, config, turn + number)) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        all.extend(places.into_iter().map(|place| Planting { case, place }));
    }
    all
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;
    use crate::verdict::cases::{ALL, find};

    /// mini's.
    pub fn config() -> Config {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/mini/config.json");
        Config::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn every_stage_has_its_turn() {
        let case = find("norm_without_one").unwrap();
        let at = |turn: usize| plantings(&[case], &[Site::Stage], &config(), turn)[0].to_string();
        let planted: BTreeSet<String> = (0..case.at.len()).map(at).collect();
        assert_eq!(planted.len(), case.at.len());
        assert!(planted.contains("norm_without_one@norm"));
    }

    #[test]
    fn each_place_once_and_only_where_it_applies() {
        let config = config();
        let sites = Site::ALL.map(|(_, site)| site);
        let of = |name: &str| -> Vec<String> {
            plantings(&[find(name).unwrap()], &sites, &config, 0).iter().map(ToString::to_string).collect()
        };
        // Two layers: the middle one is the last.
        assert_eq!(of("silu"), ["silu", "silu@0", "silu@1"]);
        assert_eq!(of("embed_scale_missing"), ["embed_scale_missing"]);
        assert_eq!(of("rope_theta").last().unwrap(), "rope_theta@layers.0.self_attn.q_rope");
        for planting in plantings(&ALL.iter().collect::<Vec<_>>(), &sites, &config, 3) {
            assert_eq!(find(&planting.to_string()).unwrap().name, planting.case.name);
        }
    }

    #[test]
    fn a_place_is_in_its_layer_and_its_probe() {
        let probe = Place::Probe("layers.1.mlp.act".parse().unwrap());
        assert!(probe.is_in("1") && probe.is_in("layers.1.mlp.act"));
        assert!(!probe.is_in("layers.1.mlp.gated") && !probe.is_in("0"));
        assert!(Place::Layer(1).is_in("layers.1.mlp.act") && !Place::Everywhere.is_in("1"));
        assert!(
            !Place::Probe("norm".parse().unwrap()).is_in("1") && Place::Probe("norm".parse().unwrap()).is_in("norm")
        );
    }
}
