//! Element types, and what rounding to them is.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An element type, under the names that configs and reports use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    U8,
}

impl Dtype {
    /// The types a forward pass can compute in.
    pub const FLOATS: [Dtype; 4] = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::Bf16];

    /// The name in configs, reports and messages.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F64 => "f64",
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::I64 => "i64",
            Dtype::U8 => "u8",
        }
    }

    /// What operations on values of this type compute in, before they store in it: f32, of f64 itself. transformers'
    /// `x.float()`, and the inside of torch's kernels.
    pub fn compute_dtype(self) -> Dtype {
        if self == Dtype::F64 { Dtype::F64 } else { Dtype::F32 }
    }

    /// Half a unit in the last place, relative: the most that rounding to nearest loses.
    pub fn half_unit(self) -> f64 {
        2f64.powi(-self.significand_bits())
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::U8 => 1,
        }
    }

    /// Bits of the significand, the hidden one included: one unit of relative rounding error is 2^-bits.
    pub fn significand_bits(self) -> i32 {
        match self {
            Dtype::F16 => 11,
            Dtype::Bf16 => 8,
            Dtype::F32 => 24,
            Dtype::F64 | Dtype::I64 | Dtype::U8 => 53,
        }
    }

    /// `value` rounded to nearest, ties to even, as this type would hold it.
    pub fn round(self, value: f64) -> f64 {
        match self {
            Dtype::F64 => value,
            Dtype::F32 => f64::from(value as f32),
            Dtype::F16 => f16::from_f32(round_to_odd(value)).to_f64(),
            Dtype::Bf16 => bf16::from_f32(round_to_odd(value)).to_f64(),
            Dtype::I64 | Dtype::U8 => value.round_ties_even(),
        }
    }
}

/// `x` cut to f32, with the last bit set if anything was cut off, so that rounding the result once more rounds `x`.
///
/// half's own `from_f64` is not used: through f32 it rounds twice (f16 on x86), and elsewhere it drops the low 32 bits
/// before it looks for a tie.
pub fn round_to_odd(x: f64) -> f32 {
    let nearest = x as f32;
    if f64::from(nearest) == x || x.is_nan() {
        return nearest;
    }
    // Towards zero, where the nearest went away from it; below infinity, that is the largest finite f32.
    let away = f64::from(nearest).abs() > x.abs();
    f32::from_bits((nearest.to_bits() - u32::from(away)) | 1)
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Dtype {
    type Err = ();

    fn from_str(name: &str) -> Result<Dtype, ()> {
        Dtype::FLOATS.into_iter().chain([Dtype::I64, Dtype::U8]).find(|d| d.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_even_in_the_named_type() {
        assert_eq!(Dtype::Bf16.round(55.4256), 55.5);
        assert_eq!(Dtype::F16.round(65520.0), f64::INFINITY);
        assert_eq!(Dtype::F64.round(0.1), 0.1);
        // Just above the tie between 1 and 1 + 2^-7: half's from_f64 drops the 2^-40 and rounds to even, down.
        assert_eq!(Dtype::Bf16.round(1.0 + 2f64.powi(-8) + 2f64.powi(-40)), 1.0 + 2f64.powi(-7));
        assert_eq!(Dtype::F16.round(1.0 + 2f64.powi(-11) + 2f64.powi(-40)), 1.0 + 2f64.powi(-10));
    }
}
