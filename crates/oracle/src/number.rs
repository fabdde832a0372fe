//! The numbers that the loops are over, and what of their arithmetic an engine may choose.

use std::iter::Sum;
use std::ops::{Add, Div, Mul, Sub};

/// f32 or f64.
pub trait Number:
    Copy + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Sum
{
    /// The nearest of this type.
    fn of(x: f64) -> Self;
    /// The root.
    fn sqrt(self) -> Self;
    /// `self^exponent`
    fn powf(self, exponent: Self) -> Self;
    /// `e^self`
    fn exp(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Sine and cosine of an angle.
    fn sin_cos(self) -> (Self, Self);
}

/// Each as the type itself has it.
macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            fn of(x: f64) -> $type {
                x as $type
            }

            fn sqrt(self) -> $type {
                self.sqrt()
            }

            fn powf(self, exponent: $type) -> $type {
                self.powf(exponent)
            }

            fn exp(self) -> $type {
                self.exp()
            }

            fn tanh(self) -> $type {
                self.tanh()
            }

            fn sin_cos(self) -> ($type, $type) {
                self.sin_cos()
            }
        }
    };
}

number!(f32);
number!(f64);

/// How an engine computes what the formulas leave open. None of it is a mistake.
pub trait Kernels<F: Number> {
    /// `x` as it is kept.
    fn store(&self, x: F) -> F {
        x
    }

    /// sum of `a_i * b_i`
    fn dot(&self, a: impl Iterator<Item = F>, b: impl Iterator<Item = F>) -> F {
        a.zip(b).map(|(a, b)| a * b).sum()
    }

    /// `e^x`
    fn exp(&self, x: F) -> F {
        x.exp()
    }

    /// The hyperbolic tangent.
    fn tanh(&self, x: F) -> F {
        x.tanh()
    }

    /// Sine and cosine of an angle.
    fn sin_cos(&self, x: F) -> (F, F) {
        x.sin_cos()
    }
}

/// The type's own functions, sums from the first term to the last, nothing rounded.
pub struct Exact;

impl<F: Number> Kernels<F> for Exact {}
