//! Ways to round: what a replay in f64 is asked to lose.

use crate::{Dtype, Precision};

/// A precision, and one way to round in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// What is lost.
    pub precision: Precision,
    /// Which of the right ways to round.
    pub rounding: Rounding,
}

impl Simulation {
    /// Nothing lost.
    pub fn exact() -> Simulation {
        Simulation { precision: Precision::plain(Dtype::F64), rounding: Rounding::Exact }
    }
}

impl Precision {
    /// This precision, rounded in one way.
    pub fn simulation(self, rounding: Rounding) -> Simulation {
        Simulation { precision: self, rounding }
    }
}

/// By how many times 2^-24 (of f64 2^-53) two libraries' exp, tanh, sin or cos may differ, relative: torch's own softmax is off by about
/// eight.
pub const LIBRARY_UNITS: f64 = 8.0;

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
