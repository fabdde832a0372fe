//! Weights that are read and written otherwise than the files hold them: a checkpoint made to show something.

use loupe_spec::{Dtype, Values};

/// A change of every element w of a tensor. Exact where the factor is a power of two and nothing overflows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// `f * w`
    Times(f64),
    /// `f * (1 + w) - 1`, for the weight of a norm, which multiplies by `1 + w`: its output times f.
    NormTimes(f64),
}

/// Bytes widened at a time, eightfold at most: all that changing 5 GB of weights takes of memory. A multiple of every
/// element's size.
const PART: usize = 1 << 20;

impl Change {
    /// The changed elements of `stored`, part by part.
    pub(crate) fn parts(self, dtype: Dtype, stored: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
        stored.chunks(PART).map(move |part| self.apply(dtype, part))
    }

    /// The changed elements of `stored`, rounded to the type that they are stored in.
    fn apply(self, dtype: Dtype, stored: &[u8]) -> Vec<u8> {
        let change = |w: f64| match self {
            Change::Times(factor) => factor * w,
            Change::NormTimes(factor) => factor * (1.0 + w) - 1.0,
        };
        let values = Values::from_le_bytes(dtype, stored).to_f64().into_iter().map(change).collect();
        Values::F64(values).to_dtype(dtype).to_le_bytes()
    }
}
