//! The one mistake that explains most of the failing stages, and the mistakes that explain them as well.

use std::collections::BTreeSet;

use loupe_spec::{Kind, Mistake, Probe, ReplayError};

use crate::limits::MOST_WEIGHTS;
use crate::naming::comparison::{Comparison, Trial};
use crate::naming::hypothesis::{Hypothesis, Scope, scopes};
use crate::naming::slope::excludes;

/// A mistake that explains some of the failing stages.
pub struct Explanation<'t> {
    pub trial: &'t Trial,
    /// The stages that it brings inside their limits.
    pub explained: BTreeSet<Probe>,
    /// Ids of mistakes that the recordings do not tell from it.
    pub alternatives: BTreeSet<&'static str>,
    /// Whether it was tried on every recorded stage that it can change, and makes none fail that passed before.
    pub breaks_none: bool,
}

impl Explanation<'_> {
    /// Whether a stage that it can change fails with it planted: then it may have been made in fewer places.
    pub fn is_too_wide(&self) -> bool {
        self.trial.fits.iter().any(|(_, fit)| !fit.passes())
    }
}

impl Comparison<'_> {
    /// Tries every mistake that changes a stage of `failing`: on those stages and, where that is cheap, on all others that it
    /// changes. If `fine`, in the fine scopes ([`Scope::is_fine`]), else in the others.
    pub fn trials(&self, failing: &BTreeSet<Probe>, fine: bool) -> Result<Vec<Trial>, ReplayError> {
        let planned = self.replayer.mistakes().into_iter().flat_map(|mistake| self.planned(mistake, failing, fine));
        let what = if fine { "mistakes in parts of the layers" } else { "mistakes" };
        self.attempts(&format!("what fails with {what} planted"), planned.collect())
    }

    /// The same for one mistake.
    pub fn trials_of(
        &self,
        mistake: &'static Mistake,
        failing: &BTreeSet<Probe>,
        fine: bool,
    ) -> Result<Vec<Trial>, ReplayError> {
        self.attempts(
            &format!("what fails with {} planted in parts of the layers", mistake.id),
            self.planned(mistake, failing, fine),
        )
    }

    /// The hypotheses of one mistake that are worth their price, each with the stages to try it on.
    fn planned(
        &self,
        mistake: &'static Mistake,
        failing: &BTreeSet<Probe>,
        fine: bool,
    ) -> Vec<(Hypothesis, BTreeSet<Probe>)> {
        let mut planned = Vec::new();
        for hypothesis in scopes(mistake, self.segments, failing).into_iter().filter(|h| h.scope.is_fine() == fine) {
            let touches = |probe| hypothesis.touches(probe);
            let affected = self.affected(touches);
            let about: BTreeSet<Probe> = affected.intersection(failing).copied().collect();
            let scoped = !matches!(hypothesis.scope, Scope::Everywhere);
            if about.is_empty() || (scoped && self.weights_read(&about, touches) > MOST_WEIGHTS) {
                continue;
            }
            let wanted = if self.weights_read(&affected, touches) > MOST_WEIGHTS { about } else { affected };
            planned.push((hypothesis, wanted));
        }
        planned
    }

    /// The best explanation of some of `open`.
    pub fn best<'t>(&self, trials: &'t [Trial], open: &BTreeSet<Probe>) -> Option<Explanation<'t>> {
        let mut fitting: Vec<(&Trial, BTreeSet<Probe>, usize)> = trials
            .iter()
            .map(|trial| (trial, trial.explained(open), trial.breaks(open)))
            .filter(|(trial, explained, breaks)| !explained.is_empty() && mask_fits(trial, explained, *breaks, open))
            .collect();
        // First the one that explains most stages, then the one that breaks fewest, then the one that leaves least residual.
        fitting.sort_by(|(a, ea, ba), (b, eb, bb)| {
            let gone = |trial: &Trial, on: &BTreeSet<Probe>| trial.slope(on.iter().copied()).removed;
            eb.len().cmp(&ea.len()).then(ba.cmp(bb)).then_with(|| gone(b, eb).total_cmp(&gone(a, ea)))
        });
        let (champion, explained, breaks) = fitting.first()?;
        let stages = self.by_probe();
        let tied = |(trial, others, other_breaks): &&(&'t Trial, BTreeSet<Probe>, usize)| {
            explained.is_subset(others)
                // A mistake that would break other stages is ruled out by one that breaks none.
                && (*breaks > 0 || *other_breaks == 0)
                && !excludes(&stages, explained.iter().copied(), &champion.compared, &trial.compared)
        };
        let tied: Vec<&(&Trial, BTreeSet<Probe>, usize)> = fitting.iter().filter(tied).collect();
        // Of those that the recordings do not tell apart, the one with the plainest scope.
        let (trial, explained, breaks) = tied
            .iter()
            .copied()
            .min_by_key(|(trial, _, breaks)| (*breaks, trial.hypothesis.scope))
            .unwrap_or(fitting.first()?);
        let id = trial.hypothesis.mistake.id;
        // Of a large model only failing stages were predicted.
        let affected = self.affected(|probe| trial.hypothesis.touches(probe)).len();
        let breaks_none = *breaks == 0 && trial.fits.len() == affected;
        let others = tied.iter().map(|(trial, ..)| trial.hypothesis.mistake.id).filter(|other| *other != id);
        Some(Explanation { trial, explained: explained.clone(), alternatives: others.collect(), breaks_none })
    }
}

/// Of a mistake that changes masks: whether it explains every failing stage that it was tried on, and breaks no other unless it explains
/// exactly one. In one layer several mistakes make the same mask: one that fits some layers and breaks others is not the one.
fn mask_fits(trial: &Trial, explained: &BTreeSet<Probe>, breaks: usize, open: &BTreeSet<Probe>) -> bool {
    let of_mask = |hypothesis: &Hypothesis| hypothesis.mistake.touches(|probe| probe.kind() == Kind::Mask);
    if !of_mask(&trial.hypothesis) {
        return true;
    }
    let touched = open.iter().filter(|probe| trial.fits.contains_key(probe)).count();
    explained.len() == touched && (breaks == 0 || explained.len() == 1)
}
