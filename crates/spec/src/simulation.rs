//! Ways to round: what a replay in f64 is asked to lose.

use crate::Dtype;

/// The precision to be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// What results are stored in, weights included.
    pub storage: Dtype,
    /// Bits of the significand that a product's operands keep: 11 for TF32, `None` for all that storage has.
    pub operand_bits: Option<i32>,
    /// Which of the right ways to round.
    pub rounding: Rounding,
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
}
