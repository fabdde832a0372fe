//! Which mistake: the one that, planted in the reference, brings the failing stages inside the budget.
//!
//! Each mistake predicts a direction in which the residual must point, `d` = mistaken minus right stage. The slope of
//! the residual on `d`, weighted by the noise, is near 1 where the mistake is made and near 0 where it is not: the
//! strong statistic, which finds a mistake even below the budget (erf-GELU under bf16's noise).
//!
//! What is found is planted in the reference, and the search goes on from there: two mistakes at once are both named.

mod below;
mod confirm;
mod explain;
mod findings;
mod fit;
mod hypothesis;
mod scene;
mod sets;
mod slope;

use std::collections::BTreeSet;

use loupe_spec::{Given, Kind, Probe, ReplayError, Replayer};

use crate::limits::{LEAST_BITS, MOST_ROUNDS, TENSOR_LIMIT};
use crate::noise::Level;
use crate::segments::Segments;
use crate::stage::Stage;
use crate::words::{and, count, share};

use explain::Explanation;
pub use findings::Findings;
use scene::{Made, Scene};
use sets::Member;

/// Everything the search starts from.
pub struct Search<'a> {
    /// The model.
    pub replayer: &'a dyn Replayer,
    /// What was recorded.
    pub given: Given<'a>,
    /// What each recorded probe is recomputed through.
    pub segments: &'a Segments,
    /// The recorded stages with their right predictions and noise.
    pub stages: &'a [Stage],
    /// The candidate's precision.
    pub level: Level,
}

impl Search<'_> {
    /// Names what explains `failing`; and what shows below the budget, where `sound` says that no stage is a fault.
    ///
    /// # Errors
    /// What the replayer says.
    pub fn run(&self, failing: &BTreeSet<Probe>, sound: bool) -> Result<Findings, ReplayError> {
        let mut findings = Findings::default();
        let mut scene = Scene::open(self.replayer, self.given, self.segments, self.stages, self.level)?;
        let mut open = failing.clone();
        for _ in 0..MOST_ROUNDS {
            if open.is_empty() || !scene.explain(&open, &mut findings)? {
                break;
            }
            open = scene.failing().intersection(failing).copied().collect();
        }
        scene.below_the_budget(sound && open.is_empty(), &mut findings)?;
        findings.unnamed = open.into_iter().collect();
        findings.forget_the_named();
        findings.unseen.sort_by(|a, b| (a.why, &a.id, &a.sites).cmp(&(b.why, &b.id, &b.sites)));
        // Two ways of one mistake that hide alike are said once.
        findings.unseen.dedup_by(|a, b| (a.why, &a.id, &a.sites) == (b.why, &b.id, &b.sites));
        findings.named.sort_by_key(|named| named.probe);
        Ok(findings)
    }
}

impl Scene<'_> {
    /// Finds what explains some of `open` and plants it: one mistake, a parameter with another value, several mistakes
    /// together. Whether anything did.
    fn explain(&mut self, open: &BTreeSet<Probe>, findings: &mut Findings) -> Result<bool, ReplayError> {
        // Too few values for any name.
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
            // A layer that is within its limit with the mistake and without it may still be likelier without.
            let mut stages = best.explained.clone();
            if best.everywhere {
                stages.extend(best.trial.likelier());
            }
            let everywhere = best.everywhere && stages.len() == best.trial.parts.len();
            let made = self.made(best.trial.hypothesis, &stages, everywhere);
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
            let sites = self.changed(best.trial, &made.sites);
            findings.name(mistake, best.explained.first().copied(), &sites, alternatives, evidence);
            self.plant(&made)?;
            return Ok(true);
        }
        if let Some(fitted) = self.fit_a_parameter(open)? {
            self.plant(&fitted.made())?;
            findings.fitted.push(fitted.report());
            return Ok(true);
        }
        let Some(set) = self.several_together(&trials, open)? else { return Ok(false) };
        let all = Made {
            edits: set.iter().flat_map(|member| member.made.edits.clone()).collect(),
            sites: set.iter().flat_map(|member| member.made.sites.iter().copied()).collect(),
        };
        let texts: Vec<String> = all.edits.iter().flat_map(|edit| edit.texts(self.replayer.graph())).collect();
        for Member { mistake, made, alternatives } in &set {
            let evidence =
                format!("put into the reference together, {} make every failing stage agree with yours", and(&texts));
            let first = self.affected(|probe| made.sites.contains(&probe)).intersection(open).next().copied();
            let alternatives = alternatives.iter().map(ToString::to_string).collect();
            findings.name(mistake, first, &made.sites, alternatives, evidence);
        }
        self.plant(&all)?;
        Ok(true)
    }
}
