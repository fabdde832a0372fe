//! What is commonly asked of two tensors. None of it decides anything here.

use loupe_spec::Dtype;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decisive::decisive;
use crate::number::{number, pairs, some_number};

/// A candidate's tensor against the reference's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// Largest |difference|.
    #[serde(deserialize_with = "number")]
    pub max_abs: f64,
    /// Largest |difference| / |reference|, over the elements that are not 0 in the reference.
    #[serde(deserialize_with = "number")]
    pub max_rel: f64,
    /// ‖difference‖ / ‖reference‖
    #[serde(deserialize_with = "number")]
    pub relative_l2: f64,
    /// Cosine of the angle between the two; blind to a factor, so it stands next to the ratio.
    #[serde(deserialize_with = "number")]
    pub cosine: f64,
    /// ‖candidate‖ / ‖reference‖
    #[serde(deserialize_with = "number")]
    pub norm_ratio: f64,
    /// Largest difference in units in the last place of the candidate's dtype, at the reference's row size.
    #[serde(deserialize_with = "number")]
    pub ulp: f64,
    /// Mean square of the difference over the mean square of the reference.
    #[serde(deserialize_with = "number")]
    pub nmse: f64,
    /// The smallest `rtol = atol` at which numpy's `allclose` would pass.
    #[serde(deserialize_with = "number")]
    pub tolerance: f64,
    /// The smallest `rtol = atol` of which each value keeps one or the other.
    #[serde(deserialize_with = "number")]
    pub tolerance_either: f64,
    /// [|reference|, |difference|] of the few values that decide whether `allclose` passes, whatever `rtol` and `atol` are, to a
    /// thousandth of them.
    #[serde(deserialize_with = "pairs")]
    pub decisive: Vec<[f64; 2]>,
    /// On logits: KL(reference ‖ candidate) in nats, the mean over tokens.
    #[serde(default, deserialize_with = "some_number", skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// On logits: share of tokens whose largest logit is the same token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1_agreement: Option<f64>,
    /// On logits: mean share of common tokens among the five largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top5_agreement: Option<f64>,
}

/// |candidate - reference|: 0 of two infinities that are the same, infinite where one of them is no number.
fn off(candidate: f64, reference: f64) -> f64 {
    let off = (candidate - reference).abs();
    if candidate == reference {
        0.0
    } else if off.is_nan() {
        f64::INFINITY
    } else {
        off
    }
}

/// ‖a - b‖ / ‖b‖; 0 where both are 0.
fn relative_l2(a: &[f64], b: &[f64]) -> f64 {
    let norm: f64 = b.iter().map(|v| v * v).sum::<f64>();
    let difference: f64 = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

impl Metrics {
    /// Of `candidate` against `reference`; rows are `width` long. Logits get their own figures.
    pub fn of(is_logits: bool, candidate: &[f64], reference: &[f64], width: usize, dtype: Dtype) -> Metrics {
        let pairs = || candidate.iter().copied().zip(reference.iter().copied());
        // An infinite difference over an infinite reference is no number, and not nothing: `max` would leave it out.
        let some = |of: f64| if of.is_nan() { f64::INFINITY } else { of };
        let largest =
            |f: &dyn Fn(f64, f64) -> f64| pairs().map(|(c, r)| some(f(off(c, r), r.abs()))).fold(0.0, f64::max);
        let dot: f64 = pairs().map(|(c, r)| c * r).sum();
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let (norm_c, norm_r) = (norm(candidate), norm(reference));
        let relative = relative_l2(candidate, reference);
        let unit = 2f64.powi(1 - dtype.significand_bits());
        let ulp = candidate.chunks(width.max(1)).zip(reference.chunks(width.max(1))).map(|(c, r)| {
            let size = (r.iter().map(|x| x * x).sum::<f64>() / r.len().max(1) as f64).sqrt();
            let worst = c.iter().zip(r).map(|(c, r)| off(*c, *r)).fold(0.0, f64::max);
            if worst == 0.0 { 0.0 } else { some(worst / (size * unit)) }
        });
        let rows = || candidate.chunks(width.max(1)).zip(reference.chunks(width.max(1)));
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        Metrics {
            max_abs: largest(&|off, _| off),
            max_rel: largest(&|off, size| if size == 0.0 { 0.0 } else { off / size }),
            relative_l2: relative,
            cosine: match norm_c * norm_r {
                // Its rounding would else be all that differs.
                _ if relative == 0.0 => 1.0,
                0.0 => 0.0,
                // `min` would take 1 for no number.
                norms if dot > norms => 1.0,
                norms => dot / norms,
            },
            norm_ratio: if norm_r == 0.0 { 1.0 } else { norm_c / norm_r },
            ulp: ulp.fold(0.0, f64::max),
            nmse: relative * relative,
            tolerance: largest(&|off, size| off / (1.0 + size)),
            tolerance_either: largest(&|off, size| off / size.max(1.0)),
            decisive: decisive(pairs().map(|(c, r)| [r.abs(), off(c, r)])),
            kl: is_logits.then(|| mean(rows().map(|(c, r)| kl(r, c)).collect())),
            top1_agreement: is_logits.then(|| mean(rows().map(|(c, r)| common(c, r, 1)).collect())),
            top5_agreement: is_logits.then(|| mean(rows().map(|(c, r)| common(c, r, 5)).collect())),
        }
    }
}

/// KL(p ‖ q) of the softmaxes of two rows of logits, in nats.
fn kl(p: &[f64], q: &[f64]) -> f64 {
    let log_softmax = |x: &[f64]| {
        let max = x.iter().copied().fold(f64::MIN, f64::max);
        let total = x.iter().map(|v| (v - max).exp()).sum::<f64>().ln() + max;
        x.iter().map(|v| v - total).collect::<Vec<f64>>()
    };
    let (p, q) = (log_softmax(p), log_softmax(q));
    let sum = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
    if sum.is_nan() { f64::INFINITY } else { sum.max(0.0) }
}

/// Share of the `k` largest that both have.
fn common(a: &[f64], b: &[f64], k: usize) -> f64 {
    let top = |x: &[f64]| {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|i, j| x[*j].total_cmp(&x[*i]));
        order.truncate(k);
        order
    };
    let (a, b) = (top(a), top(b));
    a.iter().filter(|i| b.contains(i)).count() as f64 / a.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_scale_has_cosine_one_and_says_so_in_the_ratio() {
        let reference = [1.0, -2.0, 3.0, 0.5];
        let candidate: Vec<f64> = reference.iter().map(|v| v * 7.0).collect();
        let metrics = Metrics::of(false, &candidate, &reference, 4, Dtype::F32);
        assert!((metrics.cosine - 1.0).abs() < 1e-15);
        assert!((metrics.norm_ratio - 7.0).abs() < 1e-12);
        assert!((metrics.relative_l2 - 6.0).abs() < 1e-12);
    }

    #[test]
    fn logits_get_divergence_and_agreement() {
        let reference = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let same = Metrics::of(true, &reference, &reference, 6, Dtype::F32);
        assert_eq!((same.kl, same.top1_agreement, same.top5_agreement), (Some(0.0), Some(1.0), Some(1.0)));
        let reversed = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0];
        let other = Metrics::of(true, &reversed, &reference, 6, Dtype::F32);
        assert_eq!((other.top1_agreement, other.top5_agreement), (Some(0.0), Some(0.8)));
        assert!(other.kl > Some(3.0));
    }
}
