//! In which precision a candidate computed.

use std::collections::BTreeMap;

use loupe_spec::{Accumulator, Dtype, HostTensor, Kind, Precision, Probe, Trace, WeightForm};

use crate::Fragment;
use crate::limits::{MOST_TENSORS, SURE_BITS};

/// The precisions to try for a candidate stored in `storage` of a checkpoint stored in `weights`, the one that loses
/// least first. Weights rounded to f16 or bf16 predict other values, to be hit as closely as the right ones; the others only
/// widen the noise.
pub fn ladder(storage: Dtype, weights: Dtype, decimals: Option<u32>) -> Vec<Precision> {
    let plain = Precision { decimals, ..Precision::plain(storage) };
    let mut precisions = vec![plain];
    // In 16-bit storage, weights rounded to the other 16-bit dtype are not told from weights rounded to the storage.
    if storage.size() > 2 {
        for half in [Dtype::F16, Dtype::Bf16].into_iter().filter(|half| *half != weights) {
            precisions.push(Precision { weights: WeightForm::Rounded(half), ..plain });
            precisions.push(Precision { weights: WeightForm::RoundedMatrices(half), ..plain });
        }
    }
    if storage == Dtype::F32 {
        precisions.push(Precision { operand_bits: Some(11), ..plain });
    }
    if matches!(storage, Dtype::F32 | Dtype::F16) {
        let operand_bits = (storage == Dtype::F32).then_some(11);
        precisions.push(Precision { operand_bits, accumulator: Accumulator::Half(Dtype::F16), ..plain });
    }
    if storage == Dtype::F32 {
        precisions.push(Precision { operand_bits: Some(8), ..plain });
    }
    if storage == Dtype::Bf16 {
        precisions.push(Precision { accumulator: Accumulator::Half(Dtype::Bf16), ..plain });
    }
    if storage != Dtype::F64 {
        precisions.extend([8, 6, 5, 4].map(|bits| Precision { weights: WeightForm::Blocks { bits }, ..plain }));
    }
    precisions
}

/// With how many decimals the values were printed, if they were: at most six, and every tensor's values are multiples of
/// that power of ten, so far as their dtype holds it.
pub fn infer_decimals(trace: &Trace) -> Option<u32> {
    let tensors: Vec<&HostTensor> = trace
        .iter()
        .filter(|(probe, _)| probe.is_computed())
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

/// Numbers, each with what one more in its last digit is: 0 where it is known to the last bit.
type Known = Vec<(f64, f64)>;

/// The dtype that most of the tensors and fragments fit in: a bf16 engine's dump is often saved as f32, and its log prints four
/// decimals of numbers that have two digits. Embedding rows are left out (they are the checkpoint's), and so is what holds
/// nothing but 0 and 1.
pub fn infer_storage(trace: &Trace, fragments: &BTreeMap<Probe, Fragment>) -> Dtype {
    let counts = |probe: &Probe| probe.is_computed() && probe.kind() != Kind::Embed;
    let unit = infer_decimals(trace).map_or(0.0, |decimals| 10f64.powi(-(decimals as i32)));
    let of_tensor = |tensor: &HostTensor| tensor.values.to_f64().into_iter().map(|value| (value, unit)).collect();
    let tensors = trace.iter().filter(|(probe, _)| counts(probe)).map(|(_, tensor)| of_tensor(tensor));
    let fragments = fragments.iter().filter(|(probe, _)| counts(probe)).map(|(_, fragment)| known(fragment));
    let all: Vec<Known> = tensors.chain(fragments).filter(|known: &Known| !known.is_empty()).collect();
    let fits = |dtype: &Dtype| {
        let fitting: Vec<&Known> = all.iter().filter(|known| known.iter().all(|one| is_near(*dtype, *one))).collect();
        let sure = || fitting.iter().copied().flatten().map(|one| bits_against(*dtype, *one)).sum::<f64>() >= SURE_BITS;
        fitting.len() * 10 >= all.len() * MOST_TENSORS && (*dtype == Dtype::F32 || sure())
    };
    [Dtype::Bf16, Dtype::F16, Dtype::F32].into_iter().find(fits).unwrap_or(Dtype::F64)
}

/// The values of a fragment that the engine holds as such: extremes are some of them, means are not.
fn known(fragment: &Fragment) -> Known {
    let extremes = fragment.statistics.iter().filter(|one| one.kind.is_value()).map(|one| (one.value, one.unit));
    fragment.values.iter().copied().zip(fragment.units.iter().copied()).chain(extremes).collect()
}

/// Whether a number of `dtype` prints as this.
fn is_near(dtype: Dtype, (value, unit): (f64, f64)) -> bool {
    value.is_nan() || dtype.round(value) == value || (dtype.round(value) - value).abs() <= unit / 2.0 * (1.0 + 1e-9)
}

/// How unlikely it is, in bits, that any number prints as one of `dtype` does: the gap between two of those is so many units
/// wide. What is known to the last bit says it by itself.
fn bits_against(dtype: Dtype, (value, unit): (f64, f64)) -> f64 {
    // Any dtype holds a 0.
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    if unit == 0.0 {
        return SURE_BITS;
    }
    let gap = 2f64.powi(value.abs().log2().floor() as i32 + 1 - dtype.significand_bits());
    (gap / unit).log2().max(0.0)
}

/// The middle value; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use loupe_spec::Values;

    use super::*;

    #[test]
    fn storage_is_read_off_the_values() {
        let of = |values: Vec<f64>| {
            let tensor = HostTensor { shape: vec![1, values.len()], values: Values::F64(values) };
            infer_storage(&Trace::from([(crate::probe("norm"), tensor)]), &BTreeMap::new())
        };
        assert_eq!(of(vec![1.0, 0.5, 3.140625]), Dtype::Bf16);
        assert_eq!(of(vec![1.0, f64::from(half(0.1))]), Dtype::F16);
        assert_eq!(of(vec![f64::from(0.1f32)]), Dtype::F32);
        assert_eq!(of(vec![1.0 / 3.0]), Dtype::F64);
    }

    /// Four decimals of numbers in f16 or bf16 could be those of no other dtype, where there are enough of them.
    #[test]
    fn storage_is_read_off_printed_values() {
        let printed = |dtype: Dtype, count: usize, size: f64| {
            let mut random = loupe_spec::Random::of("printed");
            let value = |_| (dtype.round(size * (random.uniform() - 0.5)) * 1e4).round() / 1e4;
            let values: Vec<f64> = (0..count).map(value).collect();
            let fragment =
                Fragment { places: (0..count).collect(), units: vec![1e-4; count], values, ..Fragment::default() };
            infer_storage(&Trace::new(), &BTreeMap::from([(crate::probe("norm"), fragment)]))
        };
        for dtype in [Dtype::Bf16, Dtype::F16, Dtype::F32] {
            assert_eq!(printed(dtype, 100, 8.0), dtype);
        }
        // Any dtype holds a 0, which says nothing.
        let zeros =
            Fragment { places: vec![0, 1], values: vec![0.0, 0.5], units: vec![1e-3; 2], ..Fragment::default() };
        assert_eq!(infer_storage(&Trace::new(), &BTreeMap::from([(crate::probe("norm"), zeros)])), Dtype::F32);
        // So few, or so small, any number may print so.
        assert_eq!(printed(Dtype::F16, 4, 8.0), Dtype::F32);
        assert_eq!(printed(Dtype::F16, 100, 0.1), Dtype::F32);
        assert_eq!(infer_storage(&Trace::new(), &BTreeMap::new()), Dtype::F32);
    }

    #[test]
    fn decimals_are_read_off_the_values() {
        let of = |values: Vec<f32>| {
            let tensor = HostTensor { shape: vec![1, values.len()], values: Values::F32(values) };
            infer_decimals(&BTreeMap::from([(crate::probe("norm"), tensor)]))
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
