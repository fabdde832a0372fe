//! Soft capping of scores and logits.

use burn::tensor::backend::Backend;
use loupe_tensor::Tensor;

use crate::Numerics;

/// `cap * tanh(x / cap)`: near the identity for |x| well below `cap`, never beyond it. Three operations, each stored.
///
/// `x` of any shape, stored → the same shape, stored.
///
/// Source: transformers `eager_attention_forward` and `Gemma2ForCausalLM.forward`; Gemma 2 report, section 2.
pub fn softcap<B: Backend, const D: usize>(x: Tensor<B, D>, cap: f64, p: &Numerics<B>) -> Tensor<B, D> {
    let x = p.op(x, |x| x.div_scalar(cap));
    let x = p.op(x, |x| x.tanh());
    p.op(x, |x| x.mul_scalar(cap))
}
