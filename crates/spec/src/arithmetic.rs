//! Arithmetics that lose more than storing the results does, by the names that verdicts give them.

use std::fmt;

use crate::{Accumulator, Dtype, WeightForm};

/// An arithmetic of real engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // [`Arithmetic::name`] says each
pub enum Arithmetic {
    WeightsF16,
    WeightsBf16,
    Tf32,
    Bf16Operands,
    F16Accumulation,
    Bf16Accumulation,
    Q8_0,
    Q6K,
    Q5K,
    Q4K,
}

impl Arithmetic {
    /// Every one.
    pub const ALL: [Arithmetic; 10] = [
        Arithmetic::WeightsF16,
        Arithmetic::WeightsBf16,
        Arithmetic::Tf32,
        Arithmetic::Bf16Operands,
        Arithmetic::F16Accumulation,
        Arithmetic::Bf16Accumulation,
        Arithmetic::Q8_0,
        Arithmetic::Q6K,
        Arithmetic::Q5K,
        Arithmetic::Q4K,
    ];

    /// Weights rounded to f16 or bf16; operands of products with 11 or 8 bits; sums kept in f16 or bf16; matrices quantised in
    /// blocks, as GGUF names the usual quantisation of so many bits.
    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::WeightsF16 => "weights_f16",
            Arithmetic::WeightsBf16 => "weights_bf16",
            Arithmetic::Tf32 => "tf32",
            Arithmetic::Bf16Operands => "bf16_operands",
            Arithmetic::F16Accumulation => "f16_accumulation",
            Arithmetic::Bf16Accumulation => "bf16_accumulation",
            Arithmetic::Q8_0 => "q8_0",
            Arithmetic::Q6K => "q6_k",
            Arithmetic::Q5K => "q5_k",
            Arithmetic::Q4K => "q4_k",
        }
    }

    /// What is lost, in words.
    pub fn what(self) -> &'static str {
        match self {
            Arithmetic::WeightsF16 => "weights rounded to f16",
            Arithmetic::WeightsBf16 => "weights rounded to bf16",
            Arithmetic::Tf32 => "products of TF32 operands",
            Arithmetic::Bf16Operands => "products of bf16 operands",
            Arithmetic::F16Accumulation => "sums of products kept in f16",
            Arithmetic::Bf16Accumulation => "sums of products kept in bf16",
            Arithmetic::Q8_0 => "matrices quantised in blocks to 8 bits a value, as GGUF's Q8_0",
            Arithmetic::Q6K => "matrices quantised in blocks to 6 bits a value, as GGUF's Q6_K",
            Arithmetic::Q5K => "matrices quantised in blocks to 5 bits a value, as GGUF's Q5_K",
            Arithmetic::Q4K => "matrices quantised in blocks to 4 bits a value, as GGUF's Q4_K",
        }
    }

    /// What products of `operand_bits`, summed in `accumulator`, with weights of that form are; `None`: nothing more is
    /// lost.
    pub fn of(weights: WeightForm, accumulator: Accumulator, operand_bits: Option<i32>) -> Option<Arithmetic> {
        Some(match (weights, accumulator, operand_bits) {
            (WeightForm::Rounded(Dtype::F16) | WeightForm::RoundedMatrices(Dtype::F16), ..) => Arithmetic::WeightsF16,
            (WeightForm::Rounded(_) | WeightForm::RoundedMatrices(_), ..) => Arithmetic::WeightsBf16,
            (WeightForm::Blocks { bits: 8 }, ..) => Arithmetic::Q8_0,
            (WeightForm::Blocks { bits: 6 }, ..) => Arithmetic::Q6K,
            (WeightForm::Blocks { bits: 5 }, ..) => Arithmetic::Q5K,
            (WeightForm::Blocks { .. }, ..) => Arithmetic::Q4K,
            (_, Accumulator::Half(Dtype::F16), _) => Arithmetic::F16Accumulation,
            (_, Accumulator::Half(_), _) => Arithmetic::Bf16Accumulation,
            (.., Some(11)) => Arithmetic::Tf32,
            (.., Some(_)) => Arithmetic::Bf16Operands,
            (.., None) => return None,
        })
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
