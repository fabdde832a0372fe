//! Verified, not assumed: right and mistaken model on a variant, and how far what is recorded moves.

use std::collections::BTreeSet;

use loupe_judge::{Level, Moved, NamedMistake, Verdict, Visibility, Why};
use loupe_spec::{Graph, Mistake, Probe, ReplayError};

use super::part::Part;
use super::variant::{Base, Variant};
use crate::CheckError;

/// A mistake counts as shown where it moves a stage by this many times the noise: well beyond the judge's limit of 3.
const SHOWN: f64 = 10.0;
/// Weights times tokens of a run that is cheap enough to be made for each mistake (a second or two in f64 on two
/// cores). Of a larger model the first two layers are run, a sliding and a full one.
const CHEAP: usize = 10_000_000_000;
/// The same of a run that takes milliseconds.
const A_MOMENT: usize = 100_000_000;
/// Logits beyond this many are not held in f64, six times over.
const MOST_LOGITS: usize = 10_000_000;

/// Something that the judged input could not tell.
pub struct Target {
    pub what: What,
    /// Each has to be told: right code (`None`) or one way of a mistake, from another.
    pairs: Vec<(Option<&'static Mistake>, &'static Mistake)>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The id of a mistake that could not be seen.
    Hidden(String),
    /// The ids of two mistakes that explain the judged run alike.
    Tie([String; 2]),
}

impl Target {
    /// What `verdict` leaves open. What was not recorded is asked of a recording, not of another input.
    pub fn of(verdict: &Verdict) -> Vec<Target> {
        let hidden =
            verdict.unseen.iter().filter(|unseen| unseen.sites.is_none() && unseen.why != Why::NotRecorded).map(
                |unseen| Target {
                    what: What::Hidden(unseen.id.clone()),
                    pairs: called(&unseen.id).into_iter().map(|mistake| (None, mistake)).collect(),
                },
            );
        hidden.filter(|target| !target.pairs.is_empty()).chain(Target::ties(verdict)).collect()
    }

    /// The mistakes of which `verdict` names one and cannot exclude the other.
    pub fn ties(verdict: &Verdict) -> Vec<Target> {
        let tie = |named: &NamedMistake, other: &String| {
            let own = called(&named.id).into_iter().find(|mistake| mistake.variant == named.variant.as_deref());
            Target {
                what: What::Tie([named.id.clone(), other.clone()]),
                pairs: called(other).into_iter().map(|mistake| (own, mistake)).collect(),
            }
        };
        let of = |named: &NamedMistake| named.alternatives.iter().map(|other| tie(named, other)).collect::<Vec<_>>();
        verdict.mistakes.iter().flat_map(of).filter(|target| !target.pairs.is_empty()).collect()
    }

    /// Every mistake in it.
    pub fn mistakes(&self) -> impl Iterator<Item = &'static Mistake> + '_ {
        self.pairs.iter().flat_map(|(one, other)| one.iter().copied().chain([*other]))
    }

    /// Whether `part` may help to tell it.
    pub fn is_aim_of(&self, part: Part) -> bool {
        self.mistakes().any(|mistake| part.aims_at(mistake))
    }
}

/// Every way of the mistake `id`.
fn called(id: &str) -> Vec<&'static Mistake> {
    loupe_engine::mistakes().iter().filter(|mistake| mistake.id == id).collect()
}

/// Where a target shows.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub probe: Probe,
    pub times_noise: f64,
    /// Whether it was run.
    pub verified: bool,
}

impl Found {
    /// Whether that is far enough to be called shown.
    pub fn shows(self) -> bool {
        !self.verified || self.times_noise >= SHOWN
    }
}

/// Everything that measuring takes.
pub struct Bench<'a> {
    pub base: Base<'a>,
    /// What the judged run recorded.
    pub recorded: &'a BTreeSet<Probe>,
    /// What it was computed in.
    pub level: Level,
    pub targets: &'a [Target],
}

/// What may be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recording {
    /// What the judged run recorded.
    Same,
    /// Every probe point.
    Everything,
}

impl Bench<'_> {
    /// How each target fares on `variant`: where it shows first, else where it moves most; `None` where nothing moves.
    pub fn measure(&self, variant: &Variant, recording: Recording) -> Result<Vec<Option<Found>>, CheckError> {
        let reach = within_reach(&variant.graph, variant.token_ids.len());
        let recorded = match recording {
            Recording::Same => reach.intersection(self.recorded).copied().collect(),
            Recording::Everything => reach,
        };
        if recorded.is_empty() {
            return Ok(vec![None; self.targets.len()]);
        }
        let referee = variant.referee();
        let visibility = Visibility::open(&referee, &variant.token_ids, &recorded, self.level)?;
        let found = self.targets.iter().map(|target| {
            let found = target.pairs.iter().map(|(one, other)| Ok(first_shown(&visibility.between(*one, other)?)));
            let found = found.collect::<Result<Vec<_>, ReplayError>>()?;
            // One way of a mistake that stays hidden hides the mistake.
            Ok(found.into_iter().min_by(|a, b| size(*a).total_cmp(&size(*b))).flatten())
        });
        found.collect()
    }

    /// Where `target` first changes anything, if no stage of it is within reach on `variant`: a stimulus for it can be
    /// made but not verified.
    pub fn beyond_reach(&self, target: &Target, variant: &Variant) -> Option<Found> {
        let reach = within_reach(&variant.graph, variant.token_ids.len());
        let touched = |probe: &Probe| target.mistakes().any(|mistake| (mistake.at)(*probe));
        let first = variant.graph.probes().find(touched)?;
        (!reach.iter().any(touched)).then_some(Found { probe: first, times_noise: f64::INFINITY, verified: false })
    }
}

fn size(found: Option<Found>) -> f64 {
    found.map_or(0.0, |found| found.times_noise)
}

fn first_shown(moved: &[Moved]) -> Option<Found> {
    let first = moved.iter().find(|moved| moved.times_noise >= SHOWN);
    let most = || moved.iter().max_by(|a, b| a.times_noise.total_cmp(&b.times_noise)).filter(|m| m.times_noise > 0.0);
    let found = first.or_else(most)?;
    Some(Found { probe: found.probe, times_noise: found.times_noise, verified: true })
}

/// How many layers are run: all, or two where a run is too dear.
pub fn layers_in_reach(graph: &Graph, tokens: usize) -> usize {
    if cost(graph, tokens) <= CHEAP {
        graph.config().num_hidden_layers
    } else {
        graph.config().num_hidden_layers.min(2)
    }
}

/// Whether a stimulus may be designed though nobody asked for one.
pub fn is_cheap(graph: &Graph, tokens: usize) -> bool {
    cost(graph, tokens) <= A_MOMENT
}

/// Weights times tokens.
fn cost(graph: &Graph, tokens: usize) -> usize {
    let weights: usize = graph.weights().map(|weight| graph.weight_shape(weight).iter().product::<usize>()).sum();
    weights.saturating_mul(tokens)
}

/// The probes that are run.
fn within_reach(graph: &Graph, tokens: usize) -> BTreeSet<Probe> {
    let layers = layers_in_reach(graph, tokens);
    let all_layers = layers == graph.config().num_hidden_layers;
    let is_within = |probe: &Probe| match probe.layer() {
        Some(layer) => layer < layers,
        None if *probe == Probe::TOKEN_IDS => false,
        None if probe.is_embedding() => true,
        None => all_layers && (!probe.is_logits() || tokens * graph.config().vocab_size <= MOST_LOGITS),
    };
    graph.probes().filter(is_within).collect()
}
