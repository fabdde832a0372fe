//! What a log says of a tensor as a whole, or of one token's row: its mean, its extremes.
//!
//! A statistic is compared as a value is: with what the reference's tensor has, within what right code may differ by. However
//! the elements' differences `e` hang together, it differs by no more than
//!
//! | statistic | at most |
//! |---|---|
//! | mean, std | `rms(e)`: the mean is no larger, and the spread of a sum is at most the sum of the spreads |
//! | norm | `sqrt(n) * rms(e)`, which is the norm of `e` |
//! | min, max, max_abs | the largest of `e` |
//!
//! Where they do not hang together most of it averages out. How much is left the noisy runs show: the share of these bounds
//! that their own statistics differ by. Five runs of one number say little, so half of the share is the number's own and half
//! that of all statistics of the tensor. What runs do not show (libraries, angles) is bounded in full.

use loupe_spec::{Dtype, Probe};

use crate::layout::Layout;
use crate::limits::SUMMING_UNITS;
use crate::noise::systematic;

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the name it has
pub enum StatisticKind {
    Min,
    Max,
    MaxAbs,
    Mean,
    /// Of all values, not of a sample: divided by their number.
    Std,
    /// Euclidean.
    Norm,
}

impl StatisticKind {
    /// Every kind.
    pub const ALL: [StatisticKind; 6] = [
        StatisticKind::Min,
        StatisticKind::Max,
        StatisticKind::MaxAbs,
        StatisticKind::Mean,
        StatisticKind::Std,
        StatisticKind::Norm,
    ];

    /// As logs and verdicts call it.
    pub fn name(self) -> &'static str {
        match self {
            StatisticKind::Min => "min",
            StatisticKind::Max => "max",
            StatisticKind::MaxAbs => "max_abs",
            StatisticKind::Mean => "mean",
            StatisticKind::Std => "std",
            StatisticKind::Norm => "norm",
        }
    }

    /// The kind called `name`; JavaScript writes `maxAbs`.
    pub fn named(name: &str) -> Option<StatisticKind> {
        let name = if name == "maxAbs" { "max_abs" } else { name };
        StatisticKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it is one of the values, and not computed of them.
    pub fn is_value(self) -> bool {
        matches!(self, StatisticKind::Min | StatisticKind::Max | StatisticKind::MaxAbs)
    }

    fn of(self, values: impl Iterator<Item = f64> + Clone) -> f64 {
        let count = values.clone().count().max(1) as f64;
        let mean = || values.clone().sum::<f64>() / count;
        match self {
            StatisticKind::Min => values.fold(f64::INFINITY, f64::min),
            StatisticKind::Max => values.fold(f64::NEG_INFINITY, f64::max),
            StatisticKind::MaxAbs => values.fold(0.0, |most, value| value.abs().max(most)),
            StatisticKind::Mean => mean(),
            StatisticKind::Std => {
                let mean = mean();
                (values.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
            }
            StatisticKind::Norm => values.map(|value| value * value).sum::<f64>().sqrt(),
        }
    }
}

/// One number about many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistic {
    /// Which.
    pub kind: StatisticKind,
    /// Of this token's row; `None`: of the whole tensor.
    pub token: Option<usize>,
    /// The number.
    pub value: f64,
    /// What one more in its last digit would be, as it was printed.
    pub unit: f64,
}

impl Statistic {
    /// The same of `values`, a whole tensor.
    pub(crate) fn of(&self, values: &[f64], layout: &Layout) -> f64 {
        self.kind.of(self.own(values, layout))
    }

    /// The square of what it differs by at most, where the elements differ by squares of `variance`.
    fn bound(&self, variance: &[f64], layout: &Layout) -> f64 {
        let own = self.own(variance, layout);
        let count = own.clone().count() as f64;
        match self.kind {
            StatisticKind::Min | StatisticKind::Max | StatisticKind::MaxAbs => StatisticKind::Max.of(own),
            StatisticKind::Mean | StatisticKind::Std => StatisticKind::Mean.of(own),
            StatisticKind::Norm => count * StatisticKind::Mean.of(own),
        }
    }

    /// The square of what is lost where it is computed in f32, in sums of sums, some units of the size of what is summed; and
    /// where it is kept in the type of the values, as torch does.
    fn computing(&self, exact: &[f64], layout: &Layout, storage: Dtype) -> f64 {
        if self.kind.is_value() {
            return 0.0;
        }
        let units = SUMMING_UNITS * 2f64.powi(-24);
        let squares: Vec<f64> = exact.iter().map(|value| value * value).collect();
        let kept = self.of(exact, layout) * 2f64.powi(-storage.significand_bits());
        units * units * self.bound(&squares, layout) + kept * kept / 3.0
    }

    fn own<'v>(&self, values: &'v [f64], layout: &Layout) -> impl Iterator<Item = f64> + Clone + 'v {
        let (token, layout) = (self.token, layout.clone());
        let is_own = move |at: &usize| token.is_none_or(|token| layout.row(*at) == token);
        (0..values.len()).filter(is_own).map(|at| values[at])
    }

    /// In words: `mean`, or `mean of token 3`.
    pub(crate) fn in_words(&self) -> String {
        let name = self.kind.name();
        self.token.map_or(name.to_string(), |token| format!("{name} of token {token}"))
    }
}

/// The expected square of the difference of each of `statistics` of `probe`, whose elements differ by squares of `variance`;
/// `runs` and `exact` are whole tensors.
pub(crate) fn variances(
    statistics: &[Statistic],
    probe: Probe,
    exact: &[f64],
    runs: &[Vec<f64>],
    variance: &[f64],
    layout: &Layout,
    storage: Dtype,
) -> Vec<f64> {
    let systematic = systematic(probe, exact, layout, storage);
    let bounds: Vec<f64> = statistics.iter().map(|one| one.bound(variance, layout)).collect();
    let share = |(one, bound): (&Statistic, &f64)| {
        let right = one.of(exact, layout);
        let squares = runs.iter().map(|run| (one.of(run, layout) - right).powi(2)).sum::<f64>();
        if *bound == 0.0 { 0.0 } else { squares / runs.len().max(1) as f64 / bound }
    };
    let shares: Vec<f64> = statistics.iter().zip(&bounds).map(share).collect();
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    let of = |((one, bound), share): ((&Statistic, &f64), &f64)| {
        let own = 0.5 * (share + mean) * bound + one.bound(&systematic, layout);
        own + one.computing(exact, layout, storage) + one.unit * one.unit / 12.0
    };
    statistics.iter().zip(&bounds).zip(&shares).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: StatisticKind, token: Option<usize>) -> Statistic {
        Statistic { kind, token, value: 0.0, unit: 0.0 }
    }

    #[test]
    fn each_is_what_its_name_says() {
        let values = [1.0, -4.0, 3.0, 2.0];
        let layout = Layout::of(crate::probe("norm"), &[2, 2]);
        let all: Vec<f64> = StatisticKind::ALL.iter().map(|kind| of(*kind, None).of(&values, &layout)).collect();
        assert_eq!(all, [-4.0, 3.0, 4.0, 0.5, (29.0f64 / 4.0).sqrt(), 30f64.sqrt()]);
        assert_eq!(of(StatisticKind::Mean, Some(1)).of(&values, &layout), 2.5);
        assert_eq!(StatisticKind::named("maxAbs"), Some(StatisticKind::MaxAbs));
    }

    /// However the elements' errors hang together, the statistic's is within its bound.
    #[test]
    fn no_errors_of_that_size_go_further() {
        let values = [1.0, -4.0, 3.0, 2.0, 0.5, 2.9];
        let layout = Layout::of(crate::probe("norm"), &[3, 2]);
        let sizes = [1e-3, 2e-3, 1e-3, 4e-3, 1e-3, 3e-3];
        let variance = sizes.map(|size: f64| size * size);
        for kind in StatisticKind::ALL {
            let bound = of(kind, None).bound(&variance, &layout).sqrt();
            for signs in 0..64 {
                let sign = |at: usize| if signs >> at & 1 == 1 { 1.0 } else { -1.0 };
                let off: Vec<f64> = (0..6).map(|at| values[at] + sign(at) * sizes[at]).collect();
                let error = of(kind, None).of(&off, &layout) - of(kind, None).of(&values, &layout);
                assert!(error.abs() <= bound * 1.000001, "{kind:?} {signs:b}: {error} {bound}");
            }
        }
    }
}
