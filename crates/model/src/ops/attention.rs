//! The products of attention: sharing of key/value heads, scores, context.

use burn::tensor::backend::Backend;
use loupe_tensor::Tensor;

use crate::Numerics;

/// Each key/value head serves `groups` consecutive query heads: k0 k0 k1 k1, not k0 k1 k0 k1.
///
/// `kv` [S, K, H] → [S, K * groups, H].
///
/// Source: transformers `repeat_kv` (= `torch.repeat_interleave`); Ainslie et al. 2023 (GQA).
pub fn repeat_kv<B: Backend>(kv: Tensor<B, 3>, groups: usize) -> Tensor<B, 3> {
    let [s, k, h] = kv.dims();
    if groups == 1 {
        return kv;
    }
    kv.reshape([s, k, 1, h]).repeat_dim(2, groups).reshape([s, k * groups, h])
}

/// `q . k * scale`, with `scale` = query_pre_attn_scalar^-0.5. The product is stored, then scaled and stored.
///
/// `q` [T, N, H] and `k` [S, N, H] stored, after RoPE → [N, T, S] stored.
///
/// Source: transformers `eager_attention_forward`: `torch.matmul(query, key.transpose(2, 3)) * scaling`.
pub fn scores<B: Backend>(q: Tensor<B, 3>, k: Tensor<B, 3>, scale: f64, p: &Numerics<B>) -> Tensor<B, 3> {
    let q = q.swap_dims(0, 1); // [N, T, H]
    let k = k.permute([1, 2, 0]); // [N, H, S]
    p.op(p.matmul(q, k), |x| x.mul_scalar(scale))
}

/// `probs . v`, stored.
///
/// `probs` [N, T, S], `v` [S, N, H] stored → [T, N, H] stored.
///
/// Source: transformers `eager_attention_forward`: `torch.matmul(attn_weights, value_states)`.
pub fn context<B: Backend>(probs: Tensor<B, 3>, v: Tensor<B, 3>, p: &Numerics<B>) -> Tensor<B, 3> {
    p.matmul(probs, v.swap_dims(0, 1)).swap_dims(0, 1)
}
