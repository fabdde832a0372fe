//! Which mistake? The one that, planted in the reference, brings most of the failing stages inside their limits; and what explains the rest.
//!
//! 1. Every mistake of the catalogue is planted in the reference and tried on the failing stages (`comparison.rs`), in several scopes
//!    (`hypothesis.rs`). A regression of the residual on what the mistake changes says whether it was made (`slope.rs`); the mistake that
//!    explains most is named, with those that the recordings do not tell from it (`explain.rs`).
//! 2. Where none fits, a parameter with a wrong value is fitted (`fit.rs`), then sets of up to three mistakes (`sets.rs`).
//! 3. What is found is planted for good, and the search begins again with what still fails.
//! 4. Last, every mistake is tried on all stages together (`below.rs`). If nothing fails any more, those that show below the limits are named,
//!    after a second look (`confirm.rs`). In every case those that could not be seen, or were not tried, are listed.

mod below;
mod comparison;
mod confirm;
mod explain;
mod findings;
mod fit;
mod hypothesis;
mod regression;
mod sets;
mod slope;

use std::collections::BTreeSet;

use loupe_spec::{Given, Kind, Precision, Probe, ReplayError, Replayer};

use crate::limits::{LEAST_BITS, MOST_ROUNDS, TENSOR_LIMIT};
use crate::picture::Detail;
use crate::segments::Segments;
use crate::stage::Stage;
use crate::words::{and, count, share};

use comparison::{Comparison, Planting};
use explain::Explanation;
pub use findings::Findings;
use sets::Member;

/// What the search starts from.
pub struct Search<'a> {
    /// The model.
    pub replayer: &'a dyn Replayer,
    /// What was recorded.
    pub given: Given<'a>,
    /// For each recorded probe, the stages that are recomputed to predict it.
    pub segments: &'a Segments,
    /// The recorded stages with their right predictions and noise.
    pub stages: &'a [Stage],
    /// The candidate's precision.
    pub precision: Precision,
    /// Whether a page is to draw by which values something was named.
    pub detail: Detail,
}

impl Search<'_> {
    /// Names what explains the stages `failing`. If `sound` (nothing is broken, and the precision is known) and nothing fails any more, names
    /// what shows below the limits, too.
    ///
    /// # Errors
    /// What the replayer says.
    pub fn run(&self, failing: &BTreeSet<Probe>, sound: bool) -> Result<Findings, ReplayError> {
        let mut findings = Findings::default();
        let mut comparison = Comparison::open(self.replayer, self.given, self.segments, self.stages, self.precision)?;
        let mut open = failing.clone();
        for _ in 0..MOST_ROUNDS {
            if open.is_empty() || !comparison.explain(&open, &mut findings)? {
                break;
            }
            open = comparison.failing().intersection(failing).copied().collect();
        }
        comparison.below_the_limits(sound && open.is_empty(), &mut findings)?;
        findings.unnamed = open.into_iter().collect();
        findings.forget_the_named();
        findings.unseen.sort_by(|a, b| (a.why, &a.id, &a.sites).cmp(&(b.why, &b.id, &b.sites)));
        // Two ways of one mistake that hide alike are said once.
        findings.unseen.dedup_by(|a, b| (a.why, &a.id, &a.sites) == (b.why, &b.id, &b.sites));
        findings.named.sort_by_key(|named| named.probe);
        if self.detail == Detail::Pictures {
            findings.regressions = comparison.regressions(&findings)?;
        }
        Ok(findings)
    }
}

impl Comparison<'_> {
    /// Finds what explains some stages of `open`, adds it to `findings` and plants it: one mistake, else a parameter with a wrong
    /// value, else several mistakes. Returns whether anything was found.
    fn explain(&mut self, open: &BTreeSet<Probe>, findings: &mut Findings) -> Result<bool, ReplayError> {
        // If even a perfect prediction gains fewer bits than it takes to choose among all mistakes, nothing is looked for.
        let most = self.most_bits(open);
        if most < LEAST_BITS + (self.replayer.mistakes().len() as f64).log2() {
            return Ok(false);
        }
        let mut trials = self.trials(open, false)?;
        match self.best(&trials, open) {
            None => trials.extend(self.trials(open, true)?),
            Some(best) if best.is_too_wide() => {
                let mistake = best.trial.hypothesis.mistake;
                trials.extend(self.trials_of(mistake, open, true)?);
            }
            Some(_) => {}
        }
        let by_chance = (trials.len() as f64).log2() + LEAST_BITS;
        let sure = |best: &Explanation<'_>| self.bits(&best.explained, &best.trial.compared) >= by_chance;
        if let Some(best) = self.best(&trials, open).filter(sure) {
            // If it may be everywhere, it is also planted at the other stages that are likelier with it than without.
            let mut stages = best.explained.clone();
            if best.breaks_none {
                stages.extend(best.trial.likelier());
            }
            let everywhere = best.breaks_none && stages.len() == best.trial.sums.len();
            let planting = self.planting(best.trial.hypothesis, &stages, everywhere);
            let worst = best.explained.iter().map(|probe| best.trial.fits[probe].tensor).fold(0.0, f64::max);
            let of_masks = best.explained.iter().all(|probe| probe.kind() == Kind::Mask);
            let told = count(best.explained.len(), "failing stage");
            let slope = best.trial.slope(best.explained.iter().copied());
            let evidence = if of_masks {
                format!("the reference with this mistake is the same as yours in {told}, value by value")
            } else {
                format!(
                    "the reference with this mistake agrees with yours in {told}, to {} of the limit; your error is {:.3} times \
                     the one that it makes (all of it: 1, none: 0)",
                    share(worst / TENSOR_LIMIT),
                    slope.beta
                )
            };
            let mistake = best.trial.hypothesis.mistake;
            let alternatives = best.alternatives.iter().map(ToString::to_string).collect();
            let sites = self.changed(best.trial, &planting.sites);
            findings.name(mistake, best.explained.first().copied(), &sites, alternatives, evidence);
            self.plant(&planting)?;
            return Ok(true);
        }
        if let Some(fitted) = self.fit_a_parameter(open)? {
            self.plant(&fitted.planting())?;
            findings.fitted.push(fitted.report());
            return Ok(true);
        }
        let Some(set) = self.several_together(&trials, open)? else { return Ok(false) };
        let all = Planting {
            edits: set.iter().flat_map(|member| member.planting.edits.clone()).collect(),
            sites: set.iter().flat_map(|member| member.planting.sites.iter().copied()).collect(),
        };
        let texts: Vec<String> = all.edits.iter().flat_map(|edit| edit.texts(self.replayer.graph())).collect();
        for Member { mistake, planting, alternatives } in &set {
            let evidence =
                format!("put into the reference together, {} make every failing stage agree with yours", and(&texts));
            let first = self.affected(|probe| planting.sites.contains(&probe)).intersection(open).next().copied();
            let alternatives = alternatives.iter().map(ToString::to_string).collect();
            findings.name(mistake, first, &planting.sites, alternatives, evidence);
        }
        self.plant(&all)?;
        Ok(true)
    }
}
