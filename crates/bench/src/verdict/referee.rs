//! Runs with and without a mistake, which settle what a verdict may rightly say. None of this asks the judge.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use loupe_spec::{Config, Dtype, HostTensor, Probe};
use miette::Result;

use super::bench::Bench;
use super::cases::Kind;
use super::recording::{Extent, Recording};
use super::runner::Run;
use super::said::Said;
use super::score::Score;
use super::sites::{Place, Planting};
use super::truth::{Alike, Moved, Truth, VISIBLE};

/// f64 keeps 1e-16; a forward pass loses some of it.
const SAME: f64 = 1e-12;

/// One prompt on one checkpoint, backend and dtype, with the right runs of it.
pub struct Referee<'a> {
    bench: &'a Bench,
    pub run: Run,
    exact_run: Run,
    /// In the dtype of the run.
    pub right: Recording,
    pub exact: Recording,
    pub config: Config,
    folder: PathBuf,
    runs: AtomicUsize,
}

impl<'a> Referee<'a> {
    /// Traces the right runs into `folder`.
    pub fn new(bench: &'a Bench, run: Run, folder: &Path) -> Result<Referee<'a>> {
        let exact_run = Run { backend: "flex".to_string(), dtype: Dtype::F64, ..run.clone() };
        let right = bench.right(&run, &folder.join("right"))?;
        let exact = bench.right(&exact_run, &folder.join("exact"))?;
        let config = bench.config(&run.model)?;
        Ok(Referee { bench, run, exact_run, right, exact, config, folder: folder.to_path_buf(), runs: 0.into() })
    }

    /// The run with `planted`.
    pub fn mistaken(&self, planted: &[String], prefix: &Path) -> Result<Recording> {
        self.bench.traced(&self.run, planted, prefix)
    }

    fn trace(&self, run: &Run, planted: &[String]) -> Result<Recording> {
        let prefix = self.folder.join(format!("referee-{}", self.runs.fetch_add(1, Ordering::Relaxed)));
        self.bench.traced(run, planted, &prefix)
    }

    /// By how much each stage of a run differs from the right one.
    pub fn moved(&self, mistaken: &Recording) -> Moved {
        Moved::of(mistaken, &self.right, &self.right, &self.exact, self.run.dtype)
    }

    /// By how much, in f64, `planted` moves what a candidate of this extent holds from where `without` leaves it, in units
    /// of what the dtype moves it by.
    pub fn visibility(&self, planted: &[String], without: &[String], extent: Extent) -> Result<f64> {
        let with = self.trace(&self.exact_run, planted)?;
        if without.is_empty() {
            return Ok(Moved::of(&with, &self.exact, &self.right, &self.exact, self.run.dtype).most(extent));
        }
        // The dtype's noise where both are planted: what it does to the right run may be less.
        let (less, noisy) = (self.trace(&self.exact_run, without)?, self.trace(&self.run, planted)?);
        Ok(Moved::of(&less, &with, &noisy, &with, self.run.dtype).most(extent))
    }

    /// Whether what is `named` can be told from what was `planted`.
    pub fn alike(&self, planted: &[String], named: &[String], extent: Extent) -> Result<Alike> {
        // A name at a site that it does not touch is nothing that could be planted.
        let Ok(again) = self.trace(&self.run, named) else { return Ok(Alike::Apart) };
        let candidate = self.trace(&self.run, planted)?;
        if again.digest(extent) == candidate.digest(extent) {
            return Ok(Alike::Same);
        }
        let (exact, again) = (self.trace(&self.exact_run, planted)?, self.trace(&self.exact_run, named)?);
        if same(&exact, &again, extent) {
            return Ok(Alike::Same);
        }
        let apart = Moved::of(&again, &exact, &candidate, &exact, self.run.dtype).most(extent);
        Ok(if apart <= VISIBLE { Alike::WithinNoise } else { Alike::Apart })
    }

    /// The score of what is `said` of `recording`, a candidate of this extent with `planting` in it; and by how much the
    /// mistake moves it, where it was not named.
    pub fn score(
        &self,
        planting: &Planting,
        (recording, moved): (&Recording, &Moved),
        extent: Extent,
        said: &Said,
    ) -> Result<(Score, Option<f64>)> {
        let planted = [planting.to_string()];
        let alike = if Score::wants_a_referee(said, planting, extent) {
            Some(self.alike(&planted, &said.as_planted(), extent)?)
        } else {
            None
        };
        let named = said.has(planting.case.id()) || alike == Some(Alike::Same);
        let visibility = match planting.case.kind {
            _ if named => None,
            // A cast elsewhere does not show in f64.
            Kind::Policy => Some(moved.most(extent)),
            Kind::Architectural | Kind::Fault => Some(self.visibility(&planted, &[], extent)?),
        };
        let hidden = visibility.is_some_and(|most| most <= VISIBLE);
        let identical = recording.digest(extent) == self.right.digest(extent);
        let truth = Truth {
            first: &moved.first(extent),
            hidden,
            // The layer is as the mistake would have it, or the dtype flushes what f64 shows (e^-50 is 0 in f16).
            right_anyway: identical && (planting.place != Place::Everywhere || !hidden),
            alike,
        };
        Ok((Score::of(said, planting, extent, &truth), visibility))
    }
}

fn same(a: &Recording, b: &Recording, extent: Extent) -> bool {
    let close = |a: &HostTensor, b: &HostTensor| {
        let (a, b) = (a.values.to_f64(), b.values.to_f64());
        let size = b.iter().filter(|x| x.is_finite()).fold(0.0, |most: f64, x| most.max(x.abs()));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || (a - b).abs() <= SAME * size)
    };
    let held = |recording: &Recording| -> Vec<Probe> {
        recording.tensors.keys().copied().filter(|probe| extent.holds(*probe)).collect()
    };
    held(a) == held(b) && held(a).iter().all(|probe| close(&a.tensors[probe], &b.tensors[probe]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::recording::tests::run;

    #[test]
    fn runs_are_the_same_in_what_a_candidate_holds() {
        assert!(same(&run(1.0, 2.0), &run(1.0, 2.0 + 1e-13), Extent::Full));
        assert!(!same(&run(1.0, 2.0), &run(1.1, 2.0), Extent::Full));
        assert!(same(&run(1.0, 2.0), &run(1.1, 2.0), Extent::Logits));
    }
}
