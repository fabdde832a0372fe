//! How much right code loses on these inputs, in this precision: measured for each verdict.
//!
//! The same stages run on the same inputs five times: rounded to nearest after every operation where transformers
//! casts, rounded once a stage as a fused kernel does, and three times rounded at random with the accumulation noise
//! of another summation order. What they differ by from the exact stage is the noise.

use std::borrow::Cow;
use std::collections::BTreeSet;

use loupe_spec::{
    Dtype, Edit, Given, HostTensor, Kind, LIBRARY_UNITS, Precision, Probe, Random, Replay, ReplayError, Replayer,
    Rounding, Trace, Values,
};

use crate::layout::Layout;

/// The exact stages and the noisy ones.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Storage and operands.
    pub precision: Precision,
    /// f64 throughout.
    pub exact: Trace,
    /// One for each of [`Rounding::NOISE`].
    pub runs: Vec<Trace>,
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
    precision: Precision,
) -> Result<Noise, ReplayError> {
    let roundings: Vec<Rounding> = std::iter::once(Rounding::Exact).chain(Rounding::NOISE).collect();
    let mut runs = run_each(replayer, given, wanted, mistakes, precision, &roundings)?;
    let exact = runs.remove(0);
    Ok(Noise { precision, exact, runs })
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
    precision: Precision,
    roundings: &[Rounding],
) -> Result<Vec<Trace>, ReplayError> {
    // Printed inputs are themselves rounded: each noisy run starts from others that print the same.
    let start = |rounding: &Rounding| match precision.decimals {
        Some(decimals) if *rounding != Rounding::Exact => Cow::Owned(unprinted(given.trace, decimals, rounding.seed())),
        _ => Cow::Borrowed(given.trace),
    };
    let starts: Vec<Cow<'_, Trace>> = roundings.iter().map(start).collect();
    let asked: Vec<Replay<'_>> = starts
        .iter()
        .zip(roundings)
        .map(|(trace, rounding)| {
            let given = Given { trace, rows: given.rows };
            Replay { given, wanted, mistakes, simulation: precision.simulation(*rounding) }
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

/// The mean square of the noise of each element of `probe`, a generous estimate:
///
/// - half what this element showed in the five runs, half what its row showed (five samples alone are few);
/// - a rounding of the recorded value itself, uniform within 2^-bits of it (the runs end in one, too), and that of the last decimal
///   where values were printed;
/// - [`LIBRARY_UNITS`] times 2^-24 where a library's exp, tanh, sin or cos is inside: they differ by that much between vendors;
/// - for rotated values, angles that are themselves rounded: position times 2^-24, in radians. (Of f64 both have 2^-53.)
pub fn variance(probe: Probe, exact: &[f64], runs: &[Vec<f64>], layout: &Layout, precision: Precision) -> Vec<f64> {
    let storage = precision.storage;
    let printed = precision.decimals.map_or(0.0, |decimals| 10f64.powi(-2 * decimals as i32) / 12.0);
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

/// The libraries' and the angles' part of it, in full: the runs draw it for each value anew, where an engine has the same all along.
pub fn systematic(probe: Probe, exact: &[f64], layout: &Layout, storage: Dtype) -> Vec<f64> {
    let row_square = layout.row_means(&exact.iter().map(|e| e * e).collect::<Vec<f64>>());
    let unit = storage.compute_dtype().half_unit();
    let library = if probe.has_library_function() { LIBRARY_UNITS * unit } else { 0.0 };
    let is_rotated = probe.kind() == Kind::Rope;
    let of = |at: usize| {
        let row = layout.row(at);
        let angle = if is_rotated { row as f64 * unit } else { 0.0 };
        (exact[at] * library).powi(2) + row_square[row] * angle * angle
    };
    (0..exact.len()).map(of).collect()
}
