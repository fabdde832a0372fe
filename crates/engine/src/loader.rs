//! The model's source of weights: rows of memory-mapped files, converted on the host, put on the device.

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use loupe_checkpoint::{Rows, Tensors};
use loupe_model::{WeightError, Weights};
use loupe_spec::{Dtype, Weight};

use crate::host::upload;

/// Reads what it is asked for and keeps nothing.
pub struct Loader<'a, B: Backend> {
    /// The checkpoint's files.
    pub tensors: &'a Tensors,
    /// The model's dtype: weights are rounded to it as transformers' `from_pretrained(dtype=…)` does, and held in it.
    pub dtype: Dtype,
    /// Where they go.
    pub device: &'a B::Device,
}

impl<B: Backend> Loader<'_, B> {
    fn read<const D: usize>(&self, weight: Weight, rows: Rows<'_>) -> Result<Tensor<B, D>, WeightError> {
        let host = self.tensors.read(weight, rows, self.dtype)?;
        Ok(upload(host, self.dtype, self.device))
    }
}

impl<B: Backend> Weights<B> for Loader<'_, B> {
    fn vector(&self, weight: Weight) -> Result<Tensor<B, 1>, WeightError> {
        self.read(weight, Rows::All)
    }

    fn rows(&self, weight: Weight, rows: Range<usize>) -> Result<Tensor<B, 2>, WeightError> {
        self.read(weight, Rows::Range(rows))
    }

    fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError> {
        self.read(weight, Rows::List(indices))
    }
}
