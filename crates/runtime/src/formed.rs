//! The checkpoint's weights as another engine may hold them: the source of a replay's weights.

use burn::tensor::backend::Backend;
use loupe_checkpoint::{CheckpointError, RowSelection, Tensors};
use loupe_model::{Read, Reads, WeightError, Weights};
use loupe_spec::{Dtype, HostTensor, Random, Rounding, Simulation, Values, Weight, WeightForm};
use loupe_tensor::Tensor;

use crate::host::upload;
use crate::progress::{Progress, Taken};

/// Weights that share a step when they are quantised: GGUF's block.
const BLOCK: usize = 32;

/// Reads a tensor, gives it the form that the simulation says, and hands it out in f64.
pub(crate) struct Formed<'a, B: Backend> {
    pub tensors: &'a Tensors,
    pub simulation: Simulation,
    pub device: &'a B::Device,
    /// Told how many elements have been read.
    pub progress: Option<Progress<'a>>,
}

impl<B: Backend> Formed<'_, B> {
    fn rounded(
        &self,
        weight: Weight,
        rows: RowSelection<'_>,
        half: Option<Dtype>,
    ) -> Result<HostTensor, CheckpointError> {
        let storage = self.simulation.precision.storage;
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

    fn vector(&self, weight: Weight) -> Result<HostTensor, CheckpointError> {
        let half = match self.simulation.precision.weights {
            WeightForm::Rounded(half) => Some(half),
            WeightForm::Stored | WeightForm::RoundedMatrices(_) | WeightForm::Blocks { .. } => None,
        };
        self.rounded(weight, RowSelection::All, half)
    }

    fn matrix(&self, weight: Weight, rows: RowSelection<'_>) -> Result<HostTensor, CheckpointError> {
        let first = match &rows {
            RowSelection::Range(range) => range.start,
            RowSelection::All | RowSelection::List(_) => 0,
        };
        let mut tensor = self.rounded(weight, rows, self.simulation.precision.weights.half())?;
        if let (WeightForm::Blocks { bits }, Values::F64(values)) =
            (self.simulation.precision.weights, &mut tensor.values)
            && self.simulation.rounding != Rounding::Exact
        {
            let drawn = format!("{weight} {first} {}", self.simulation.rounding.seed());
            blur(values, bits, &mut Random::of(&drawn));
        }
        Ok(tensor)
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
    fn read(&self, reads: Vec<Read>) -> Reads<'_, B> {
        let mut taken = Taken::of(&reads, self.progress);
        Box::new(reads.into_iter().map(move |read| {
            let tensor = match read.of.len() {
                1 => self.vector(read.weight)?,
                _ => self.matrix(read.weight, RowSelection::Range(read.rows.clone()))?,
            };
            taken.add(&read);
            Ok(upload::<B, 2>(tensor, Dtype::F64, self.device).into_primitive())
        }))
    }

    fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError> {
        Ok(upload(self.matrix(weight, RowSelection::List(indices))?, Dtype::F64, self.device))
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
