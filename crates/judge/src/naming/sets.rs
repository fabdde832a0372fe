//! Several mistakes at once, which one segment hides together (candle's gemma2 had three): a beam search over sets.

use std::collections::BTreeSet;

use loupe_spec::{Edit, Mistake, MistakeKind, Probe, ReplayError, Trace};

use crate::limits::{LEAST_BITS, MOST_WEIGHTS, SET_SIZE, SETS_KEPT, WORTH_MEASURING};
use crate::naming::comparison::{Comparison, Planting, Trial};
use crate::naming::hypothesis::{Hypothesis, Scope};
use crate::naming::slope::{Slope, Sums, excludes};

/// A mistake of a set.
#[derive(Clone)]
pub struct Member {
    pub mistake: &'static Mistake,
    pub planting: Planting,
    /// Ids of mistakes that would explain as much in its place.
    pub alternatives: BTreeSet<&'static str>,
}

/// A set of mistakes, what it predicts, and how badly the failing stages fit that.
struct Set {
    members: Vec<Member>,
    predicted: Trace,
    /// 0 where every token is within the noise.
    cost: f64,
    /// The sum of the squares of the sizes, which tells sets apart whose cost is 0.
    squares: f64,
}

impl Set {
    fn edits(&self) -> Vec<Edit> {
        self.members.iter().flat_map(|member| member.planting.edits.clone()).collect()
    }

    fn has(&self, id: &str) -> bool {
        self.members.iter().any(|member| member.mistake.id == id)
    }
}

impl Comparison<'_> {
    /// The first set, of two and then of three, that the search finds to bring all stages of `open` inside their limits with every member
    /// needed. Members after the first are made everywhere.
    pub fn several_together(
        &self,
        trials: &[Trial],
        open: &BTreeSet<Probe>,
    ) -> Result<Option<Vec<Member>>, ReplayError> {
        if self.weights_read(open, |_| true) > MOST_WEIGHTS {
            return Ok(None);
        }
        let changes = |trial: &&Trial| {
            trial.hypothesis.mistake.kind == MistakeKind::Architectural && trial.sums.values().any(Sums::is_there)
        };
        let singles = trials.iter().filter(changes).map(|trial| self.single(trial));
        let everywhere: Vec<Member> = trials
            .iter()
            .filter(changes)
            .filter(|trial| trial.hypothesis.scope == Scope::Everywhere)
            .map(|trial| self.single(trial))
            .collect();
        let most = self.most_bits(open);
        let mut by_chance = (trials.len() as f64).log2() + LEAST_BITS;
        if most < by_chance {
            return Ok(None);
        }
        self.replayer.begins("several mistakes together", 0);
        let sets = singles.map(|member| self.set(vec![member], open)).collect::<Result<_, _>>()?;
        let mut beam = nearest(sets);
        for _ in 1..SET_SIZE {
            // The beam keeps the nearest of all these sets, so all of them count as tried.
            by_chance += (everywhere.len() as f64).log2();
            if most < by_chance {
                break;
            }
            let mut next = Vec::new();
            for set in &beam {
                for member in everywhere.iter().filter(|member| !set.has(member.mistake.id)) {
                    next.push(self.set(set.members.iter().chain([member]).cloned().collect(), open)?);
                }
            }
            beam = nearest(next);
            let mut explaining = Vec::new();
            for set in beam.iter().filter(|set| self.bits(open, &set.predicted) >= by_chance) {
                if self.explains(set, open)? {
                    explaining.push(set);
                }
            }
            if let Some(members) = self.best_set(&explaining, open) {
                return Ok(Some(members));
            }
        }
        Ok(None)
    }

    fn single(&self, trial: &Trial) -> Member {
        let Hypothesis { mistake, .. } = trial.hypothesis;
        let recorded = self.affected(|probe| trial.hypothesis.touches(probe));
        let sites = self.touched(&recorded, |probe| trial.hypothesis.touches(probe));
        let edits = vec![trial.hypothesis.edit(self.replayer.graph(), &sites)];
        let planting = Planting { edits, sites };
        Member { mistake, planting, alternatives: BTreeSet::new() }
    }

    fn set(&self, members: Vec<Member>, open: &BTreeSet<Probe>) -> Result<Set, ReplayError> {
        let first = members.iter().filter_map(|own| own.planting.sites.first().copied()).min();
        let mut set = Set { members, predicted: Trace::new(), cost: 0.0, squares: 0.0 };
        set.predicted = self.predict(&set.edits(), first, open)?;
        // Token by token. An early token sees few others: a mistake of the attention pattern does not reach it, and the set's other
        // mistake alone brings it inside the noise.
        for stage in self.stages.iter().filter(|stage| open.contains(&stage.probe)) {
            let sizes = match set.predicted.get(&stage.probe) {
                Some(predicted) => stage.row_sizes(&stage.seen(predicted)),
                None => vec![f64::INFINITY],
            };
            set.cost += sizes.iter().map(|size| size.max(1.0).ln()).sum::<f64>() / sizes.len().max(1) as f64;
            set.squares += sizes.iter().map(|size| size * size).sum::<f64>();
        }
        Ok(set)
    }

    /// Whether no stage of `open` fails with `set` planted, by the noise of its own predictions, and each member is needed: what
    /// it changes beside the others has a slope near 1.
    fn explains(&self, set: &Set, open: &BTreeSet<Probe>) -> Result<bool, ReplayError> {
        if set.cost > WORTH_MEASURING.ln() * open.len() as f64 {
            return Ok(false);
        }
        let with = self.noisy(open, &self.with(&set.edits()))?;
        if with.len() < open.len() || !with.iter().all(|stage| stage.fit(&stage.exact).passes()) {
            return Ok(false);
        }
        for left_out in 0..set.members.len() {
            let others = set.members.iter().enumerate().filter(|(at, _)| *at != left_out);
            let edits: Vec<Edit> = others.flat_map(|(_, member)| member.planting.edits.clone()).collect();
            let without = self.predict(&edits, None, open)?;
            let sums: Vec<Sums> = with
                .iter()
                .filter_map(|stage| {
                    let right = stage.seen(without.get(&stage.probe)?);
                    Some(Sums::of(stage, &right, &stage.exact, &stage.noise))
                })
                .collect();
            if !Slope::of(sums.iter()).earns() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Of the sets that explain everything, the one that fits best. Another set that the recordings do not tell from it gives
    /// alternatives for the members that it has not.
    fn best_set(&self, explaining: &[&Set], open: &BTreeSet<Probe>) -> Option<Vec<Member>> {
        let best = explaining.iter().min_by(|a, b| a.squares.total_cmp(&b.squares))?;
        let stages = self.by_probe();
        let mut members = best.members.clone();
        let alike = |other: &&&Set| !excludes(&stages, open.iter().copied(), &best.predicted, &other.predicted);
        for other in explaining.iter().filter(alike) {
            let instead = other.members.iter().map(|member| member.mistake.id).filter(|id| !best.has(id));
            let instead: Vec<&str> = instead.collect();
            for member in members.iter_mut().filter(|member| !other.has(member.mistake.id)) {
                member.alternatives.extend(&instead);
            }
        }
        Some(members)
    }
}

fn nearest(mut sets: Vec<Set>) -> Vec<Set> {
    sets.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.squares.total_cmp(&b.squares)));
    sets.truncate(SETS_KEPT);
    sets
}
