//! The rotation of RoPE alone.

use burn::tensor::backend::Backend;
use loupe_backends::{Info, Opened, Spec, Task, dispatch};
use loupe_model::Numerics;
use loupe_model::ops::rope::{Rotations, rotate_halves};
use loupe_spec::{Dtype, HostTensor, Values};
use loupe_tensor::Tensor;

use crate::RuntimeError;
use crate::host::{download, upload};

/// Rotates `vector` [H] by the model's own operation on the backend of `spec`, and by pairs of neighbours.
///
/// # Errors
/// What the backend says.
pub fn rotate(spec: &Spec, vector: &[f64], tables: &Rotations) -> Result<Rotated, RuntimeError> {
    Ok(dispatch(spec, Rotate { vector, tables, dtype: spec.dtype })?)
}

struct Rotate<'a> {
    vector: &'a [f64],
    tables: &'a Rotations,
    dtype: Dtype,
}

/// A rotated vector [H].
pub struct Rotated {
    /// Lane h with lane h + H/2: Gemma's.
    pub halves: HostTensor,
    /// Lane 2i with lane 2i + 1: the paper's, not Gemma's.
    pub neighbours: HostTensor,
    /// What ran it.
    pub info: Info,
}

impl Task for Rotate<'_> {
    type Output = Rotated;

    fn run<B: Backend>(self, backend: Opened<B>) -> Rotated {
        let dim = self.vector.len();
        let numerics = Numerics::<B>::native(self.dtype, backend.matmul);
        let three = |values: &[f64]| -> Tensor<B, 3> {
            let rounded = values.iter().map(|v| self.dtype.round(*v)).collect();
            let host = HostTensor { shape: vec![1, 1, values.len()], values: Values::F64(rounded) };
            upload(host, self.dtype, &backend.device)
        };
        let rotate = |values: &[f64]| {
            let (cos, sin) = (three(&self.tables.cos), three(&self.tables.sin));
            let mut rotated = download(rotate_halves(three(values), cos, sin, &numerics));
            rotated.shape = vec![dim];
            rotated
        };
        // Pairing neighbours is pairing halves after the even lanes are put before the odd ones, and back.
        let apart: Vec<usize> = (0..dim).step_by(2).chain((1..dim).step_by(2)).collect();
        let permuted: Vec<f64> = apart.iter().map(|lane| self.vector[*lane]).collect();
        let rotated = rotate(&permuted);
        let mut neighbours = vec![0.0; dim];
        for (at, lane) in apart.iter().enumerate() {
            neighbours[*lane] = rotated.values.get(at);
        }
        let neighbours = HostTensor { shape: vec![dim], values: Values::F64(neighbours) };
        Rotated { halves: rotate(self.vector), neighbours, info: backend.info }
    }
}
