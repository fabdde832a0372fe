//! Elementwise joins: the residual's sum, the gate's product.

use burn::tensor::backend::Backend;
use loupe_tensor::Tensor;

use crate::Precision;

/// The sum of `terms` [T, D] each → [T, D], every partial sum stored. `None` of an empty list.
pub fn add<B: Backend>(terms: Vec<Tensor<B, 2>>, p: &Precision<B>) -> Option<Tensor<B, 2>> {
    terms.into_iter().reduce(|sum, term| p.store(sum + term))
}

/// `act * up`, stored.
///
/// `act`, `up` [T, F] stored → [T, F] stored.
///
/// Source: transformers `Gemma2MLP.forward`; Shazeer 2020 (GEGLU).
pub fn multiply<B: Backend>(act: Tensor<B, 2>, up: Tensor<B, 2>, p: &Precision<B>) -> Tensor<B, 2> {
    p.store(act * up)
}
