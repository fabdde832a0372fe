//! A precision: all that a run loses beside the exact result, so far as that is a matter of dtypes and not of chance.

use crate::{Arithmetic, Dtype, Rounding, Simulation};

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

    /// This precision, rounded in one way.
    pub fn simulation(self, rounding: Rounding) -> Simulation {
        Simulation { precision: self, rounding }
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

/// What a sum of products is kept in while it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulator {
    /// The compute dtype.
    ComputeDtype,
    /// f16 or bf16: some kernels sum in what they store.
    Half(Dtype),
}

/// What an engine made of the checkpoint's weights. Its code may be right whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightForm {
    /// As the checkpoint stores them, in the model's dtype.
    Stored,
    /// Every tensor rounded to f16 or bf16 first.
    Rounded(Dtype),
    /// Matrices rounded to f16 or bf16 first; the norms' vectors as stored.
    RoundedMatrices(Dtype),
    /// Matrices quantised in blocks of 32, `bits` a weight. Quantisers differ in how they choose a block's steps, so
    /// this is a spread and no prediction: within one step, anywhere.
    Blocks {
        /// Bits of a quantised weight: 8 for Q8_0, 4 for Q4_K.
        bits: u32,
    },
}

impl WeightForm {
    /// What matrices are rounded to.
    pub fn half(self) -> Option<Dtype> {
        match self {
            WeightForm::Rounded(half) | WeightForm::RoundedMatrices(half) => Some(half),
            WeightForm::Stored | WeightForm::Blocks { .. } => None,
        }
    }
}
