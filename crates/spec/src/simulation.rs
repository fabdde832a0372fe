//! Ways to round: what a replay in f64 is asked to lose.

use crate::Dtype;

/// The precision to be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// What results are stored in, weights included.
    pub storage: Dtype,
    /// Bits of the significand that a product's operands keep: 11 for TF32, `None` for all that storage has.
    pub operand_bits: Option<i32>,
    /// What a product's sum is kept in.
    pub accumulator: Accumulator,
    /// What the engine made of the checkpoint's weights before it used them.
    pub weights: WeightForm,
    /// Which of the right ways to round.
    pub rounding: Rounding,
}

/// By how many f32 units in the last place two libraries' exp, tanh, sin or cos may differ: torch's own softmax is off
/// by about eight.
pub const LIBRARY_UNITS: f64 = 8.0;

impl Simulation {
    /// Nothing lost.
    pub fn exact() -> Simulation {
        let (accumulator, weights) = (Accumulator::Wide, WeightForm::Stored);
        Simulation { storage: Dtype::F64, operand_bits: None, accumulator, weights, rounding: Rounding::Exact }
    }
}

/// What a sum of products is kept in while it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulator {
    /// f32; f64 in an f64 run.
    Wide,
    /// A half: some kernels sum in what they store.
    Half(Dtype),
}

/// What an engine made of the checkpoint's weights. Its code may be right whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightForm {
    /// As the checkpoint stores them, in the model's dtype.
    Stored,
    /// Every tensor rounded to a half first.
    Rounded(Dtype),
    /// Matrices rounded to a half first; the norms' vectors as stored.
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

/// Right code differs in where it rounds; these span the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// None at all: f64 throughout. The prediction that a candidate is held against.
    Exact,
    /// To nearest after every operation, where transformers has a cast.
    EveryOperation,
    /// To nearest once a stage: a fused kernel.
    EveryStage,
    /// Up or down at random after every operation, with the accumulation noise of f32 sums: another order of
    /// summation, another library, another device. The number is the seed.
    Stochastic(u64),
    /// As [`Rounding::EveryOperation`] with the accumulation noise of f32 sums, and every value nudged before it is
    /// rounded: the same casts in another engine. The number is the seed.
    Reordered(u64),
}

impl Rounding {
    /// The runs whose spread is the noise.
    pub const NOISE: [Rounding; 5] = [
        Rounding::EveryOperation,
        Rounding::EveryStage,
        Rounding::Stochastic(1),
        Rounding::Stochastic(2),
        Rounding::Stochastic(3),
    ];

    /// A number that differs between the noise runs, for what is drawn anew in each.
    pub fn seed(self) -> u64 {
        match self {
            Rounding::Exact => 0,
            Rounding::EveryOperation => 0x10,
            Rounding::EveryStage => 0x11,
            Rounding::Stochastic(seed) => seed,
            Rounding::Reordered(seed) => 0x100 + seed,
        }
    }
}
