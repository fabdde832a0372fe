//! Elementwise joins: the residual's sum, the gate's product.

use burn::tensor::backend::Backend;
use loupe_tensor::Tensor;

use crate::Numerics;

/// `stream + branch`, stored.
///
/// `stream`, `branch` [T, D] stored → [T, D] stored.
///
/// Source: transformers `Gemma2DecoderLayer.forward`.
pub fn add<B: Backend>(stream: Tensor<B, 2>, branch: Tensor<B, 2>, p: &Numerics<B>) -> Tensor<B, 2> {
    p.to_storage(stream + branch)
}

/// `act * up`, stored.
///
/// `act`, `up` [T, F] stored → [T, F] stored.
///
/// Source: transformers `Gemma2MLP.forward`; Shazeer 2020 (GEGLU).
pub fn multiply<B: Backend>(act: Tensor<B, 2>, up: Tensor<B, 2>, p: &Numerics<B>) -> Tensor<B, 2> {
    p.to_storage(act * up)
}
