//! In which precision a candidate computed.

use loupe_spec::{Dtype, HostTensor, Probe, Stage};

use crate::Trace;
use crate::noise::Level;

const PLAIN: fn(Dtype) -> Level = |storage| Level { storage, operand_bits: None, detail: None };

/// The precisions to try for a candidate stored in `storage`, the one that loses least first.
pub fn ladder(storage: Dtype) -> Vec<Level> {
    match storage {
        Dtype::F32 => vec![
            PLAIN(Dtype::F32),
            Level { storage: Dtype::F32, operand_bits: Some(11), detail: Some("tf32") },
            Level { storage: Dtype::F32, operand_bits: Some(8), detail: Some("bf16_operands") },
        ],
        other => vec![PLAIN(other)],
    }
}

/// The dtype that most of the tensors fit in: a bf16 engine's dump is often saved as f32. Embedding rows are left
/// out (they are the checkpoint's), and so is what holds nothing but 0 and 1.
pub fn infer_storage(trace: &Trace) -> Dtype {
    let tensors: Vec<&HostTensor> = trace
        .iter()
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
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
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

    fn half(value: f32) -> f32 {
        Dtype::F16.round(f64::from(value)) as f32
    }
}
