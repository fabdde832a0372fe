//! Is a mistake in the residual? A linear regression through the origin answers, each value weighted by one over its variance.
//!
//! For every recorded value, with `right` and `mistaken` as the reference computes it without the mistake and with it:
//!
//! ```text
//! r = recorded - right      the residual
//! d = mistaken - right      what the mistake changes
//! beta = sum(r d / s²) / sum(d² / s²)      s²: the variance of the noise
//! ```
//!
//! The regression coefficient `beta`, called the slope, is 1 where the mistake was made and 0 where it was not. Its standard error
//! is the larger of two: what the scatter of the residual gives, and how far runs of right code, which have no mistake, are from 0.

use std::collections::BTreeMap;

use loupe_spec::{Probe, Trace};

use crate::limits::{AGREEMENT, APART, BAND, BLUNT, LEAST_INFORMATION, MOST_OF_IT, SLOPE_ERRORS};
use crate::stage::Stage;

/// The sums of the regression, of one stage. Those of several stages are added.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// `sum(r d / s²)`
    rd: f64,
    /// `sum(d² / s²)`
    dd: f64,
    /// `sum(r² / s²)`
    rr: f64,
    /// How many values.
    count: usize,
    /// `sum(d² / s²)` with `right` and `mistaken` rounded to the storage dtype.
    stored: f64,
    /// `sum(n d / s²)` of each noisy run of the reference, where n is what it differs by from its own baseline.
    noise: Vec<f64>,
    /// Whether the mistake changes a value that has no noise: what is 0 in a mask, or a probability that is exactly 0.
    changes_mask: bool,
}

impl Sums {
    /// The sums of `stage`. `noise` has, for each noisy run, what it differs by from its baseline: the exact prediction of the same
    /// reference, or for a misplaced cast the rounded one.
    pub fn of(stage: &Stage, right: &[f64], mistaken: &[f64], noise: &[Vec<f64>]) -> Sums {
        let mut sums = Sums { noise: vec![0.0; noise.len()], ..Sums::default() };
        for at in stage.indices() {
            let (d, r, variance) = (mistaken[at] - right[at], stage.recorded[at] - right[at], stage.variance[at]);
            sums.changes_mask |=
                d != 0.0 && variance == 0.0 || stage.is_hidden(right[at]) != stage.is_hidden(mistaken[at]);
            if d == 0.0 || variance == 0.0 || !d.is_finite() || !r.is_finite() {
                continue;
            }
            sums.rd += r * d / variance;
            sums.dd += d * d / variance;
            sums.rr += r * r / variance;
            sums.count += 1;
            sums.stored += (stage.stored(mistaken[at]) - stage.stored(right[at])).powi(2) / variance;
            for (sum, run) in sums.noise.iter_mut().zip(noise) {
                *sum += run[at] * d / variance;
            }
        }
        sums
    }

    /// Whether the mistake changes anything here.
    pub fn is_there(&self) -> bool {
        self.dd > 0.0 || self.changes_mask
    }

    fn add(&mut self, other: &Sums) {
        self.rd += other.rd;
        self.dd += other.dd;
        self.rr += other.rr;
        self.count += other.count;
        self.stored += other.stored;
        self.noise.resize(self.noise.len().max(other.noise.len()), 0.0);
        for (sum, more) in self.noise.iter_mut().zip(&other.noise) {
            *sum += more;
        }
        self.changes_mask |= other.changes_mask;
    }
}

/// The regression coefficient of the residual on what a mistake changes, with its error.
#[derive(Clone, Copy, Debug)]
pub struct Slope {
    /// The coefficient: 1 where the mistake was made, 0 where it was not.
    pub beta: f64,
    /// Its standard error.
    pub error: f64,
    /// `sum(d² / s²)`: the size of what the mistake changes, squared, in units of the noise. 0: it changes nothing that has noise; it may
    /// still change a mask.
    pub information: f64,
    /// The same after rounding to the storage dtype. Where rounding takes most of the change away, a slope of 0 says nothing.
    stored: f64,
    /// The share of the residual's square that is gone with the mistake planted, over the values that it changes.
    pub removed: f64,
    /// Whether the mistake changes a mask, or what a mask hides: then any difference decides.
    masks: bool,
}

impl Slope {
    /// The slope over all stages together whose sums these are.
    pub fn of<'a>(sums: impl Iterator<Item = &'a Sums>) -> Slope {
        let mut all = Sums::default();
        for sums in sums {
            all.add(sums);
        }
        if all.dd == 0.0 {
            let masks = all.changes_mask;
            return Slope { beta: 0.0, error: f64::INFINITY, information: 0.0, stored: 0.0, removed: 0.0, masks };
        }
        let beta = all.rd / all.dd;
        // The variance of what the regression leaves of the residual.
        let spread = (all.rr - beta * all.rd).max(0.0) / all.count.max(1) as f64;
        let of_residual = (spread / all.dd).sqrt();
        let projected: f64 = all.noise.iter().map(|sum| (sum / all.dd).powi(2)).sum();
        let of_noise = (projected / all.noise.len().max(1) as f64).sqrt();
        Slope {
            beta,
            error: of_residual.max(of_noise),
            information: all.dd,
            stored: all.stored,
            removed: if all.rr == 0.0 { 0.0 } else { (2.0 * all.rd - all.dd) / all.rr },
            masks: all.changes_mask,
        }
    }

    /// The mistake was made: the slope is near 1, and well above 1/2.
    pub fn present(self) -> bool {
        self.tells() && (self.beta - 1.0).abs() < BAND && (self.beta - 0.5) / self.error > SLOPE_ERRORS
    }

    /// The sentence in a verdict for a mistake that no stage shows by itself.
    pub fn evidence(self) -> String {
        let Slope { beta, error, .. } = self;
        format!(
            "no stage is beyond its limit by itself; your errors together are {beta:.3} ± {error:.3} times those that it makes (all of them: 1, right code: 0)"
        )
    }

    /// The mistake accounts for most of the residual, the slope is near 1, and right code seldom has a slope so far from 0. An
    /// error that is not small enough for [`Slope::present`] may do.
    pub fn stands_out(self) -> bool {
        self.removed >= MOST_OF_IT && (self.beta - 1.0).abs() < BAND && self.beta / self.error > SLOPE_ERRORS
    }

    /// The mistake was not made: its change is not lost in rounding to the storage dtype, and the slope is well below 1/2.
    pub fn absent(self) -> bool {
        self.tells()
            && self.stored * BLUNT * BLUNT >= 1.0
            && self.beta < BAND
            && (0.5 - self.beta) / self.error > SLOPE_ERRORS
    }

    /// Whether these values decide the question, one way or the other.
    pub fn decides(self) -> bool {
        self.masks || self.present() || self.absent()
    }

    /// Whether the slope is known well enough to say anything. Where a mask changes it is not needed: what is 0 there and
    /// what is not decides.
    pub fn tells(self) -> bool {
        self.masks || (self.information >= LEAST_INFORMATION && self.error <= BLUNT)
    }

    /// A slope that is not known well agrees with 1, within its error, and not with 0.
    pub fn agrees(self) -> bool {
        (self.beta - 1.0).abs() < BAND.max(AGREEMENT * self.error) && self.beta > AGREEMENT * self.error
    }

    /// Whether a mistake that brings stages inside their limits may be named for it: the slope is known well, and near 1. A mistake
    /// that fits by chance, or one with so much noise of its own that anything fits, does not pass.
    pub fn earns(self) -> bool {
        // A leak of e^-50 through a mask changes nothing else by more than the noise: the mask alone decides.
        if self.information < LEAST_INFORMATION && self.masks {
            return true;
        }
        self.information > 0.0 && self.error <= BLUNT && (self.beta - 1.0).abs() < BAND
    }
}

/// Whether the recordings exclude the prediction `other` in favour of `best`: the slope with `best` for right and `other` for mistaken is
/// well below 1/2. A probe of `probes` that one of them does not predict excludes it, too; two that differ nowhere are not told apart.
pub fn excludes(
    stages: &BTreeMap<Probe, &Stage>,
    probes: impl Iterator<Item = Probe>,
    best: &Trace,
    other: &Trace,
) -> bool {
    let mut sums = Vec::new();
    for probe in probes {
        let (Some(stage), Some(best), Some(other)) = (stages.get(&probe), best.get(&probe), other.get(&probe)) else {
            return true;
        };
        sums.push(Sums::of(stage, &stage.seen(best), &stage.seen(other), &stage.noise));
    }
    let slope = Slope::of(sums.iter());
    if slope.information == 0.0 { slope.masks } else { (0.5 - slope.beta) / slope.error > APART }
}
