//! One verdict held against what was planted.

use std::collections::BTreeSet;

use loupe_judge::NamedMistake;
use serde_json::{Value, json};

use super::cases::Kind;
use super::recording::Extent;
use super::said::{Said, stands_for};
use super::sites::{Place, Planting};
use super::truth::{Alike, Truth};

/// Whether a layer or a site was named as planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    Right,
    /// Another is named, and f64 with the mistake there differs by less than the noise.
    Untold,
    Wrong,
}

/// How one verdict came out.
#[derive(Clone, Debug)]
pub struct Score {
    /// f64 with and without it differ by less than the noise, and the verdict names nothing.
    pub hidden: bool,
    /// Where hidden: whether the verdict says that it cannot be seen here.
    pub declared: bool,
    /// The verdict says that something is wrong; for a dtype policy, it names it.
    pub detected: bool,
    pub inconclusive: bool,
    pub right_stage: bool,
    pub name_first: bool,
    pub named: bool,
    /// Planted in one layer and named: the layer.
    pub layer: Option<Placed>,
    /// Planted at one stage of one layer, named and recorded in full: the stage.
    pub site: Option<Placed>,
    pub wrong: Vec<String>,
}

impl Score {
    /// Whether something else was named than was planted: then it matters whether the two can be told apart.
    pub fn wants_a_referee(said: &Said, planting: &Planting, extent: Extent) -> bool {
        let id = planting.case.id();
        let elsewhere = [layer(said, planting), site(said, planting, extent)].contains(&Some(false));
        said.named.first().is_some_and(|first| first.id != id || !said.wrong(&[id]).is_empty() || elsewhere)
    }

    /// Of what is `said` about `planting`.
    pub fn of(said: &Said, planting: &Planting, extent: Extent, truth: &Truth) -> Score {
        let (case, same) = (planting.case, truth.alike == Some(Alike::Same));
        let named = same || said.has(case.id()) || (case.kind == Kind::Fault && said.word == "backend_fault");
        let fine = matches!(said.code, 0 | 4) && said.named.is_empty();
        let hidden = fine && !named && (truth.right_anyway || truth.hidden);
        let detected = match case.kind {
            Kind::Policy => named,
            Kind::Architectural | Kind::Fault => named || matches!(said.code, 1 | 3),
        };
        // Within the budget no stage fails by itself, and the mistake says where it shows.
        let place = said.first.clone().or(said.named.first().map(|named| named.probe.to_string()));
        let right_stage = place.is_some_and(|place| truth.first.iter().any(|probe| probe.to_string() == place));
        let placed = |right: bool| match truth.alike {
            _ if right => Placed::Right,
            Some(Alike::Same) => Placed::Right,
            Some(Alike::WithinNoise) => Placed::Untold,
            Some(Alike::Apart) | None => Placed::Wrong,
        };
        Score {
            hidden,
            declared: hidden && (truth.right_anyway || said.declares(case.id(), &planting.place)),
            detected,
            inconclusive: said.code == 4,
            right_stage,
            name_first: named && (same || said.named.first().is_none_or(|first| first.id == case.id())),
            named,
            layer: layer(said, planting).map(placed),
            site: site(said, planting, extent).map(placed),
            wrong: if same { Vec::new() } else { said.wrong(&[case.id()]) },
        }
    }

    /// What fell short, in a word; `None`: nothing.
    pub fn shortfall(&self) -> Option<&'static str> {
        Some(match self {
            score if !score.wrong.is_empty() => "wrong name",
            score if score.hidden && !score.declared => "hidden, not declared",
            score if score.hidden => return None,
            score if score.inconclusive && !score.named => "inconclusive",
            score if !score.detected => "missed",
            score if !score.named => "unnamed",
            score if !score.right_stage => "wrong stage",
            score if score.layer == Some(Placed::Wrong) => "wrong layer",
            score if score.site == Some(Placed::Wrong) => "wrong site",
            score if !score.name_first => "not first",
            _ => return None,
        })
    }
}

/// Those that name it or stand for it.
fn own<'a>(said: &'a Said, planting: &Planting) -> Option<Vec<&'a NamedMistake>> {
    let id = planting.case.id();
    let own: Vec<&NamedMistake> = said.named.iter().filter(|named| stands_for(named, id)).collect();
    (!own.is_empty()).then_some(own)
}

/// Whether it is named in its layer alone; `None`: it is not named, or was not planted in a layer.
fn layer(said: &Said, planting: &Planting) -> Option<bool> {
    let (own, layer) = (own(said, planting)?, planting.place.layer()?);
    let layers: BTreeSet<usize> = own.iter().flat_map(|named| named.layers.iter().copied()).collect();
    let within = own.iter().flat_map(|named| &named.sites).all(|site| site.layer() == Some(layer));
    Some(within && layers == BTreeSet::from([layer]))
}

/// Whether it is named at its stage alone.
fn site(said: &Said, planting: &Planting, extent: Extent) -> Option<bool> {
    let Place::Probe(probe) = planting.place else { return None };
    let own = own(said, planting).filter(|_| extent == Extent::Full)?;
    Some(own.iter().all(|named| named.sites == [probe]))
}

/// Counts over many scores.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub planted: usize,
    pub hidden: usize,
    /// Of those hidden.
    pub declared: usize,
    pub detected: usize,
    pub inconclusive: usize,
    pub right_stage: usize,
    pub name_first: usize,
    pub named: usize,
    pub layers: Places,
    pub sites: Places,
    pub wrong: usize,
}

/// Counts of [`Placed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub right: usize,
    pub untold: usize,
    pub wrong: usize,
}

impl Places {
    fn add(&mut self, placed: Option<Placed>) {
        match placed {
            Some(Placed::Right) => self.right += 1,
            Some(Placed::Untold) => self.untold += 1,
            Some(Placed::Wrong) => self.wrong += 1,
            None => {}
        }
    }

    /// Those that can be told.
    pub fn told(&self) -> usize {
        self.right + self.wrong
    }

    fn json(self) -> Value {
        json!({"right": self.right, "cannot_be_told": self.untold, "wrong": self.wrong})
    }
}

impl Tally {
    pub fn of<'a>(scores: impl Iterator<Item = &'a Score>) -> Tally {
        let mut tally = Tally::default();
        for score in scores {
            tally.planted += 1;
            tally.wrong += usize::from(!score.wrong.is_empty());
            if score.hidden {
                tally.hidden += 1;
                tally.declared += usize::from(score.declared);
                continue;
            }
            tally.detected += usize::from(score.detected);
            tally.inconclusive += usize::from(score.inconclusive);
            tally.right_stage += usize::from(score.right_stage);
            tally.name_first += usize::from(score.name_first);
            tally.named += usize::from(score.named);
            tally.layers.add(score.layer);
            tally.sites.add(score.site);
        }
        tally
    }

    /// Those that can be seen.
    pub fn visible(&self) -> usize {
        self.planted - self.hidden
    }

    pub fn json(&self) -> Value {
        json!({
            "planted": self.planted, "hidden": self.hidden, "hidden_and_declared": self.declared,
            "visible": self.visible(), "detected": self.detected, "inconclusive": self.inconclusive,
            "right_stage": self.right_stage, "name_first": self.name_first, "named": self.named,
            "layer": self.layers.json(), "site": self.sites.json(), "wrong_names": self.wrong,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::verdict::cases::find;
    use crate::verdict::said::tests::said;

    fn planting(place: Place) -> Planting {
        Planting { case: find("gelu_erf").unwrap(), place }
    }

    fn score(said: &Said, hidden: bool, alike: Option<Alike>) -> Score {
        let first = BTreeSet::from(["layers.1.mlp.act".parse().unwrap()]);
        let truth = Truth { first: &first, hidden, right_anyway: false, alike };
        Score::of(said, &planting(Place::Layer(1)), Extent::Full, &truth)
    }

    fn shortfall(said: &Said) -> Option<&'static str> {
        score(said, false, None).shortfall()
    }

    #[test]
    fn a_name_is_right_alone_or_among_those_that_fit() {
        assert_eq!(shortfall(&said(&[("gelu_erf", &[])], &[])), None);
        assert_eq!(shortfall(&said(&[("silu", &["gelu_erf"])], &[])), Some("not first"));
        assert_eq!(shortfall(&said(&[("silu", &[])], &[])), Some("wrong name"));
        assert_eq!(shortfall(&said(&[("gelu_erf", &[]), ("silu", &[])], &[])), Some("wrong name"));
        assert_eq!(shortfall(&said(&[], &[])), Some("missed"));
    }

    #[test]
    fn another_name_is_right_where_it_is_the_same_run() {
        let silu = said(&[("silu", &[])], &[]);
        assert_eq!(score(&silu, false, Some(Alike::Same)).shortfall(), None);
        assert_eq!(score(&silu, false, Some(Alike::WithinNoise)).shortfall(), Some("wrong name"));
        assert_eq!(score(&silu, false, Some(Alike::Apart)).shortfall(), Some("wrong name"));
        let fits = said(&[("silu", &["gelu_erf"])], &[]);
        assert!(Score::wants_a_referee(&fits, &planting(Place::Layer(1)), Extent::Full));
        assert_eq!(score(&fits, false, Some(Alike::Same)).shortfall(), None);
    }

    #[test]
    fn what_cannot_be_seen_is_hidden_and_has_to_be_declared() {
        assert_eq!(score(&said(&[], &["gelu_erf"]), true, None).shortfall(), None);
        assert_eq!(score(&said(&[], &["gelu_erf"]), false, None).shortfall(), Some("missed"));
        let silent = score(&said(&[], &[]), true, None);
        assert!(silent.hidden && silent.shortfall() == Some("hidden, not declared"));
        let named = score(&said(&[("gelu_erf", &[])], &[]), true, None);
        assert!(!named.hidden && named.shortfall().is_none());
    }

    #[test]
    fn a_layer_is_right_alone_and_untold_where_f64_cannot_tell() {
        let mut elsewhere = said(&[("gelu_erf", &[])], &[]);
        elsewhere.named[0].layers = vec![0];
        elsewhere.named[0].sites.clear();
        assert!(Score::wants_a_referee(&elsewhere, &planting(Place::Layer(1)), Extent::Logits));
        assert_eq!(score(&elsewhere, false, Some(Alike::Apart)).layer, Some(Placed::Wrong));
        assert_eq!(score(&elsewhere, false, Some(Alike::WithinNoise)).layer, Some(Placed::Untold));
        elsewhere.named[0].layers = vec![0, 1];
        assert_eq!(score(&elsewhere, false, None).shortfall(), Some("wrong layer"));
    }

    #[test]
    fn a_site_is_right_alone_and_has_to_be_said() {
        let act = planting(Place::Probe("layers.1.mlp.act".parse().unwrap()));
        let mut said = said(&[("gelu_erf", &[])], &[]);
        assert_eq!(site(&said, &act, Extent::Full), Some(true));
        assert_eq!(site(&said, &act, Extent::Layers), None);
        said.named[0].sites.push("layers.1.mlp.gated".parse().unwrap());
        assert_eq!((layer(&said, &act), site(&said, &act, Extent::Full)), (Some(true), Some(false)));
        said.named[0].sites.clear();
        assert_eq!(site(&said, &act, Extent::Full), Some(false));
    }

    #[test]
    fn hidden_ones_are_counted_apart() {
        let visible = score(&said(&[("gelu_erf", &[])], &[]), false, None);
        let hidden = score(&said(&[], &["gelu_erf"]), true, None);
        let tally = Tally::of([visible, hidden].iter());
        assert_eq!((tally.planted, tally.visible(), tally.detected, tally.declared), (2, 1, 1, 1));
        assert_eq!(tally.layers, Places { right: 1, untold: 0, wrong: 0 });
    }
}
