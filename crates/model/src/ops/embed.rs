//! The embedding's scale.

use burn::tensor::backend::Backend;
use loupe_tensor::Tensor;

use crate::Numerics;

/// `raw * scale`, with `scale` = sqrt(hidden_size) rounded to the model's dtype first.
///
/// `raw` [T, D] stored → [T, D] stored. For D = 3072 bf16 makes 55.5 of 55.4256: a difference that one has to
/// copy in order to match. For 2B's D = 2304 the root is 48, exact in every dtype.
///
/// Source: transformers `Gemma2TextScaledWordEmbedding.forward`: `super().forward(ids) * self.embed_scale.to(weight.dtype)`.
pub fn scale<B: Backend>(raw: Tensor<B, 2>, scale: f64, p: &Numerics<B>) -> Tensor<B, 2> {
    let scale = p.round(scale);
    p.op(raw, |raw| raw.mul_scalar(scale))
}
