//! The activation of the MLP's gate.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use burn::tensor::backend::Backend;
use loupe_tensor::Tensor;

use crate::Numerics;

/// `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`: the tanh approximation, not the erf form (they differ by up
/// to 5e-4). Wide, then stored.
///
/// `x` [T, F] stored → [T, F] stored.
///
/// Source: transformers `hidden_activation: "gelu_pytorch_tanh"` = torch `gelu(approximate="tanh")`;
/// Hendrycks & Gimpel 2016.
pub fn gelu_tanh<B: Backend>(x: Tensor<B, 2>, p: &Numerics<B>) -> Tensor<B, 2> {
    p.op(x, |x| {
        let cube = x.clone() * x.clone() * x.clone();
        // sqrt(2/pi), written as torch's kernel writes it.
        let inner = (x.clone() + cube.mul_scalar(0.044715)).mul_scalar(SQRT_2 * FRAC_2_SQRT_PI * 0.5);
        x.mul_scalar(0.5) * inner.tanh().add_scalar(1.0)
    })
}
