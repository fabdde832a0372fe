//! A tensor in one line.

use std::fmt;

use loupe_spec::{Dtype, HostTensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Statistics of a tensor, in f64. `min` to `max_abs` are over the finite elements, and `None` (JSON: null) where
/// there is none or the number itself is beyond f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TensorSummary {
    /// Axis lengths, outermost first.
    pub shape: Vec<usize>,
    /// The element type.
    pub dtype: Dtype,
    /// The smallest element.
    pub min: Option<f64>,
    /// The largest element.
    pub max: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Population standard deviation.
    pub std: Option<f64>,
    /// The largest magnitude.
    pub max_abs: Option<f64>,
    /// How many elements are 0 or -0.
    pub zeros: usize,
    /// How many elements are NaN.
    pub nan: usize,
    /// How many elements are infinite.
    pub inf: usize,
}

impl TensorSummary {
    /// The statistics of `tensor`.
    pub fn of(tensor: &HostTensor) -> TensorSummary {
        let (mut finite, mut zeros, mut nan) = (0, 0, 0);
        let (mut sum, mut min, mut max, mut max_abs) = (-0.0, f64::INFINITY, f64::NEG_INFINITY, 0.0_f64);
        tensor.values.for_each(|x| {
            zeros += usize::from(x == 0.0);
            nan += usize::from(x.is_nan());
            if x.is_finite() {
                finite += 1;
                sum += x;
                (min, max, max_abs) = (f64::min(min, x), f64::max(max, x), max_abs.max(x.abs()));
            }
        });
        let mean: f64 = sum / finite as f64;
        // A second pass: the mean of squares less the square of the mean cancels where |mean| is far above std.
        let mut squares = -0.0;
        tensor.values.for_each(|x| {
            if x.is_finite() {
                squares += (x - mean) * (x - mean);
            }
        });
        let known = |x: f64| (finite > 0 && x.is_finite()).then_some(x);
        TensorSummary {
            shape: tensor.shape.clone(),
            dtype: tensor.values.dtype(),
            min: known(min),
            max: known(max),
            mean: known(mean),
            std: known((squares / finite as f64).sqrt()),
            max_abs: known(max_abs),
            zeros,
            nan,
            inf: tensor.values.len() - finite - nan,
        }
    }
}

impl fmt::Display for TensorSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [mean, std, min, max] = [self.mean, self.std, self.min, self.max].map(short);
        write!(f, "{:?} {} mean {mean} std {std} min {min} max {max}", self.shape, self.dtype)?;
        write!(f, " zeros {} nan {} inf {}", self.zeros, self.nan, self.inf)
    }
}

/// Enough digits to recognise a number, few enough for one line.
fn short(number: Option<f64>) -> String {
    match number {
        None => "-".to_string(),
        Some(x) if x == 0.0 || (1e-3..1e6).contains(&x.abs()) => format!("{x:.4}"),
        Some(x) => format!("{x:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use half::bf16;
    use loupe_spec::Values;

    fn summary(values: Values) -> TensorSummary {
        TensorSummary::of(&HostTensor { shape: vec![values.len()], values })
    }

    #[test]
    fn statistics_leave_out_what_is_not_finite_and_count_it() {
        let all = summary(Values::F32(vec![1.0, -3.0, 0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]));
        assert_eq!((all.min, all.max, all.max_abs), (Some(-3.0), Some(1.0), Some(3.0)));
        assert_eq!(all.mean, Some(-0.5));
        assert_eq!(all.std, Some(2.25f64.sqrt()));
        assert_eq!((all.zeros, all.nan, all.inf), (2, 1, 2));
        assert_eq!(all.to_string(), "[7] f32 mean -0.5000 std 1.5000 min -3.0000 max 1.0000 zeros 2 nan 1 inf 2");
    }

    #[test]
    fn the_deviation_survives_a_mean_that_is_far_larger() {
        let all = summary(Values::F64(vec![1e9 + 1.0, 1e9 - 1.0]));
        assert_eq!(all.std, Some(1.0));
    }

    #[test]
    fn what_there_is_not_is_null_in_json() {
        for values in [Values::F32(vec![]), Values::Bf16(vec![bf16::NAN]), Values::F64(vec![f64::INFINITY])] {
            let all = summary(values);
            let json = serde_json::to_value(&all).unwrap();
            for key in ["min", "max", "mean", "std", "max_abs"] {
                assert!(json[key].is_null(), "{key} in {json}");
            }
            assert_eq!(serde_json::from_value::<TensorSummary>(json).unwrap(), all);
        }
        assert!(summary(Values::U8(vec![])).to_string().contains("mean - std -"));
        // The sum of these is beyond f64, and so is the mean that it would give.
        assert_eq!(summary(Values::F64(vec![f64::MAX, f64::MAX])).mean, None);
    }
}
