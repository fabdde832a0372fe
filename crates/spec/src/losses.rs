//! What a run may lose beside storing its results: in sums, and in the weights that it starts from.

use crate::Dtype;

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
