//! A precision: all that a run loses beside the exact result, so far as that is a matter of dtypes and not of chance.

use crate::{Accumulator, Arithmetic, Dtype, WeightForm};

/// A precision that a run may compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// The storage dtype: what results are stored in, weights included. What operations compute in follows from it
    /// ([`Dtype::compute_dtype`]).
    pub storage: Dtype,
    /// Bits of the significand that a product's operands keep: 11 for TF32, `None` for all that storage has.
    pub operand_bits: Option<i32>,
    /// What a product's sum is kept in.
    pub accumulator: Accumulator,
    /// What the engine made of the checkpoint's weights before it used them.
    pub weights: WeightForm,
    /// Values were printed, with so many decimals.
    pub decimals: Option<u32>,
}

impl Precision {
    /// Results in `storage`, and nothing else lost.
    pub fn plain(storage: Dtype) -> Precision {
        let (accumulator, weights) = (Accumulator::ComputeDtype, WeightForm::Stored);
        Precision { storage, operand_bits: None, accumulator, weights, decimals: None }
    }

    /// What is lost beside the storage.
    pub fn arithmetic(self) -> Option<Arithmetic> {
        Arithmetic::of(self.weights, self.accumulator, self.operand_bits)
    }

    /// What a verdict calls it; `None`: plain.
    pub fn detail(self) -> Option<String> {
        let arithmetic = self.arithmetic().map(|arithmetic| arithmetic.to_string());
        let printed = self.decimals.map(|decimals| format!("{decimals}_decimals"));
        let parts: Vec<String> = arithmetic.into_iter().chain(printed).collect();
        (!parts.is_empty()).then(|| parts.join(" + "))
    }
}
