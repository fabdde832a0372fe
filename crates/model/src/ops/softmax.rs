//! Softmax over the keys a query may see.

use burn::tensor::backend::Backend;
use loupe_tensor::Tensor;

use super::mask::Mask;
use crate::Numerics;

/// `exp(x - max) / sum(exp(x - max))` over the visible keys, in the compute dtype, then stored. Hidden keys get exactly 0.
///
/// `capped` [N, T, S] stored → [N, T, S] stored. The cap comes before the mask: capping a masked score would make
/// it -cap, and the future would leak.
///
/// Hidden scores get f32's lowest finite number added, as transformers does: exp of it is 0, and no infinity
/// enters the arithmetic of a GPU compiler that may assume there is none.
///
/// Source: transformers `eager_attention_forward`: `attn_weights + attention_mask`, then
/// `softmax(dim=-1, dtype=torch.float32).to(query.dtype)`.
pub fn masked_softmax<B: Backend>(capped: Tensor<B, 3>, mask: &Mask, p: &Numerics<B>) -> Tensor<B, 3> {
    softmax_with(capped, mask, f64::from(f32::MIN), p)
}

/// The same with `hidden` added to the scores of hidden keys.
pub fn softmax_with<B: Backend>(capped: Tensor<B, 3>, mask: &Mask, hidden: f64, p: &Numerics<B>) -> Tensor<B, 3> {
    let device = capped.device();
    p.op(capped, |x| {
        let bias = mask.bias(hidden, x.dtype(), &device);
        let x = x + bias;
        let largest = x.clone().max_dim(2);
        let e = (x - largest).exp();
        let total = e.clone().sum_dim(2);
        e / total
    })
}
