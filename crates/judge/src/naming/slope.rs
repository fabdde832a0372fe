//! The slope of a residual on the direction in which a mistake would push it.

use std::collections::BTreeMap;

use loupe_spec::{Probe, Trace};

use crate::limits::{AGREEMENT, APART, BAND, BLUNT, LEAST_INFORMATION, MOST_OF_IT, SLOPE_ERRORS};
use crate::stage::Stage;

/// Sums over one stage, weighted by the noise: of r = recorded - right and d = mistaken - right.
#[derive(Clone, Debug, Default)]
pub struct Part {
    rd: f64,
    dd: f64,
    rr: f64,
    count: usize,
    /// As `dd`, of what is left of d when both sides are stored.
    stored: f64,
    /// What each run of right code projects on d.
    noise: Vec<f64>,
    /// The mistake changes a value that has no noise: a mask, or what a mask hides.
    changes_mask: bool,
}

impl Part {
    /// Of `stage`, predicted as `right` and as `mistaken`; `noise` is what other right code differs from `right`.
    pub fn of(stage: &Stage, right: &[f64], mistaken: &[f64], noise: &[Vec<f64>]) -> Part {
        let mut part = Part { noise: vec![0.0; noise.len()], ..Part::default() };
        for at in stage.indices() {
            let (d, r, variance) = (mistaken[at] - right[at], stage.recorded[at] - right[at], stage.variance[at]);
            part.changes_mask |=
                d != 0.0 && variance == 0.0 || stage.is_hidden(right[at]) != stage.is_hidden(mistaken[at]);
            if d == 0.0 || variance == 0.0 || !d.is_finite() || !r.is_finite() {
                continue;
            }
            part.rd += r * d / variance;
            part.dd += d * d / variance;
            part.rr += r * r / variance;
            part.count += 1;
            part.stored += (stage.stored(mistaken[at]) - stage.stored(right[at])).powi(2) / variance;
            for (sum, run) in part.noise.iter_mut().zip(noise) {
                *sum += run[at] * d / variance;
            }
        }
        part
    }

    /// Whether the mistake changes anything here.
    pub fn is_there(&self) -> bool {
        self.dd > 0.0 || self.changes_mask
    }

    fn add(&mut self, other: &Part) {
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

/// Slope of the residual on a mistake's direction: near 1 where the mistake is made, near 0 where it is not.
#[derive(Clone, Copy, Debug)]
pub struct Slope {
    /// The slope.
    pub beta: f64,
    /// Its standard error.
    pub error: f64,
    /// How much the mistake moves, in squares of the noise; 0: nothing.
    pub information: f64,
    /// The same of what is left when values are stored: less than a rounding is mostly rounded away, and a slope of 0
    /// then says nothing.
    stored: f64,
    /// Share of the residual, over the values that the mistake moves, that is gone with the mistake planted.
    pub explained: f64,
    masks: bool,
}

impl Slope {
    /// Pooled over several stages.
    pub fn of<'a>(parts: impl Iterator<Item = &'a Part>) -> Slope {
        let mut all = Part::default();
        for part in parts {
            all.add(part);
        }
        if all.dd == 0.0 {
            let masks = all.changes_mask;
            return Slope { beta: 0.0, error: f64::INFINITY, information: 0.0, stored: 0.0, explained: 0.0, masks };
        }
        let beta = all.rd / all.dd;
        // What is left after the slope is taken out, as the spread of the residual.
        let spread = (all.rr - beta * all.rd).max(0.0) / all.count.max(1) as f64;
        let of_residual = (spread / all.dd).sqrt();
        let projected: f64 = all.noise.iter().map(|sum| (sum / all.dd).powi(2)).sum();
        let of_noise = (projected / all.noise.len().max(1) as f64).sqrt();
        Slope {
            beta,
            error: of_residual.max(of_noise),
            information: all.dd,
            stored: all.stored,
            explained: if all.rr == 0.0 { 0.0 } else { (2.0 * all.rd - all.dd) / all.rr },
            masks: all.changes_mask,
        }
    }

    /// The residual points the mistake's way, and about as far.
    pub fn present(self) -> bool {
        self.tells() && (self.beta - 1.0).abs() < BAND && (self.beta - 0.5) / self.error > SLOPE_ERRORS
    }

    /// In words, of what no stage shows by itself.
    pub fn evidence(self) -> String {
        let Slope { beta, error, .. } = self;
        format!(
            "no stage is beyond its limit by itself; your errors together are {beta:.3} ± {error:.3} times those that it makes (all of them: 1, right code: 0)"
        )
    }

    /// What right code does not explain is mostly the mistake's, and right code hardly goes so far its way.
    pub fn stands_out(self) -> bool {
        self.explained >= MOST_OF_IT && (self.beta - 1.0).abs() < BAND && self.beta / self.error > SLOPE_ERRORS
    }

    /// The mistake would be seen, and is not there.
    pub fn absent(self) -> bool {
        self.tells()
            && self.stored * BLUNT * BLUNT >= 1.0
            && self.beta < BAND
            && (0.5 - self.beta) / self.error > SLOPE_ERRORS
    }

    /// Whether it says that the mistake is there or that it is not.
    pub fn decides(self) -> bool {
        self.masks || self.present() || self.absent()
    }

    /// Whether it tells anything. A mask has no noise, hence no slope: a changed one is seen bit for bit.
    pub fn tells(self) -> bool {
        self.masks || (self.information >= LEAST_INFORMATION && self.error <= BLUNT)
    }

    /// Not known well, but near 1 for all that is known, and not near 0.
    pub fn agrees(self) -> bool {
        (self.beta - 1.0).abs() < BAND.max(AGREEMENT * self.error) && self.beta > AGREEMENT * self.error
    }

    /// Whether a mistake that brings stages inside the budget is what was made there: the residual goes as far as the
    /// mistake pushes, known well enough. What merely happens to fit, or is noisy enough to fit anything, does not.
    pub fn earns(self) -> bool {
        // A leak of e^-50 moves nothing else by as much as the noise, and has no slope.
        if self.information < LEAST_INFORMATION && self.masks {
            return true;
        }
        self.information > 0.0 && self.error <= BLUNT && (self.beta - 1.0).abs() < BAND
    }
}

/// Whether the recordings exclude `other` in favour of `best`, both being predictions of `probes`.
pub fn excludes(
    stages: &BTreeMap<Probe, &Stage>,
    probes: impl Iterator<Item = Probe>,
    best: &Trace,
    other: &Trace,
) -> bool {
    let mut parts = Vec::new();
    for probe in probes {
        let (Some(stage), Some(best), Some(other)) = (stages.get(&probe), best.get(&probe), other.get(&probe)) else {
            return true;
        };
        parts.push(Part::of(stage, &stage.seen(best), &stage.seen(other), &stage.noise));
    }
    let slope = Slope::of(parts.iter());
    if slope.information == 0.0 { slope.masks } else { (0.5 - slope.beta) / slope.error > APART }
}
