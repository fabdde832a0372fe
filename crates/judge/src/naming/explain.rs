//! The one mistake that explains most of what fails, and those that explain it as well.

use std::collections::BTreeSet;

use loupe_spec::{Kind, Mistake, Probe, ReplayError};

use crate::limits::MOST_WEIGHTS;
use crate::naming::hypothesis::{Hypothesis, Scope, scopes};
use crate::naming::scene::{Scene, Trial};
use crate::naming::slope::excludes;

/// What explains some of the failing stages.
pub struct Explanation<'t> {
    pub trial: &'t Trial,
    /// The stages that it brings inside the budget.
    pub explained: BTreeSet<Probe>,
    /// Ids that the recordings do not tell from it.
    pub alternatives: BTreeSet<&'static str>,
    /// Whether it is made wherever it would show, so far as was recorded.
    pub everywhere: bool,
}

impl Explanation<'_> {
    /// Whether it leaves a stage failing that it changes: it may have been made in fewer places.
    pub fn is_too_wide(&self) -> bool {
        self.trial.fits.iter().any(|(_, fit)| !fit.passes())
    }
}

impl Scene<'_> {
    /// Every mistake that may explain a stage of `failing`, in the `fine` scopes or in the others, tried on those stages
    /// and, where that is cheap, on all others that it changes.
    pub fn trials(&self, failing: &BTreeSet<Probe>, fine: bool) -> Result<Vec<Trial>, ReplayError> {
        let mut trials = Vec::new();
        for mistake in self.replayer.mistakes() {
            trials.extend(self.trials_of(mistake, failing, fine)?);
        }
        Ok(trials)
    }

    /// The same of one mistake.
    pub fn trials_of(
        &self,
        mistake: &'static Mistake,
        failing: &BTreeSet<Probe>,
        fine: bool,
    ) -> Result<Vec<Trial>, ReplayError> {
        let mut trials = Vec::new();
        for hypothesis in scopes(mistake, self.segments, failing).into_iter().filter(|h| h.scope.is_fine() == fine) {
            let touches = |probe| hypothesis.touches(probe);
            let affected = self.affected(touches);
            let about: BTreeSet<Probe> = affected.intersection(failing).copied().collect();
            let scoped = !matches!(hypothesis.scope, Scope::Everywhere);
            if about.is_empty() || (scoped && self.weights_read(&about, touches) > MOST_WEIGHTS) {
                continue;
            }
            let wanted = if self.weights_read(&affected, touches) > MOST_WEIGHTS { about } else { affected };
            trials.push(self.attempt(hypothesis, &wanted)?);
        }
        Ok(trials)
    }

    /// The best explanation of some of `open`.
    pub fn best<'t>(&self, trials: &'t [Trial], open: &BTreeSet<Probe>) -> Option<Explanation<'t>> {
        let mut fitting: Vec<(&Trial, BTreeSet<Probe>, usize)> = trials
            .iter()
            .map(|trial| (trial, trial.explained(open), trial.breaks(open)))
            .filter(|(trial, explained, breaks)| !explained.is_empty() && whole_mask(trial, explained, *breaks, open))
            .collect();
        // Most explained, least broken, then what accounts for most of the residual.
        fitting.sort_by(|(a, ea, ba), (b, eb, bb)| {
            let gone = |trial: &Trial, on: &BTreeSet<Probe>| trial.slope(on.iter().copied()).explained;
            eb.len().cmp(&ea.len()).then(ba.cmp(bb)).then_with(|| gone(b, eb).total_cmp(&gone(a, ea)))
        });
        let (champion, explained, breaks) = fitting.first()?;
        let stages = self.by_probe();
        let tied = |(trial, others, other_breaks): &&(&'t Trial, BTreeSet<Probe>, usize)| {
            explained.is_subset(others)
                // What a mistake would break elsewhere tells it apart only from one that was made everywhere.
                && (*breaks > 0 || *other_breaks == 0)
                && !excludes(&stages, explained.iter().copied(), &champion.compared, &trial.compared)
        };
        let tied: Vec<&(&Trial, BTreeSet<Probe>, usize)> = fitting.iter().filter(tied).collect();
        // Of those that the recordings do not tell apart, the plainest.
        let (trial, explained, breaks) = tied
            .iter()
            .copied()
            .min_by_key(|(trial, _, breaks)| (*breaks, trial.hypothesis.scope))
            .unwrap_or(fitting.first()?);
        let id = trial.hypothesis.mistake.id;
        // Of a large model only what fails was predicted.
        let affected = self.affected(|probe| trial.hypothesis.touches(probe)).len();
        let everywhere = *breaks == 0 && trial.fits.len() == affected;
        let others = tied.iter().map(|(trial, ..)| trial.hypothesis.mistake.id).filter(|other| *other != id);
        Some(Explanation { trial, explained: explained.clone(), alternatives: others.collect(), everywhere })
    }
}

/// A mask fits bit for bit or not at all, and in one layer several mistakes make the same mask. One that would explain
/// some layers and break others is not what was made, unless it was made in that layer alone.
fn whole_mask(trial: &Trial, explained: &BTreeSet<Probe>, breaks: usize, open: &BTreeSet<Probe>) -> bool {
    let of_mask = |hypothesis: &Hypothesis| hypothesis.mistake.touches(|probe| probe.kind() == Kind::Mask);
    if !of_mask(&trial.hypothesis) {
        return true;
    }
    let touched = open.iter().filter(|probe| trial.fits.contains_key(probe)).count();
    explained.len() == touched && (breaks == 0 || explained.len() == 1)
}
