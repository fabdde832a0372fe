//! How much right code loses on these inputs, in this precision: measured, not chosen.
//!
//! The same stages run on the same inputs five times: rounded to nearest after every operation where transformers
//! casts, rounded once a stage as a fused kernel does, and three times rounded at random with the accumulation noise
//! of another summation order. What they differ by from the exact stage is the noise.

use std::collections::BTreeSet;

use loupe_spec::{Dtype, Probe, Rounding, Simulation, Stage};

use crate::stage::Layout;
use crate::{Replay, ReplayError, Replayer, Trace};

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
    /// What a verdict calls it, where it is not the plain one.
    pub detail: Option<&'static str>,
}

impl Level {
    /// This level, rounded in one way.
    pub fn simulation(self, rounding: Rounding) -> Simulation {
        Simulation { storage: self.storage, operand_bits: self.operand_bits, rounding }
    }
}

/// Runs the stages `wanted` from `given`, with `mistakes` planted, exactly and noisily.
///
/// # Errors
/// What the replayer says.
pub fn measure(
    replayer: &dyn Replayer,
    given: &Trace,
    wanted: &BTreeSet<Probe>,
    mistakes: &[String],
    level: Level,
) -> Result<Noise, ReplayError> {
    let run = |rounding| replayer.replay(Replay { given, wanted, mistakes, simulation: level.simulation(rounding) });
    let exact = run(Rounding::Exact)?;
    let runs = Rounding::NOISE.into_iter().map(run).collect::<Result<_, _>>()?;
    Ok(Noise { level, exact, runs })
}

/// The variance expected of each element of `probe`:
///
/// - half what this element showed in the five runs, half what its row showed (five samples alone are few);
/// - the rounding of the recorded value itself, uniform within one unit in the last place;
/// - eight f32 units where a library's exp, tanh, sin or cos is inside: they differ by that much between vendors;
/// - for rotated values, angles that are themselves rounded: position times one f32 unit, in radians.
pub fn variance(probe: Probe, exact: &[f64], runs: &[Vec<f64>], layout: &Layout, storage: Dtype) -> Vec<f64> {
    let element: Vec<f64> = (0..exact.len())
        .map(|at| runs.iter().map(|run| (run[at] - exact[at]).powi(2)).sum::<f64>() / runs.len().max(1) as f64)
        .collect();
    let row_mean = layout.row_means(&element);
    let row_square = layout.row_means(&exact.iter().map(|e| e * e).collect::<Vec<f64>>());
    let stored = 2f64.powi(-storage.significand_bits());
    let wide = if storage == Dtype::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
    let library = if has_library_function(probe) { 8.0 * wide } else { 0.0 };
    (0..exact.len())
        .map(|at| {
            let row = layout.row(at);
            let angle = if is_rotated(probe) { row as f64 * wide } else { 0.0 };
            0.5 * element[at]
                + 0.5 * row_mean[row]
                + (exact[at] * stored).powi(2) / 3.0
                + (exact[at] * library).powi(2)
                + row_square[row] * angle * angle
        })
        .collect()
}

fn has_library_function(probe: Probe) -> bool {
    matches!(probe, Probe::Logits)
        || is_rotated(probe)
        || matches!(probe, Probe::Layer(_, Stage::ScoresCapped | Stage::Probs | Stage::Act))
}

fn is_rotated(probe: Probe) -> bool {
    matches!(probe, Probe::Layer(_, Stage::QRope | Stage::KRope))
}
