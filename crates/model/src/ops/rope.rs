//! Rotary position embedding: halves, not neighbours.

use burn::tensor::backend::Backend;
use loupe_spec::Dtype;
use loupe_tensor::Tensor;

use crate::Numerics;

/// Cosines and sines of every position's angles, and what they were made from. Row-major [T, H/2].
#[derive(Clone, Debug, PartialEq)]
pub struct Rotations {
    /// `theta^(-2i/H)` [H/2]
    pub inv_freq: Vec<f64>,
    /// `position * inv_freq` [T, H/2]
    pub angles: Vec<f64>,
    /// [T, H/2]
    pub cos: Vec<f64>,
    /// [T, H/2]
    pub sin: Vec<f64>,
}

/// `inv_freq[i] = theta^(-2i/H)`, `angle = position * inv_freq`, on the host.
///
/// `compute_dtype` F64: all of it in f64. Otherwise each step in f32, as transformers does whatever the model's dtype
/// (angles in f32 drift from f64 by 1.7e-4 at position 4095, so the reference must drift with it).
///
/// Source: transformers `Gemma2RotaryEmbedding`; Su et al. 2021, section 3.2.2.
pub fn rotations(positions: &[usize], head_dim: usize, theta: f64, compute_dtype: Dtype) -> Rotations {
    let half = head_dim / 2;
    if compute_dtype == Dtype::F64 {
        let inv_freq: Vec<f64> = (0..half).map(|i| theta.powf(-((2 * i) as f64) / head_dim as f64)).collect();
        let angles = outer(positions, &inv_freq, |position, frequency| position as f64 * frequency);
        let (cos, sin) = (angles.iter().map(|a| a.cos()).collect(), angles.iter().map(|a| a.sin()).collect());
        return Rotations { inv_freq, angles, cos, sin };
    }
    let theta = theta as f32;
    let inv_freq: Vec<f32> = (0..half).map(|i| 1.0 / theta.powf((2 * i) as f32 / head_dim as f32)).collect();
    let angles = outer(positions, &inv_freq, |position, frequency| position as f32 * frequency);
    let widen = |values: &[f32], f: fn(f32) -> f32| values.iter().map(|v| f64::from(f(*v))).collect();
    Rotations {
        inv_freq: widen(&inv_freq, |v| v),
        cos: widen(&angles, f32::cos),
        sin: widen(&angles, f32::sin),
        angles: widen(&angles, |v| v),
    }
}

fn outer<F: Copy>(positions: &[usize], frequencies: &[F], angle: fn(usize, F) -> F) -> Vec<F> {
    positions.iter().flat_map(|p| frequencies.iter().map(move |f| angle(*p, *f))).collect()
}

/// Lane h and lane h + H/2 of each head are rotated together:
/// `[x1 * cos - x2 * sin, x2 * cos + x1 * sin]`, x1 and x2 being the two halves.
///
/// `x` [T, heads, H] stored; `cos`, `sin` [T, 1, H/2] stored → [T, heads, H] stored.
///
/// Source: transformers `rotate_half`, `apply_rotary_pos_emb`. (The RoFormer paper pairs neighbours, 2i with
/// 2i + 1: the same up to a permutation of lanes that the checkpoint's q and k weights already contain.)
pub fn rotate_halves<B: Backend>(
    x: Tensor<B, 3>,
    cos: Tensor<B, 3>,
    sin: Tensor<B, 3>,
    p: &Numerics<B>,
) -> Tensor<B, 3> {
    let [_t, _heads, h] = x.dims();
    let first = x.clone().narrow(2, 0, h / 2);
    let second = x.narrow(2, h / 2, h / 2);
    let [first, second] = rotate_pair(first, second, cos, sin, p);
    Tensor::cat(vec![first, second], 2)
}

/// The rotation itself: `[a * cos - b * sin, b * cos + a * sin]`, each product and each sum stored.
pub fn rotate_pair<B: Backend>(
    a: Tensor<B, 3>,
    b: Tensor<B, 3>,
    cos: Tensor<B, 3>,
    sin: Tensor<B, 3>,
    p: &Numerics<B>,
) -> [Tensor<B, 3>; 2] {
    let times = |x: &Tensor<B, 3>, y: &Tensor<B, 3>| p.to_storage(x.clone() * y.clone());
    [p.to_storage(times(&a, &cos) - times(&b, &sin)), p.to_storage(times(&b, &cos) + times(&a, &sin))]
}
