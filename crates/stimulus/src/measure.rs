//! Verified, not assumed: right and mistaken model on a variant, and how far what is recorded moves.

use std::collections::BTreeSet;

use loupe_judge::{Moved, Visibility};
use loupe_spec::{Precision, Probe, ReplayError, Replayer};

use crate::StimulusError;
use crate::reach::within_reach;
use crate::target::Target;
use crate::variant::{Base, Variant};

/// A mistake counts as shown where it moves a stage by this many times the noise: well beyond the judge's limit of 3.
const SHOWN: f64 = 10.0;

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
    pub precision: Precision,
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
    pub fn measure(&self, variant: &Variant, recording: Recording) -> Result<Vec<Option<Found>>, StimulusError> {
        let reach = within_reach(&variant.graph, variant.token_ids.len());
        let recorded = match recording {
            Recording::Same => reach.intersection(self.recorded).copied().collect(),
            Recording::Everything => reach,
        };
        if recorded.is_empty() {
            return Ok(vec![None; self.targets.len()]);
        }
        let referee = variant.referee(self.base.watch);
        // What is hidden costs less than the run that it is hidden in, and there are many of it.
        referee.begins(&format!("what {} shows", variant.name), 1 + self.targets.len());
        referee.part(1);
        let visibility = Visibility::open(&referee, &variant.token_ids, &recorded, self.precision)?;
        let found = self.targets.iter().map(|target| {
            referee.part(1);
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
