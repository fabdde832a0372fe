//! How much right code loses on these inputs, in this precision: measured, not chosen.
//!
//! The same stages run on the same inputs five times: rounded to nearest after every operation where transformers
//! casts, rounded once a stage as a fused kernel does, and three times rounded at random with the accumulation noise
//! of another summation order. What they differ by from the exact stage is the noise.

use std::borrow::Cow;
use std::collections::BTreeSet;

use loupe_spec::{
    Accumulator, Arithmetic, Dtype, Edit, Given, HostTensor, Kind, LIBRARY_UNITS, Probe, Random, Replay, ReplayError,
    Replayer, Rounding, Simulation, Trace, Values, WeightForm,
};

use crate::layout::Layout;

/// The exact stages and the noisy ones.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Storage and operands.
    pub level: Level,
    /// f64 throughout.
    pub exact: Trace,
    /// One for each of [`Rounding::NOISE`].
    pub runs: Vec<Trace>,
}

/// A precision that a candidate may have computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// What results are stored in.
    pub storage: Dtype,
    /// Significand bits of a product's operands, where they are fewer than the storage's.
    pub operand_bits: Option<i32>,
    /// What a product's sum is kept in.
    pub accumulator: Accumulator,
    /// What the engine made of the weights.
    pub weights: WeightForm,
    /// Values were printed, with so many decimals.
    pub decimals: Option<u32>,
}

impl Level {
    /// Results in `storage`, and nothing else lost.
    pub fn plain(storage: Dtype) -> Level {
        let (accumulator, weights) = (Accumulator::Wide, WeightForm::Stored);
        Level { storage, operand_bits: None, accumulator, weights, decimals: None }
    }

    /// This level, rounded in one way.
    pub fn simulation(self, rounding: Rounding) -> Simulation {
        let Level { storage, operand_bits, accumulator, weights, decimals: _ } = self;
        Simulation { storage, operand_bits, accumulator, weights, rounding }
    }

    /// What is lost beside the storage.
    pub fn arithmetic(self) -> Option<Arithmetic> {
        Arithmetic::of(self.weights, self.accumulator, self.operand_bits)
    }

    /// What a verdict calls it; `None`: plain.
    pub fn detail(self) -> Option<String> {
        let arithmetic = self.arithmetic().map(|arithmetic| arithmetic.to_string());
        let printed = self.decimals.map(|decimals| format!("{decimals}_decimals"));
        let parts: Vec<String> = arithmetic.into_iter().chain(printed).collect();
        (!parts.is_empty()).then(|| parts.join(" + "))
    }
}

/// Runs the stages `wanted` from `given`, with `mistakes` planted, exactly and noisily.
///
/// # Errors
/// What the replayer says.
pub fn measure(
    replayer: &dyn Replayer,
    given: Given<'_>,
    wanted: &BTreeSet<Probe>,
    mistakes: &[Edit],
    level: Level,
) -> Result<Noise, ReplayError> {
    let roundings: Vec<Rounding> = std::iter::once(Rounding::Exact).chain(Rounding::NOISE).collect();
    let mut runs = run_each(replayer, given, wanted, mistakes, level, &roundings)?;
    let exact = runs.remove(0);
    Ok(Noise { level, exact, runs })
}

/// Runs the same stages once in each of `roundings`.
///
/// # Errors
/// What the replayer says.
pub fn run_each(
    replayer: &dyn Replayer,
    given: Given<'_>,
    wanted: &BTreeSet<Probe>,
    mistakes: &[Edit],
    level: Level,
    roundings: &[Rounding],
) -> Result<Vec<Trace>, ReplayError> {
    // Printed inputs are themselves rounded: each noisy run starts from others that print the same.
    let start = |rounding: &Rounding| match level.decimals {
        Some(decimals) if *rounding != Rounding::Exact => Cow::Owned(unprinted(given.trace, decimals, rounding.seed())),
        _ => Cow::Borrowed(given.trace),
    };
    let starts: Vec<Cow<'_, Trace>> = roundings.iter().map(start).collect();
    let asked: Vec<Replay<'_>> = starts
        .iter()
        .zip(roundings)
        .map(|(trace, rounding)| {
            let given = Given { trace, rows: given.rows };
            Replay { given, wanted, mistakes, simulation: level.simulation(*rounding) }
        })
        .collect();
    replayer.replay_all(&asked)
}

/// `given` with each value anywhere in the interval that prints the same with `decimals` decimals.
fn unprinted(given: &Trace, decimals: u32, seed: u64) -> Trace {
    let unit = 10f64.powi(-(decimals as i32));
    let blur = |(probe, tensor): (&Probe, &HostTensor)| {
        if !probe.is_computed() {
            return (*probe, tensor.clone());
        }
        let mut random = Random::of(&format!("{probe} {seed}"));
        let values = tensor.values.to_f64().into_iter().map(|value| value + unit * (random.uniform() - 0.5)).collect();
        (*probe, HostTensor { shape: tensor.shape.clone(), values: Values::F64(values) })
    };
    given.iter().map(blur).collect()
}

/// The variance expected of each element of `probe`:
///
/// - half what this element showed in the five runs, half what its row showed (five samples alone are few);
/// - the rounding of the recorded value itself, uniform within one unit in the last place, or of the last decimal that
///   was printed;
/// - eight f32 units ([`LIBRARY_UNITS`]) where a library's exp, tanh, sin or cos is inside: they differ by that much between vendors;
/// - for rotated values, angles that are themselves rounded: position times one f32 unit, in radians.
pub fn variance(probe: Probe, exact: &[f64], runs: &[Vec<f64>], layout: &Layout, level: Level) -> Vec<f64> {
    let storage = level.storage;
    let printed = level.decimals.map_or(0.0, |decimals| 10f64.powi(-2 * decimals as i32) / 12.0);
    let element: Vec<f64> = (0..exact.len())
        .map(|at| runs.iter().map(|run| (run[at] - exact[at]).powi(2)).sum::<f64>() / runs.len().max(1) as f64)
        .collect();
    let row_mean = layout.row_means(&element);
    let stored = 2f64.powi(-storage.significand_bits());
    systematic(probe, exact, layout, storage)
        .into_iter()
        .enumerate()
        .map(|(at, systematic)| {
            0.5 * element[at]
                + 0.5 * row_mean[layout.row(at)]
                + (exact[at] * stored).powi(2) / 3.0
                + systematic
                + printed
        })
        .collect()
}

/// Of these, what no run shows and no averaging takes away: the libraries' and the angles' part.
pub fn systematic(probe: Probe, exact: &[f64], layout: &Layout, storage: Dtype) -> Vec<f64> {
    let row_square = layout.row_means(&exact.iter().map(|e| e * e).collect::<Vec<f64>>());
    let wide = if storage == Dtype::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
    let library = if probe.has_library_function() { LIBRARY_UNITS * wide } else { 0.0 };
    let is_rotated = probe.kind() == Kind::Rope;
    let of = |at: usize| {
        let row = layout.row(at);
        let angle = if is_rotated { row as f64 * wide } else { 0.0 };
        (exact[at] * library).powi(2) + row_square[row] * angle * angle
    };
    (0..exact.len()).map(of).collect()
}
