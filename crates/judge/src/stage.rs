//! A recorded stage beside its prediction.

use std::collections::BTreeSet;

use loupe_spec::{Dtype, HostTensor, Kind, Precision, Probe, Values};

use crate::Fragment;
use crate::layout::Layout;
use crate::limits::{ROW_LIMIT, TENSOR_LIMIT};
use crate::noise::{Noise, variance};
use crate::statistic::{Statistic, variances};

/// What a candidate recorded of one stage, the reference's prediction, and how far right code may be off.
///
/// The vectors have an entry for each element of the tensor, then one for each recorded statistic.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub probe: Probe,
    /// The operation whose result it is.
    pub kind: Kind,
    /// Axis lengths.
    pub shape: Vec<usize>,
    /// Which element belongs to which token.
    pub layout: Layout,
    /// What the candidate recorded; where it recorded nothing, the prediction.
    pub recorded: Vec<f64>,
    /// Whether the candidate recorded it.
    held: Vec<bool>,
    /// Of printed values: the unit of the last digit.
    units: Vec<f64>,
    /// The prediction: what the reference computes from the candidate's own inputs, in f64.
    pub exact: Vec<f64>,
    /// The square of the noise: a generous estimate of the mean square of `recorded - exact` of right code.
    pub variance: Vec<f64>,
    /// For each of the five noisy runs, its differences from `exact`.
    pub noise: Vec<Vec<f64>>,
    /// The first of those runs, which is rounded where transformers rounds.
    rounded: Vec<f64>,
    /// The recorded statistics, such as a mean.
    statistics: Vec<Statistic>,
    /// The candidate's storage dtype.
    storage: Dtype,
}

/// How well a prediction fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The size of the residual in units of the noise: the root of the sum of squares over the sum of variances.
    pub tensor: f64,
    /// The same of the worst row: a token's, or a statistic's.
    pub row: f64,
    /// That row; past the tokens it is a statistic.
    pub token: usize,
}

impl Fit {
    /// Whether both are within their limits.
    pub fn passes(self) -> bool {
        self.tensor <= TENSOR_LIMIT && self.row <= ROW_LIMIT
    }

    /// One number for both: at [`TENSOR_LIMIT`] the stage fails.
    pub fn size(self) -> f64 {
        self.tensor.max(self.row * TENSOR_LIMIT / ROW_LIMIT)
    }
}

/// The root of a sum of squares over a sum of variances.
fn ratio((squares, variance): (f64, f64)) -> f64 {
    if squares == 0.0 { 0.0 } else { (squares / variance).sqrt() }
}

impl Stage {
    /// From a tensor with a row for each token that is `judged`. Scores and masks of a decode step have only the keys up to their own
    /// token.
    pub fn new(probe: Probe, recorded: &HostTensor, noise: &Noise, judged: &[bool]) -> Option<Stage> {
        let HostTensor { shape, .. } = noise.exact.get(&probe)?;
        let (layout, width) = (Layout::of(probe, shape), shape.last().copied().unwrap_or(1).max(1));
        let keys = recorded.shape.last().copied().unwrap_or(1);
        let places = (0..shape.iter().product()).filter(|at| judged[layout.row(*at)] && at % width < keys);
        Stage::of(probe, places.zip(recorded.values.to_f64()), Vec::new(), Vec::new(), noise)
    }

    /// From some values of a tensor.
    pub fn of_fragment(probe: Probe, fragment: &Fragment, noise: &Noise) -> Option<Stage> {
        let count = noise.exact.get(&probe)?.values.len();
        let mut units = vec![0.0; count];
        for (at, unit) in fragment.places.iter().zip(&fragment.units).filter(|(at, _)| **at < count) {
            units[*at] = *unit;
        }
        let values = fragment.places.iter().copied().zip(fragment.values.iter().copied());
        Stage::of(probe, values, units, fragment.statistics.clone(), noise)
    }

    /// The same recording with another prediction and its `noise`.
    pub fn again(&self, noise: &Noise) -> Option<Stage> {
        let held = (0..self.layout.elements).filter(|at| self.held[*at]).map(|at| (at, self.recorded[at]));
        Stage::of(self.probe, held, self.units.clone(), self.statistics.clone(), noise)
    }

    fn of(
        probe: Probe,
        values: impl Iterator<Item = (usize, f64)>,
        units: Vec<f64>,
        statistics: Vec<Statistic>,
        noise: &Noise,
    ) -> Option<Stage> {
        let exact_tensor = noise.exact.get(&probe)?;
        let (shape, mut exact) = (exact_tensor.shape.clone(), exact_tensor.values.to_f64());
        let mut runs: Vec<Vec<f64>> =
            noise.runs.iter().map(|run| run.get(&probe).map(|t| t.values.to_f64())).collect::<Option<_>>()?;
        let layout = Layout::of(probe, &shape);
        let storage = noise.precision.storage;
        // Where each value has a unit of its own, that takes the place of the precision's decimals.
        let precision =
            if units.is_empty() { noise.precision } else { Precision { decimals: None, ..noise.precision } };
        let mut variance = variance(probe, &exact, &runs, &layout, precision);
        // Before the units are added: statistics are computed from values that were not printed.
        let of_statistics = variances(&statistics, probe, &exact, &runs, &variance, &layout, storage);
        variance.iter_mut().zip(&units).for_each(|(variance, unit)| *variance += unit * unit / 12.0);
        variance.extend(of_statistics);
        for values in runs.iter_mut().chain([&mut exact]) {
            append(values, &statistics, &layout);
        }
        let rounded = runs.first().cloned().unwrap_or_default();
        let noise = runs.into_iter().map(|run| run.iter().zip(&exact).map(|(n, e)| n - e).collect()).collect();
        let (mut recorded, mut held) = (exact.clone(), vec![false; exact.len()]);
        let own = statistics.iter().enumerate().map(|(at, one)| (layout.elements + at, one.value));
        for (at, value) in values.filter(|(at, _)| *at < layout.elements).chain(own) {
            (recorded[at], held[at]) = (value, true);
        }
        Some(Stage {
            probe,
            kind: probe.kind(),
            shape,
            recorded,
            held,
            units,
            layout,
            exact,
            variance,
            noise,
            rounded,
            statistics,
            storage,
        })
    }

    /// A prediction of this stage, as `recorded` has it: the elements, then the statistics of them.
    pub fn seen(&self, predicted: &HostTensor) -> Vec<f64> {
        let mut values = predicted.values.to_f64();
        append(&mut values, &self.statistics, &self.layout);
        values
    }

    /// How many elements are compared.
    pub fn values(&self) -> usize {
        self.indices().filter(|at| *at < self.layout.elements).count()
    }

    /// How many elements it has, without those that an engine masked in place.
    pub fn all_values(&self) -> usize {
        (0..self.layout.elements).filter(|at| !self.is_recorded(*at) || self.counts(*at)).count()
    }

    /// How many statistics of it were recorded.
    pub fn statistics(&self) -> usize {
        self.statistics.len()
    }

    /// The name of entry `at`, if it is a statistic.
    pub fn statistic(&self, at: usize) -> Option<String> {
        self.statistics.get(at.checked_sub(self.layout.elements)?).map(Statistic::in_words)
    }

    /// `value` as the candidate would hold it.
    pub fn stored(&self, value: f64) -> f64 {
        self.storage.round(value)
    }

    /// The prediction rounded where transformers rounds.
    pub fn rounded(&self) -> &[f64] {
        &self.rounded
    }

    /// What the run that rounds once a stage, as a fused kernel does, differs by from [`Stage::rounded`].
    pub fn other_rounding(&self) -> Vec<Vec<f64>> {
        let fused = |noise: &Vec<f64>| {
            let rounded = self.exact.iter().zip(noise).zip(&self.rounded);
            rounded.map(|((exact, noise), rounded)| exact + noise - rounded).collect()
        };
        self.noise.get(1).map(fused).into_iter().collect()
    }

    /// Whether `value` is that of a key that a mask hides: a probability of exactly 0, as the candidate would hold it.
    pub fn is_hidden(&self, value: f64) -> bool {
        self.kind == Kind::Softmax && self.storage.round(value) == 0.0
    }

    /// Whether it is a mask, of which each value is 0 or 1 and nothing is rounded.
    pub fn is_mask(&self) -> bool {
        self.kind == Kind::Mask
    }

    /// Whether it holds scores, of which those of hidden keys are never used.
    fn is_of_scores(&self) -> bool {
        matches!(self.kind, Kind::Scores | Kind::Softcap) && self.probe.has_keys()
    }

    /// Whether the candidate recorded element `at`.
    pub fn is_recorded(&self, at: usize) -> bool {
        self.held[at]
    }

    /// Whether element `at` counts: it was recorded, its inputs lead to a number, and it is not a score that an engine
    /// masked in place (-inf, or a number no cap lets through) where the reference leaves hidden scores as they are.
    pub fn counts(&self, at: usize) -> bool {
        let masked_in_place =
            self.is_of_scores() && self.recorded[at] < -1e4 && self.recorded[at] < self.exact[at] - 1e3;
        self.is_recorded(at) && self.exact[at].is_finite() && !masked_in_place
    }

    /// Indices that count.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.recorded.len()).filter(|at| self.counts(*at))
    }

    /// How well the recording fits `predicted`, in units of this stage's noise. A mask has to be 0 where the prediction is and nowhere
    /// else, and so have probabilities of hidden keys: for these there is no noise.
    pub fn fit(&self, predicted: &[f64]) -> Fit {
        let broken = |at: &usize| match self.kind {
            Kind::Mask => (self.recorded[*at] != 0.0) != (predicted[*at] != 0.0),
            // Of a key that the right mask hides, 0 or not 0 says which code ran, however small the probability is.
            Kind::Softmax if self.exact[*at] == 0.0 || predicted[*at] == 0.0 => {
                self.is_hidden(predicted[*at]) != (self.recorded[*at] == 0.0)
            }
            _ => false,
        };
        match self.indices().find(broken) {
            Some(at) => Fit { tensor: f64::INFINITY, row: f64::INFINITY, token: self.layout.row(at) },
            None => self.fit_where(predicted, |_| true),
        }
    }

    /// The same over the elements that `keep` keeps.
    pub fn fit_where(&self, predicted: &[f64], keep: impl Fn(usize) -> bool) -> Fit {
        let rows = self.rows(predicted, keep);
        let total = rows.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
        let worst = rows.iter().map(|row| ratio(*row)).enumerate();
        let (token, row) = worst.fold((0, 0.0), |best, next| if next.1 > best.1 { next } else { best });
        Fit { tensor: ratio(total), row, token }
    }

    /// How unlikely it is, in bits, that an unrelated prediction comes as near to the recording as `predicted` does: for each value the
    /// logarithm of how many times nearer its row is than to the right prediction, counted down to the size of the noise. Infinite
    /// where the right prediction is infinitely far off, as a wrong mask is. A score, and no exact probability: values are taken as
    /// independent.
    pub fn bits(&self, predicted: &[f64]) -> f64 {
        if self.fit(&self.exact).tensor.is_infinite() {
            return f64::INFINITY;
        }
        let (before, after) = (self.rows(&self.exact, |_| true), self.rows(predicted, |_| true));
        // Row by row, since one wrong token among many is far off and the others are not.
        let gained = |row: usize| (ratio(before[row]) / ratio(after[row]).max(1.0)).log2().max(0.0);
        self.indices().map(|at| gained(self.layout.row(at))).sum()
    }

    /// The rows of which something was recorded: the tokens', then one for each statistic.
    fn held_rows(&self) -> BTreeSet<usize> {
        (0..self.held.len()).filter(|at| self.held[*at]).map(|at| self.layout.row(at)).collect()
    }

    /// The tokens of which something was recorded. A statistic of the whole tensor counts for each.
    pub fn tokens(&self) -> BTreeSet<usize> {
        let of_statistics = self.statistics.iter().flat_map(|one| match one.token {
            Some(token) => token..token + 1,
            None => 0..self.layout.tokens,
        });
        self.held_rows().into_iter().filter(|row| *row < self.layout.tokens).chain(of_statistics).collect()
    }

    /// Size of the residual over size of the noise, of each row that was recorded.
    pub fn row_sizes(&self, predicted: &[f64]) -> Vec<f64> {
        let rows = self.rows(predicted, |_| true);
        self.held_rows().into_iter().map(|row| ratio(rows[row])).collect()
    }

    /// Of each row, the squares of the residual and those of the noise.
    fn rows(&self, predicted: &[f64], keep: impl Fn(usize) -> bool) -> Vec<(f64, f64)> {
        let mut rows = vec![(0.0, 0.0); self.layout.tokens + self.statistics.len()];
        for at in self.indices().filter(|at| keep(*at)) {
            let residual = self.recorded[at] - predicted[at];
            let (squares, variance) = &mut rows[self.layout.row(at)];
            // A NaN or an infinity on one side is beyond any budget.
            *squares += if residual.is_finite() {
                residual * residual
            } else if self.recorded[at] == predicted[at] {
                0.0
            } else {
                f64::INFINITY
            };
            *variance += self.variance[at];
        }
        rows
    }

    /// Whether every recorded element is the exact value as the dtype holds it. A statistic is computed of stored values.
    pub fn is_exact(&self, storage: Dtype) -> bool {
        self.statistics.is_empty() && self.indices().all(|at| self.recorded[at] == storage.round(self.exact[at]))
    }

    /// Relative L2 size of the residual, and the relative L2 size at which the tensor fails.
    pub fn local_error_and_budget(&self) -> (f64, f64) {
        let (mut squares, mut variance, mut norm) = (0.0, 0.0, 0.0);
        for at in self.indices() {
            squares += (self.recorded[at] - self.exact[at]).powi(2);
            variance += self.variance[at];
            norm += self.exact[at].powi(2);
        }
        let relative = |value: f64| if value == 0.0 { 0.0 } else { (value / norm).sqrt() };
        // A mask is right bit for bit.
        let allowed = if self.is_mask() { 0.0 } else { TENSOR_LIMIT * relative(variance) };
        (relative(squares), allowed)
    }

    /// Index of the element that is furthest off; of a statistic where all elements are right.
    pub fn worst(&self) -> usize {
        let off = |at: usize| {
            let residual = (self.recorded[at] - self.exact[at]).abs();
            if residual.is_nan() { f64::INFINITY } else { residual }
        };
        let is_element = |at: usize| at < self.layout.elements;
        let of_statistics = !self.statistics.is_empty() && self.fit_where(&self.exact, is_element).passes();
        let asked = || self.indices().filter(|at| is_element(*at) != of_statistics);
        let worst = |asked: &mut dyn Iterator<Item = usize>| asked.max_by(|a, b| off(*a).total_cmp(&off(*b)));
        // Scores of hidden keys count for nothing, and few engines compute them: a visible one says more, if it is off at all.
        let is_off = |at: &usize| off(*at).powi(2) > TENSOR_LIMIT.powi(2) * self.variance[*at];
        let visible = worst(&mut asked().filter(|at| self.may_see(*at))).filter(is_off);
        visible.or_else(|| worst(&mut asked())).unwrap_or(0)
    }

    /// Whether element `at` is no score of a key after its query.
    fn may_see(&self, at: usize) -> bool {
        let keys = self.shape.last().copied().unwrap_or(1).max(1);
        !self.is_of_scores() || at % keys <= self.layout.row(at)
    }

    /// `predicted` with the recorded values in the place of its own.
    pub fn in_place(&self, predicted: &HostTensor) -> HostTensor {
        let mut values = predicted.values.to_f64();
        for (at, value) in values.iter_mut().enumerate().filter(|(at, _)| self.is_recorded(*at)) {
            *value = self.recorded[at];
        }
        HostTensor { shape: predicted.shape.clone(), values: Values::F64(values) }
    }

    /// Element `at` as a coordinate; of a statistic there is none.
    pub fn coordinate(&self, mut at: usize) -> Vec<usize> {
        let mut coordinate = Vec::new();
        if at >= self.layout.elements {
            return coordinate;
        }
        for length in self.shape.iter().rev() {
            coordinate.push(at % (*length).max(1));
            at /= (*length).max(1);
        }
        coordinate.reverse();
        coordinate
    }
}

/// Appends what `statistics` are of `values`.
fn append(values: &mut Vec<f64>, statistics: &[Statistic], layout: &Layout) {
    let own: Vec<f64> = statistics.iter().map(|one| one.of(values, layout)).collect();
    values.extend(own);
}
