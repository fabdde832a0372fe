//! What can be seen of a mistake, found by runs with and without it. None of this is the judge's.

use std::collections::BTreeSet;

use loupe_spec::{Dtype, Probe};

use super::recording::{Extent, Recording};

/// A stage shows a mistake when the mistake moves it by more than this many times what the dtype moves it by: the
/// number of standard deviations that the judge's budget allows, and the only thing that the two have in common.
pub const VISIBLE: f64 = 3.0;
/// Values that the dtype happens not to move still have its rounding: this much of a unit.
const LEAST: f64 = 0.3;
/// What one stage alone may lose to its dtype, in units of relative rounding error: a few roundings, a sum.
const LOCAL: f64 = 2.0;

/// By how much a mistake moves each recorded stage, in units of what the dtype moves it by.
#[derive(Clone, Debug)]
pub struct Moved {
    stages: Vec<(Probe, f64)>,
    /// The first of them in units of what that stage alone loses: both runs come to it with the same inputs, and a full
    /// trace shows it apart from all that was lost before.
    alone: f64,
}

impl Moved {
    /// `planted` and `right` are runs in one dtype, `noisy` is the right run in the candidate's dtype and `exact` the
    /// right run in f64. Stages that are the same bit for bit are left out.
    pub fn of(planted: &Recording, right: &Recording, noisy: &Recording, exact: &Recording, dtype: Dtype) -> Moved {
        let (mut stages, mut alone) = (Vec::new(), None);
        let unit = 2f64.powi(-dtype.significand_bits());
        for (probe, with) in &planted.tensors {
            let Some(without) = right.tensors.get(probe) else { continue };
            if with.shape == without.shape && with.values == without.values {
                continue;
            }
            let (a, b) = (with.values.to_f64(), without.values.to_f64());
            let zeros = matches!(probe.path(), "self_attn.mask" | "self_attn.probs")
                && a.iter().zip(&b).any(|(a, b)| (*a == 0.0) != (*b == 0.0));
            let size = match (noisy.tensors.get(probe), exact.tensors.get(probe)) {
                _ if zeros || a.len() != b.len() => f64::INFINITY,
                (Some(noisy), Some(exact)) => {
                    let (noisy, exact) = (noisy.values.to_f64(), exact.values.to_f64());
                    let (apart, size) = (distance(&a, &b), unit * norm(exact.iter().copied()));
                    alone.get_or_insert(apart / (LOCAL * size));
                    apart / distance(&noisy, &exact).max(LEAST * size)
                }
                _ => f64::INFINITY,
            };
            stages.push((*probe, if size.is_nan() { f64::INFINITY } else { size }));
        }
        Moved { stages, alone: alone.filter(|size| size.is_finite()).unwrap_or(0.0) }
    }

    /// The largest of what a candidate of this extent holds; 0 where it is the same bit for bit.
    pub fn most(&self, extent: Extent) -> f64 {
        let alone = if extent == Extent::Full { self.alone } else { 0.0 };
        self.held(extent).map(|(_, size)| size).fold(alone, f64::max)
    }

    /// Stages that may rightly be called the first: the first that differs at all, and where that is too little to be
    /// seen, those after it up to the first that is plain.
    pub fn first(&self, extent: Extent) -> BTreeSet<Probe> {
        let mut first = BTreeSet::new();
        for (probe, size) in self.held(extent) {
            first.insert(probe);
            // Between one and ten times what can be seen is for the judge to say.
            if size > 10.0 * VISIBLE {
                break;
            }
        }
        first
    }

    fn held(&self, extent: Extent) -> impl Iterator<Item = (Probe, f64)> + '_ {
        self.stages.iter().copied().filter(move |(probe, _)| extent.holds(*probe))
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    norm(a.iter().zip(b).map(|(a, b)| if a == b { 0.0 } else { a - b }))
}

/// How what a verdict names compares with what was planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// The same in every bit, or the same mathematics in another order.
    Same,
    /// Apart in f64, by less than the noise.
    WithinNoise,
    Apart,
}

/// What is known of a planted mistake without asking the judge.
pub struct Truth<'a> {
    /// Stages that may be called the first.
    pub first: &'a BTreeSet<Probe>,
    /// f64 with and without it differ by less than the dtype's noise in everything recorded.
    pub hidden: bool,
    /// The run came out as the right one in every bit though the mistake could be seen elsewhere: there is nothing to
    /// see and nothing to declare.
    pub right_anyway: bool,
    /// How what was named compares with what was planted; `None`: nothing asked for it.
    pub alike: Option<Alike>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::recording::tests::run;

    #[test]
    fn what_moves_less_than_the_dtype_is_hidden() {
        let (exact, noisy) = (run(1.0, 1.0), run(1.01, 1.01));
        let moved = |planted: Recording| Moved::of(&planted, &exact, &noisy, &exact, Dtype::Bf16);
        assert!(moved(run(1.02, 1.0)).most(Extent::Full) <= VISIBLE);
        assert!(moved(run(1.02, 2.0)).most(Extent::Logits) > VISIBLE);
        assert_eq!(
            moved(run(1.02, 2.0)).first(Extent::Full),
            ["norm", "logits"].iter().filter_map(|name| Probe::named(name)).collect()
        );
        assert_eq!(moved(run(3.0, 2.0)).first(Extent::Full), Probe::named("norm").into_iter().collect());
        assert_eq!(moved(run(1.0, 1.0)).most(Extent::Full), 0.0);
    }

    #[test]
    fn a_full_trace_shows_a_stage_apart_from_what_was_lost_before() {
        let (exact, noisy) = (run(1.0, 1.0), run(1.1, 1.1));
        let moved = Moved::of(&run(1.05, 1.0), &exact, &noisy, &exact, Dtype::Bf16);
        assert!(moved.most(Extent::Full) > VISIBLE && moved.most(Extent::Layers) <= VISIBLE);
    }
}
