//! Two or three mistakes at once, where one segment hides several stages (candle's gemma2 has three).

use std::collections::BTreeSet;

use loupe_spec::{Mistake, MistakeKind, Probe};

use crate::ReplayError;
use crate::naming::explain::MOST_WEIGHTS;
use crate::naming::hypothesis::{Hypothesis, Scope};
use crate::naming::scene::{Made, Scene, Trial};
use crate::naming::slope::{Part, Slope};
use crate::stage::Stage;

/// How many at once, and how many sets are kept on the way.
const DEPTH: usize = 3;
const WIDTH: usize = 6;
/// Sets that come this near, and no nearer, are measured with their own noise.
const NEAR: f64 = 100.0;

/// One of several.
#[derive(Clone)]
pub struct Member {
    pub mistake: &'static Mistake,
    pub made: Made,
}

/// A set with how far it leaves the failing stages from fitting.
struct Set {
    members: Vec<Member>,
    cost: f64,
}

impl Set {
    fn names(&self) -> Vec<String> {
        self.members.iter().flat_map(|member| member.made.names.clone()).collect()
    }
}

impl Scene<'_> {
    /// The smallest set that brings all of `open` inside the budget, each member of which is needed for it.
    pub fn several_together(
        &self,
        trials: &[Trial],
        open: &BTreeSet<Probe>,
    ) -> Result<Option<Vec<Member>>, ReplayError> {
        if self.weights_read(open) > MOST_WEIGHTS {
            return Ok(None);
        }
        let changes = |trial: &&Trial| {
            trial.hypothesis.mistake.kind == MistakeKind::Architectural && trial.parts.values().any(Part::is_there)
        };
        let singles: Vec<Set> = trials.iter().filter(changes).map(|trial| self.single(trial, open)).collect();
        let more: Vec<Member> = trials
            .iter()
            .filter(changes)
            .filter(|trial| trial.hypothesis.scope == Scope::Everywhere)
            .flat_map(|trial| self.single(trial, open).members)
            .collect();
        let mut beam = nearest(singles);
        for _ in 1..DEPTH {
            let mut next = Vec::new();
            for set in &beam {
                for member in &more {
                    if set.members.iter().any(|own| own.mistake.id == member.mistake.id) {
                        continue;
                    }
                    let members: Vec<Member> = set.members.iter().chain([member]).cloned().collect();
                    let mut larger = Set { members, cost: 0.0 };
                    let first = larger.members.iter().filter_map(|own| own.made.sites.first().copied()).min();
                    let predicted = self.predict(&larger.names(), first, open)?;
                    larger.cost = self.cost(open, |stage| match predicted.get(&stage.probe) {
                        Some(tensor) => stage.fit(&tensor.values.to_f64()).size(),
                        None => f64::INFINITY,
                    });
                    next.push(larger);
                }
            }
            beam = nearest(next);
            for set in &beam {
                if self.explains(set, open)? {
                    return Ok(Some(set.members.clone()));
                }
            }
        }
        Ok(None)
    }

    fn single(&self, trial: &Trial, open: &BTreeSet<Probe>) -> Set {
        let Hypothesis { mistake, .. } = trial.hypothesis;
        let recorded = self.affected(|probe| trial.hypothesis.touches(probe));
        let sites = self.touched(&recorded, |probe| trial.hypothesis.touches(probe));
        let cost = self.cost(open, |stage| match trial.fits.get(&stage.probe) {
            Some(fit) => fit.size(),
            None => stage.fit(&stage.exact).size(),
        });
        let made = Made { names: trial.hypothesis.names(&sites), sites };
        Set { members: vec![Member { mistake, made }], cost }
    }

    /// How far the stages `open` are from fitting, each being off by `size`. 0 within the noise; logarithms, so that one
    /// stage far off does not hide what the others gain.
    pub fn cost(&self, open: &BTreeSet<Probe>, size: impl Fn(&Stage) -> f64) -> f64 {
        self.stages.iter().filter(|stage| open.contains(&stage.probe)).map(|stage| size(stage).max(1.0).ln()).sum()
    }

    /// Whether `set`, by its own noise, leaves nothing of `open` failing, and each member earns its place: what it adds
    /// to the others is in the residual, in its full size.
    fn explains(&self, set: &Set, open: &BTreeSet<Probe>) -> Result<bool, ReplayError> {
        if set.cost > NEAR.ln() * open.len() as f64 {
            return Ok(false);
        }
        let with = self.noisy(open, &self.with(&set.names()))?;
        if with.len() < open.len() || !with.iter().all(|stage| stage.fit(&stage.exact).passes()) {
            return Ok(false);
        }
        for left_out in 0..set.members.len() {
            let others = set.members.iter().enumerate().filter(|(at, _)| *at != left_out);
            let names: Vec<String> = others.flat_map(|(_, member)| member.made.names.clone()).collect();
            let without = self.predict(&names, None, open)?;
            let parts: Vec<Part> = with
                .iter()
                .filter_map(|stage| {
                    let right = without.get(&stage.probe)?.values.to_f64();
                    Some(Part::of(stage, &right, &stage.exact, &stage.noise))
                })
                .collect();
            if !Slope::of(parts.iter()).earns() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn nearest(mut sets: Vec<Set>) -> Vec<Set> {
    sets.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    sets.truncate(WIDTH);
    sets
}
