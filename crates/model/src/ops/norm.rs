//! RMSNorm with weight `1 + w`.

use burn::tensor::DType;
use burn::tensor::backend::Backend;
use loupe_tensor::Tensor;

use crate::Numerics;

/// `x / sqrt(mean(x^2) + eps) * (1 + w)`, all of it in the compute dtype, then stored.
///
/// `x` [T, D] stored, `weight` [D] stored → [T, D] stored. The checkpoint holds `w`, not `1 + w`: zero is the
/// identity. The cast comes after the weight, where Llama's comes before it.
///
/// Source: transformers `Gemma2RMSNorm.forward`; Zhang & Sennrich 2019, equation 4.
pub fn rms_norm<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 1>, eps: f64, p: &Numerics<B>) -> Tensor<B, 2> {
    let [_t, d] = x.dims();
    let weight = p.to_compute(weight).add_scalar(1.0).reshape([1, d]);
    p.op(x, |x| normalise(x, eps) * weight)
}

/// `x / sqrt(mean(x^2) + eps)` over the last axis, in the dtype of `x`.
pub fn normalise<B: Backend>(x: Tensor<B, 2>, eps: f64) -> Tensor<B, 2> {
    debug_assert!(matches!(x.dtype(), DType::F32 | DType::F64));
    let mean_square = (x.clone() * x.clone()).mean_dim(1);
    x / mean_square.add_scalar(eps).sqrt()
}
