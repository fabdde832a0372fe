//! Arithmetic that loses what another precision would lose, in f64 on a CPU.
//!
//! The noise budget of a comparison is measured with it: the same stages on the same inputs, done right, in the
//! candidate's precision, several times over.

use std::cell::Cell;
use std::sync::Mutex;

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{TensorData, TensorMetadata};
use loupe_backends::MatMul;
use loupe_model::Kernels;
use loupe_spec::{Accumulator, Dtype, Kind, LIBRARY_UNITS, Probe, Random, Rounding, Simulation};
use loupe_tensor::Tensor;

/// Rows that stand for a tall matrix in [`Simulated::energy`].
const SAMPLED: usize = 256;

/// Width, in units in the last place, within which a nudged value lies: one rounding in 64 goes the other way.
const NUDGE: f64 = 0.0625;

pub(crate) struct Simulated<B: Backend> {
    pub simulation: Simulation,
    pub matmul: MatMul<B>,
    pub random: Mutex<Random>,
}

impl<B: Backend> Simulated<B> {
    pub fn new(simulation: Simulation, matmul: MatMul<B>) -> Simulated<B> {
        Simulated { simulation, matmul, random: Mutex::new(Random::new(simulation.rounding.seed())) }
    }

    /// `x` with each element passed through `f`, which is told where a row of the last axis begins.
    fn map(&self, x: FloatTensor<B>, mut f: impl FnMut(f64, bool) -> f64) -> FloatTensor<B> {
        // The rank in the type is a label that `into_data` does not read.
        let x: Tensor<B, 1> = Tensor::from_primitive(x);
        let device = x.device();
        let data = x.into_data();
        let width = data.shape.last().copied().unwrap_or(1).max(1);
        let values = data.iter::<f64>().enumerate().map(|(at, v)| f(v, at % width == 0)).collect::<Vec<f64>>();
        B::float_from_data(TensorData::new(values, data.shape), &device)
    }

    fn round(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let storage = self.simulation.precision.storage;
        if storage == Dtype::F64 { x } else { self.map(x, |v, _| storage.round(v)) }
    }

    /// To nearest, after a nudge that few roundings feel: what two right engines differ by below the storage's unit.
    fn round_nudged(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let storage = self.simulation.precision.storage;
        let unit = NUDGE * 2f64.powi(1 - storage.significand_bits());
        let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.map(x, |v, _| storage.round(v + exponent(v) * unit * (random.uniform() - 0.5)))
    }

    fn round_at_random(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let storage = self.simulation.precision.storage;
        let computing = storage.compute_dtype().half_unit();
        let unit = 2f64.powi(1 - storage.significand_bits());
        let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let shared = Cell::new(0.0);
        self.map(x, |v, row_starts| {
            // A factor that all values of a row share, such as a norm's, is off by about one rounding of the compute dtype.
            if row_starts {
                shared.set(computing * random.normal());
            }
            let v = v * (1.0 + shared.get() + computing * random.normal());
            // Anywhere within one unit in the last place, then to nearest: up or down by nearness.
            let spread = exponent(v) * unit * (random.uniform() - 0.5);
            if storage == Dtype::F64 { v + spread } else { storage.round(v + spread) }
        })
    }

    /// k times the sum of the squared products that each element of `lhs @ rhs` is the sum of, `lhs` [.., m, k]. A weight
    /// is the left side; of a tall one, each column's mean over some of the rows stands for all: squaring a whole matrix
    /// costs more than multiplying by it.
    fn energy(&self, lhs: FloatTensor<B>, rhs: FloatTensor<B>) -> FloatTensor<B> {
        let squares = |x: FloatTensor<B>| B::float_mul(x.clone(), x);
        let shape = lhs.shape();
        let k = shape.last().copied().unwrap_or(1) as f64;
        let product = |lhs: FloatTensor<B>, rhs: FloatTensor<B>| {
            B::float_mul_scalar((self.matmul)(squares(lhs), squares(rhs)), k.into())
        };
        match shape.as_slice() {
            [rows, _] if *rows >= 2 * SAMPLED => {
                let step = rows / SAMPLED;
                let some = Tensor::<B, 2>::from_primitive(lhs).every(0, step);
                let energy = Tensor::<B, 2>::from_primitive(product(some.into_primitive(), rhs));
                energy.mean_dim(0).repeat_dim(0, *rows).into_primitive()
            }
            _ => product(lhs, rhs),
        }
    }

    /// `x` as another library's exp, tanh, sin and cos would have it; a rotation [T, .., H] by angles that are off by a
    /// unit for each position.
    fn of_another_library(&self, probe: Probe, x: FloatTensor<B>) -> FloatTensor<B> {
        let unit = self.simulation.precision.storage.compute_dtype().half_unit();
        let shape = x.shape();
        let per_token: usize = shape.iter().skip(1).product();
        let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut at = 0;
        let is_rotated = probe.kind() == Kind::Rope;
        self.map(x, |v, _| {
            let position = if is_rotated { at / per_token.max(1) } else { 0 };
            at += 1;
            v * (1.0 + (LIBRARY_UNITS + position as f64) * unit * random.normal())
        })
    }

    fn operand(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let Some(bits) = self.simulation.precision.operand_bits else { return x };
        let unit = 2f64.powi(1 - bits);
        self.map(x, |v, _| {
            let step = exponent(v) * unit;
            if step == 0.0 { v } else { (v / step).round_ties_even() * step }
        })
    }
}

/// The power of two at or below |x|; 0 for 0.
fn exponent(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() { 0.0 } else { f64::from_bits(x.abs().to_bits() & 0x7ff0_0000_0000_0000) }
}

impl<B: Backend> Kernels<B> for Simulated<B> {
    fn to_compute(&self, _at: Probe, x: FloatTensor<B>) -> FloatTensor<B> {
        x
    }

    fn to_storage(&self, _at: Probe, x: FloatTensor<B>) -> FloatTensor<B> {
        match self.simulation.rounding {
            Rounding::Exact | Rounding::EveryStage => x,
            Rounding::EveryOperation => self.round(x),
            Rounding::Reordered(_) => self.round_nudged(x),
            Rounding::Stochastic(_) => self.round_at_random(x),
        }
    }

    fn matmul(&self, at: Probe, lhs: FloatTensor<B>, rhs: FloatTensor<B>) -> FloatTensor<B> {
        if self.simulation.rounding == Rounding::Exact {
            return (self.matmul)(lhs, rhs);
        }
        let (lhs, rhs) = (self.operand(lhs), self.operand(rhs));
        let product = (self.matmul)(lhs.clone(), rhs.clone());
        // A sum of k products walks at random: each of its steps rounds by a quarter unit of the typical partial sum.
        let step = match (self.simulation.precision.accumulator, self.simulation.rounding) {
            (Accumulator::Half(half), _) => half.half_unit() / 2.0,
            (Accumulator::ComputeDtype, Rounding::Stochastic(_) | Rounding::Reordered(_)) => {
                self.simulation.precision.storage.compute_dtype().half_unit() / 2.0
            }
            (Accumulator::ComputeDtype, _) => return self.to_storage(at, product),
        };
        let energy = self.energy(lhs, rhs);
        let noise = {
            let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.map(energy, |v, _| step * v.sqrt() * random.normal())
        };
        self.to_storage(at, B::float_add(product, noise))
    }

    fn finish(&self, at: Probe, x: FloatTensor<B>) -> FloatTensor<B> {
        match self.simulation.rounding {
            Rounding::EveryStage => self.round(x),
            Rounding::Stochastic(_) if at.has_library_function() => self.of_another_library(at, x),
            _ => x,
        }
    }
}
