//! The checkpoint's weights as another engine may hold them: the source of a replay's weights.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::backend::Backend;
use loupe_checkpoint::{CheckpointError, Rows, Tensors};
use loupe_model::{Read, WeightError, Weights};
use loupe_spec::{Dtype, HostTensor, Random, Rounding, Simulation, Values, Weight, WeightForm};
use loupe_tensor::Tensor;

use crate::Progress;
use crate::host::upload;

/// Weights that share a step when they are quantised: GGUF's block.
const BLOCK: usize = 32;

/// Reads a tensor, gives it the form that the simulation says, and hands it out in f64.
pub(crate) struct Formed<'a, B: Backend> {
    tensors: &'a Tensors,
    simulation: Simulation,
    device: &'a B::Device,
    /// Told how many of the announced elements have been read.
    progress: Option<Progress<'a>>,
    announced: AtomicUsize,
    read: AtomicUsize,
}

impl<'a, B: Backend> Formed<'a, B> {
    pub fn new(
        tensors: &'a Tensors,
        simulation: Simulation,
        device: &'a B::Device,
        progress: Option<Progress<'a>>,
    ) -> Formed<'a, B> {
        Formed { tensors, simulation, device, progress, announced: AtomicUsize::new(0), read: AtomicUsize::new(0) }
    }

    fn read(&self, weight: Weight, rows: Rows<'_>, half: Option<Dtype>) -> Result<HostTensor, CheckpointError> {
        let storage = self.simulation.storage;
        let stored = self.tensors.entry(weight)?.dtype;
        // What the form and the model's dtype round to, one after the other, where that can change a value.
        let rounds = |to: &Dtype| !holds(*to, stored);
        let mut roundings = half.into_iter().chain([storage]).filter(rounds);
        let mut tensor = self.tensors.read(weight, rows, roundings.next().unwrap_or(Dtype::F64))?;
        for dtype in roundings {
            tensor.values = tensor.values.to_dtype(dtype);
        }
        tensor.values = match tensor.values {
            Values::F64(values) => Values::F64(values),
            other => Values::F64(other.to_f64()),
        };
        Ok(tensor)
    }

    fn matrix(&self, weight: Weight, rows: Rows<'_>) -> Result<Tensor<B, 2>, WeightError> {
        let first = match &rows {
            Rows::Range(range) => range.start,
            Rows::All | Rows::List(_) => 0,
        };
        let mut tensor = self.read(weight, rows, self.simulation.weights.half())?;
        if let (WeightForm::Blocks { bits }, Values::F64(values)) = (self.simulation.weights, &mut tensor.values)
            && self.simulation.rounding != Rounding::Exact
        {
            let drawn = format!("{weight} {first} {}", self.simulation.rounding.seed());
            blur(values, bits, &mut Random::of(&drawn));
        }
        let read = self.read.fetch_add(tensor.values.len(), Ordering::Relaxed) + tensor.values.len();
        let announced = self.announced.load(Ordering::Relaxed);
        if let Some(progress) = self.progress {
            (progress.0)(read.min(announced), announced);
        }
        Ok(upload(tensor, Dtype::F64, self.device))
    }
}

/// Whether every value of `stored` is one of `to`.
fn holds(to: Dtype, stored: Dtype) -> bool {
    to == stored || to == Dtype::F64 || (to == Dtype::F32 && stored.size() == 2)
}

/// Moves each value by up to half a step of its block, either way.
fn blur(values: &mut [f64], bits: u32, random: &mut Random) {
    for block in values.chunks_mut(BLOCK) {
        let (least, most) = block.iter().fold((0.0, 0.0), |(least, most): (f64, f64), v| (least.min(*v), most.max(*v)));
        let step = (most - least) / (2f64.powi(bits as i32) - 1.0);
        for value in block {
            *value += step * (random.uniform() - 0.5);
        }
    }
}

impl<B: Backend> Weights<B> for Formed<'_, B> {
    fn announce(&self, upcoming: Vec<Read>) {
        let elements = |read: &Read| {
            let shape = self.tensors.entry(read.weight).map(|entry| entry.shape.to_vec()).unwrap_or_default();
            read.rows.as_ref().map_or(0, |rows| rows.len() * shape.get(1).copied().unwrap_or(1))
        };
        self.announced.store(upcoming.iter().map(elements).sum(), Ordering::Relaxed);
    }

    fn vector(&self, weight: Weight) -> Result<Tensor<B, 1>, WeightError> {
        let half = match self.simulation.weights {
            WeightForm::Rounded(half) => Some(half),
            WeightForm::Stored | WeightForm::RoundedMatrices(_) | WeightForm::Blocks { .. } => None,
        };
        Ok(upload(self.read(weight, Rows::All, half)?, Dtype::F64, self.device))
    }

    fn rows(&self, weight: Weight, rows: Range<usize>) -> Result<Tensor<B, 2>, WeightError> {
        self.matrix(weight, Rows::Range(rows))
    }

    fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError> {
        self.matrix(weight, Rows::List(indices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_moved_by_less_than_half_a_step_and_about_as_far_as_uniform_noise() {
        let mut values: Vec<f64> = (0..6400).map(|at| (f64::from(at) * 0.37).sin()).collect();
        let before = values.clone();
        blur(&mut values, 4, &mut Random::new(7));
        let step = 2.0 / 15.0;
        let moved: Vec<f64> = values.iter().zip(&before).map(|(a, b)| (a - b).abs()).collect();
        assert!(moved.iter().all(|by| *by <= step / 2.0));
        let square = moved.iter().map(|by| by * by).sum::<f64>() / moved.len() as f64;
        assert!((square / (step * step / 12.0) - 1.0).abs() < 0.1, "{square}");
    }

    #[test]
    fn a_type_holds_what_it_can_store_without_loss() {
        assert!(holds(Dtype::F32, Dtype::Bf16) && holds(Dtype::F32, Dtype::F16) && holds(Dtype::F64, Dtype::F32));
        assert!(!holds(Dtype::F16, Dtype::Bf16) && !holds(Dtype::Bf16, Dtype::F32) && !holds(Dtype::F32, Dtype::F64));
    }
}
