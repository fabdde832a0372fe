//! Stored bytes to numbers: one pass, in parallel, that converts and looks for NaN and infinity.

use std::mem::MaybeUninit;

use half::{bf16, f16};
use loupe_spec::{Dtype, Values, round_to_odd};
use rayon::prelude::*;

use crate::Change;

/// Elements a task converts: small enough to keep every core busy, large enough that handing it out costs nothing.
const CHUNK: usize = 1 << 16;

/// Byte strings that follow each other in the result, all of `elements` elements but the last, which may have fewer.
pub(crate) struct Pieces<'a> {
    bytes: Vec<&'a [u8]>,
    elements: usize,
}

impl<'a> Pieces<'a> {
    /// One run of elements.
    pub fn of_run(bytes: &'a [u8], dtype: Dtype) -> Pieces<'a> {
        Pieces { bytes: bytes.chunks(CHUNK * dtype.size()).collect(), elements: CHUNK }
    }

    /// All of it as one string, changed.
    pub fn changed(&self, change: Change, dtype: Dtype) -> Vec<u8> {
        self.bytes.iter().flat_map(|bytes| change.parts(dtype, bytes)).flatten().collect()
    }

    /// Rows of `width` elements each.
    pub fn of_rows(bytes: Vec<&'a [u8]>, width: usize) -> Pieces<'a> {
        Pieces { bytes, elements: width.max(1) }
    }
}

/// The elements of `pieces`, stored as `from`, as `to`; and whether every one of them is finite.
///
/// # Errors
/// A type that is no float, named.
pub(crate) fn convert(pieces: &Pieces<'_>, from: Dtype, to: Dtype) -> Result<(Values, bool), String> {
    Ok(match to {
        Dtype::F64 => {
            let (values, finite) = run(pieces, from);
            (Values::F64(values), finite)
        }
        Dtype::F32 => {
            let (values, finite) = run(pieces, from);
            (Values::F32(values), finite)
        }
        Dtype::F16 => {
            let (values, finite) = run(pieces, from);
            (Values::F16(values), finite)
        }
        Dtype::Bf16 => {
            let (values, finite) = run(pieces, from);
            (Values::Bf16(values), finite)
        }
        Dtype::I64 | Dtype::U8 => return Err(format!("weights are read as f64, f32, f16 or bf16, not {to}")),
    })
}

/// Allocates without zeroing: that would be one thread's work, and as much as the conversion itself on two.
#[allow(unsafe_code)]
fn run<D: Target>(pieces: &Pieces<'_>, from: Dtype) -> (Vec<D>, bool) {
    let bytes: usize = pieces.bytes.iter().map(|piece| piece.len()).sum();
    let count = bytes / from.size();
    let mut values = Vec::with_capacity(count);
    let out = values.spare_capacity_mut().get_mut(..count).unwrap_or_default();
    let done = out.par_chunks_mut(pieces.elements).zip(pieces.bytes.par_iter()).map(|(out, piece)| match from {
        Dtype::F64 => each(piece.as_chunks().0, out, |b| D::from_f64(f64::from_le_bytes(b))),
        Dtype::F32 => each(piece.as_chunks().0, out, |b| D::from_f32(f32::from_le_bytes(b))),
        Dtype::F16 => each(piece.as_chunks().0, out, |b| D::from_f16(f16::from_le_bytes(b))),
        Dtype::Bf16 => each(piece.as_chunks().0, out, |b| D::from_bf16(bf16::from_le_bytes(b))),
        // No weight is stored as these: the table of tensors lets floats through alone.
        Dtype::I64 | Dtype::U8 => (0, false),
    });
    // Not `all`: that stops early, and then the first bad element could not be named.
    let (written, finite) = done.reduce(|| (0, true), |a, b| (a.0 + b.0, a.1 & b.1));
    if written == count {
        // SAFETY: the chunks are disjoint parts of the first `count` elements, so that many written are all of them.
        unsafe { values.set_len(count) };
    }
    (values, finite && written == count)
}

/// Converts as many elements as there are in both; how many, and whether each is finite.
fn each<const N: usize, D: Target>(
    stored: &[[u8; N]],
    out: &mut [MaybeUninit<D>],
    convert: impl Fn([u8; N]) -> D,
) -> (usize, bool) {
    let mut finite = true;
    for (out, stored) in out.iter_mut().zip(stored) {
        finite &= out.write(convert(*stored)).is_finite();
    }
    (out.len().min(stored.len()), finite)
}

/// A type to convert to. Widening is exact; narrowing rounds once, to nearest, ties to even.
trait Target: Copy + Send + Sync {
    fn is_finite(self) -> bool;
    fn from_f64(x: f64) -> Self;
    fn from_f32(x: f32) -> Self {
        Self::from_f64(f64::from(x))
    }
    fn from_f16(x: f16) -> Self {
        Self::from_f32(x.to_f32())
    }
    fn from_bf16(x: bf16) -> Self {
        Self::from_f32(x.to_f32())
    }
}

impl Target for f64 {
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
    fn from_f64(x: f64) -> f64 {
        x
    }
}

impl Target for f32 {
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    fn from_f32(x: f32) -> f32 {
        x
    }
}

impl Target for f16 {
    fn is_finite(self) -> bool {
        f16::is_finite(self)
    }
    fn from_f64(x: f64) -> f16 {
        f16::from_f32(round_to_odd(x))
    }
    fn from_f32(x: f32) -> f16 {
        f16::from_f32(x)
    }
    fn from_f16(x: f16) -> f16 {
        x
    }
}

impl Target for bf16 {
    fn is_finite(self) -> bool {
        bf16::is_finite(self)
    }
    fn from_f64(x: f64) -> bf16 {
        bf16::from_f32(round_to_odd(x))
    }
    fn from_f32(x: f32) -> bf16 {
        bf16::from_f32(x)
    }
    fn from_bf16(x: bf16) -> bf16 {
        x
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn through(values: &Values, to: Dtype) -> Values {
        let bytes = values.to_le_bytes();
        let (converted, finite) = convert(&Pieces::of_run(&bytes, values.dtype()), values.dtype(), to).unwrap();
        assert!(finite);
        converted
    }

    #[test]
    fn widening_is_exact_and_the_way_back_is_the_identity() {
        let finite = |bits: &u16| bf16::from_bits(*bits).is_finite();
        let bf16s = Values::Bf16((0..=u16::MAX).filter(finite).map(bf16::from_bits).collect());
        let finite = |bits: &u16| f16::from_bits(*bits).is_finite();
        let f16s = Values::F16((0..=u16::MAX).filter(finite).map(f16::from_bits).collect());
        for all in [bf16s, f16s] {
            for wide in [Dtype::F32, Dtype::F64] {
                assert_eq!(through(&all, wide).to_f64(), all.to_f64());
                assert_eq!(through(&through(&all, wide), all.dtype()), all);
            }
            assert_eq!(through(&all, all.dtype()), all);
        }
    }

    #[test]
    fn narrowing_rounds_once_to_nearest_even() {
        // 1 + 2^-8 is halfway between two bf16, 1 + 2^-11 between two f16; the last bits decide, be they far below f32's.
        for (to, half) in [(Dtype::Bf16, 2f64.powi(-8)), (Dtype::F16, 2f64.powi(-11))] {
            let tiny = 2f64.powi(-50);
            let stored = Values::F64(vec![1.0 + half, 1.0 + half + tiny, 1.0 + half - tiny, 1.0 + 3.0 * half]);
            let up = 1.0 + 2.0 * half;
            assert_eq!(through(&stored, to).to_f64(), [1.0, up, 1.0, 1.0 + 4.0 * half]);
            let negative = Values::F64(stored.to_f64().iter().map(|x| -x).collect());
            assert_eq!(through(&negative, to).to_f64(), [-1.0, -up, -1.0, -1.0 - 4.0 * half]);
            assert_eq!(
                through(&Values::F32(vec![(1.0 + half) as f32, (1.0 + 3.0 * half) as f32]), to).to_f64(),
                [1.0, 1.0 + 4.0 * half]
            );
        }
        assert_eq!(through(&Values::F64(vec![1.0 + 2f64.powi(-24)]), Dtype::F32).to_f64(), [1.0]);
    }

    #[test]
    fn what_is_beyond_the_type_or_stored_as_nan_is_seen_in_any_chunk() {
        for (stored, to) in [(Values::F64(vec![1e300]), Dtype::F32), (Values::F32(vec![7e4]), Dtype::F16)] {
            let bytes = stored.to_le_bytes();
            assert!(!convert(&Pieces::of_run(&bytes, stored.dtype()), stored.dtype(), to).unwrap().1);
        }
        for bad in [0, CHUNK, 2 * CHUNK + 6] {
            let mut values = vec![1_f32; 2 * CHUNK + 7];
            *values.get_mut(bad).unwrap() = f32::NAN;
            let bytes = Values::F32(values).to_le_bytes();
            assert!(!convert(&Pieces::of_run(&bytes, Dtype::F32), Dtype::F32, Dtype::Bf16).unwrap().1);
        }
    }
}
