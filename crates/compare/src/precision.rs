//! In which precision a candidate computed.

use loupe_spec::{Accumulator, Dtype, HostTensor, Probe, Stage, WeightForm};

use crate::Trace;
use crate::noise::Level;

/// The precisions to try for a candidate stored in `storage` of a checkpoint stored in `weights`, the one that loses
/// least first. Weights rounded to a half predict other values, to be hit as closely as the right ones; the others only
/// widen the noise.
pub fn ladder(storage: Dtype, weights: Dtype, decimals: Option<u32>) -> Vec<Level> {
    let plain = Level { decimals, ..Level::plain(storage) };
    let mut levels = vec![plain];
    // Rounding a half to a half is not told from rounding it to the storage.
    if storage.size() > 2 {
        for half in [Dtype::F16, Dtype::Bf16].into_iter().filter(|half| *half != weights) {
            levels.push(Level { weights: WeightForm::Rounded(half), ..plain });
            levels.push(Level { weights: WeightForm::RoundedMatrices(half), ..plain });
        }
    }
    if storage == Dtype::F32 {
        levels.push(Level { operand_bits: Some(11), ..plain });
    }
    if matches!(storage, Dtype::F32 | Dtype::F16) {
        let operand_bits = (storage == Dtype::F32).then_some(11);
        levels.push(Level { operand_bits, accumulator: Accumulator::Half(Dtype::F16), ..plain });
    }
    if storage == Dtype::F32 {
        levels.push(Level { operand_bits: Some(8), ..plain });
    }
    if storage == Dtype::Bf16 {
        levels.push(Level { accumulator: Accumulator::Half(Dtype::Bf16), ..plain });
    }
    if storage != Dtype::F64 {
        levels.extend([8, 6, 5, 4].map(|bits| Level { weights: WeightForm::Blocks { bits }, ..plain }));
    }
    levels
}

/// With how many decimals the values were printed, if they were: at most six, and every tensor's values are multiples of
/// that power of ten, so far as their dtype holds it.
pub fn infer_decimals(trace: &Trace) -> Option<u32> {
    let tensors: Vec<&HostTensor> = trace
        .iter()
        .filter(|(probe, _)| !matches!(probe, Probe::TokenIds | Probe::Layer(_, Stage::Mask)))
        .map(|(_, tensor)| tensor)
        .filter(|tensor| matches!(tensor.values.dtype(), Dtype::F32 | Dtype::F64))
        .collect();
    let printed = |tensor: &HostTensor, decimals: u32| {
        let power = 10f64.powi(decimals as i32);
        let unit = 2f64.powi(-tensor.values.dtype().significand_bits());
        (0..tensor.values.len()).map(|at| tensor.values.get(at)).filter(|value| value.is_finite()).all(|value| {
            let scaled = value * power;
            // A value so large that its dtype holds no decimals says nothing against it.
            (scaled - scaled.round()).abs() <= 2.0 * scaled.abs() * unit
        })
    };
    let whole = |tensor: &HostTensor| printed(tensor, 0);
    (1..=6).find(|decimals| {
        let telling = tensors.iter().filter(|tensor| !whole(tensor)).count();
        telling > 0 && tensors.iter().all(|tensor| printed(tensor, *decimals))
    })
}

/// The dtype that most of the tensors fit in: a bf16 engine's dump is often saved as f32. Embedding rows are left
/// out (they are the checkpoint's), and so is what holds nothing but 0 and 1.
pub fn infer_storage<'a>(values: impl IntoIterator<Item = (&'a Probe, &'a HostTensor)>) -> Dtype {
    let tensors: Vec<&HostTensor> = values
        .into_iter()
        .filter(|(probe, _)| !matches!(probe, Probe::TokenIds | Probe::EmbedRaw | Probe::Layer(_, Stage::Mask)))
        .map(|(_, tensor)| tensor)
        .collect();
    let fits = |dtype: Dtype| {
        let fitting = tensors.iter().filter(|tensor| {
            (0..tensor.values.len()).all(|at| {
                let value = tensor.values.get(at);
                dtype.round(value) == value || value.is_nan()
            })
        });
        !tensors.is_empty() && fitting.count() * 10 >= tensors.len() * 6
    };
    [Dtype::Bf16, Dtype::F16, Dtype::F32].into_iter().find(|dtype| fits(*dtype)).unwrap_or(Dtype::F64)
}

/// Whether `probe` is a matrix product with a weight: the stages that tell operand precision.
pub fn is_linear(probe: Probe) -> bool {
    matches!(
        probe,
        Probe::LogitsRaw
            | Probe::Layer(
                _,
                Stage::QProj
                    | Stage::KProj
                    | Stage::VProj
                    | Stage::OProj
                    | Stage::GateProj
                    | Stage::UpProj
                    | Stage::DownProj
            )
    )
}

/// The middle value; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use loupe_spec::Values;

    use super::*;

    #[test]
    fn storage_is_read_off_the_values() {
        let of = |values: Vec<f64>| {
            let tensor = HostTensor { shape: vec![1, values.len()], values: Values::F64(values) };
            infer_storage(&BTreeMap::from([(Probe::Norm, tensor)]))
        };
        assert_eq!(of(vec![1.0, 0.5, 3.140625]), Dtype::Bf16);
        assert_eq!(of(vec![1.0, f64::from(half(0.1))]), Dtype::F16);
        assert_eq!(of(vec![f64::from(0.1f32)]), Dtype::F32);
        assert_eq!(of(vec![0.1]), Dtype::F64);
    }

    #[test]
    fn decimals_are_read_off_the_values() {
        let of = |values: Vec<f32>| {
            let tensor = HostTensor { shape: vec![1, values.len()], values: Values::F32(values) };
            infer_decimals(&BTreeMap::from([(Probe::Norm, tensor)]))
        };
        assert_eq!(of(vec![0.1234, -12.5001, 3.0]), Some(4));
        assert_eq!(of(vec![0.12, 0.5]), Some(2));
        assert_eq!(of(vec![0.123_456_7, 0.5]), None);
        assert_eq!(of(vec![1.0, -3.0]), None);
    }

    fn half(value: f32) -> f32 {
        Dtype::F16.round(f64::from(value)) as f32
    }
}
