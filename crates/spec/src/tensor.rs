//! A tensor on the host: what crosses between the checkpoint, a backend, a report and the judge.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::{Dtype, round_to_odd};

/// The elements of a [`HostTensor`], row-major, in the type they were stored or computed in.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Values {
    F64(Vec<f64>),
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    I64(Vec<i64>),
    U8(Vec<u8>),
}

impl Values {
    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Values::F64(_) => Dtype::F64,
            Values::F32(_) => Dtype::F32,
            Values::F16(_) => Dtype::F16,
            Values::Bf16(_) => Dtype::Bf16,
            Values::I64(_) => Dtype::I64,
            Values::U8(_) => Dtype::U8,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Values::F64(v) => v.len(),
            Values::F32(v) => v.len(),
            Values::F16(v) => v.len(),
            Values::Bf16(v) => v.len(),
            Values::I64(v) => v.len(),
            Values::U8(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index` as f64, without loss (i64 beyond 2^53 excepted).
    ///
    /// # Panics
    /// Where `index` is not below [`Values::len`], as slices do.
    pub fn get(&self, index: usize) -> f64 {
        match self {
            Values::F64(v) => v[index],
            Values::F32(v) => f64::from(v[index]),
            Values::F16(v) => v[index].to_f64(),
            Values::Bf16(v) => v[index].to_f64(),
            Values::I64(v) => v[index] as f64,
            Values::U8(v) => f64::from(v[index]),
        }
    }

    /// The elements at `places`, in their order.
    ///
    /// # Panics
    /// Where a place is not below [`Values::len`], as slices do.
    pub fn picked(&self, places: &[usize]) -> Values {
        fn pick<T: Copy>(all: &[T], places: &[usize]) -> Vec<T> {
            places.iter().map(|place| all[*place]).collect()
        }
        match self {
            Values::F64(v) => Values::F64(pick(v, places)),
            Values::F32(v) => Values::F32(pick(v, places)),
            Values::F16(v) => Values::F16(pick(v, places)),
            Values::Bf16(v) => Values::Bf16(pick(v, places)),
            Values::I64(v) => Values::I64(pick(v, places)),
            Values::U8(v) => Values::U8(pick(v, places)),
        }
    }

    /// Hands every element to `f` in order, as f64 like [`Values::get`]: one loop a type, where `get` looks at the
    /// type of every element.
    pub fn for_each(&self, mut f: impl FnMut(f64)) {
        match self {
            Values::F64(v) => v.iter().for_each(|x| f(*x)),
            Values::F32(v) => v.iter().for_each(|x| f(f64::from(*x))),
            Values::F16(v) => v.iter().for_each(|x| f(x.to_f64())),
            // Through f32: as exact, and a shift where to_f64 takes the number apart.
            Values::Bf16(v) => v.iter().for_each(|x| f(f64::from(x.to_f32()))),
            Values::I64(v) => v.iter().for_each(|x| f(*x as f64)),
            Values::U8(v) => v.iter().for_each(|x| f(f64::from(*x))),
        }
    }

    /// Every element, passed through `f`.
    fn mapped<T>(&self, f: impl Fn(f64) -> T) -> Vec<T> {
        let mut all = Vec::with_capacity(self.len());
        self.for_each(|x| all.push(f(x)));
        all
    }

    /// Every element as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        self.mapped(|x| x)
    }

    /// Every element rounded to `dtype`, to nearest, ties to even.
    pub fn to_dtype(&self, dtype: Dtype) -> Values {
        if dtype == self.dtype() {
            return self.clone();
        }
        match dtype {
            Dtype::F64 => Values::F64(self.mapped(|x| x)),
            Dtype::F32 => Values::F32(self.mapped(|x| x as f32)),
            Dtype::F16 => Values::F16(self.mapped(|x| f16::from_f32(round_to_odd(x)))),
            Dtype::Bf16 => Values::Bf16(self.mapped(|x| bf16::from_f32(round_to_odd(x)))),
            Dtype::I64 => Values::I64(self.mapped(|x| x as i64)),
            Dtype::U8 => Values::U8(self.mapped(|x| x as u8)),
        }
    }

    /// The elements' bytes, little-endian, row-major. Where memory is little-endian, they are not copied.
    pub fn le_bytes(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            return Cow::Borrowed(match self {
                Values::F64(v) => bytemuck::cast_slice(v),
                Values::F32(v) => bytemuck::cast_slice(v),
                Values::F16(v) => bytemuck::cast_slice(v.reinterpret_cast()),
                Values::Bf16(v) => bytemuck::cast_slice(v.reinterpret_cast()),
                Values::I64(v) => bytemuck::cast_slice(v),
                Values::U8(v) => v,
            });
        }
        Cow::Owned(match self {
            Values::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::F16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::Bf16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::U8(v) => v.clone(),
        })
    }

    /// [`Values::le_bytes`], to keep.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        self.le_bytes().into_owned()
    }

    /// The values that little-endian `bytes` hold. A trailing partial element is left out.
    pub fn from_le_bytes(dtype: Dtype, bytes: &[u8]) -> Values {
        // `as_chunks` hands out arrays of the element's size, so nothing here can be out of bounds.
        match dtype {
            Dtype::F64 => Values::F64(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Dtype::F32 => Values::F32(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            Dtype::F16 => Values::F16(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b)).collect()),
            Dtype::Bf16 => Values::Bf16(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b)).collect()),
            Dtype::I64 => Values::I64(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            Dtype::U8 => Values::U8(bytes.to_vec()),
        }
    }
}

/// A tensor on the host, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Axis lengths, outermost first.
    pub shape: Vec<usize>,
    /// The elements; as many as the product of `shape`.
    pub values: Values,
}

impl HostTensor {
    /// Row `index` of the last axis: elements `index * width .. (index + 1) * width`, as f64.
    ///
    /// # Panics
    /// Where the tensor has no such row.
    pub fn row(&self, index: usize) -> Vec<f64> {
        let width = self.width();
        (index * width..(index + 1) * width).map(|at| self.values.get(at)).collect()
    }

    /// The elements of one index of the first axis: one token of a [T, …] tensor, as f64.
    ///
    /// # Panics
    /// Where the first axis is not that long.
    pub fn token(&self, token: usize) -> Vec<f64> {
        let per = self.shape.iter().skip(1).product::<usize>();
        (token * per..(token + 1) * per).map(|at| self.values.get(at)).collect()
    }

    fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_in_every_type() {
        let all = [
            Values::F64(vec![1.5, -2.0]),
            Values::F32(vec![0.1, f32::MAX]),
            Values::F16(vec![f16::from_f32(0.1), f16::MAX]),
            Values::Bf16(vec![bf16::from_f32(0.1), bf16::MIN]),
            Values::I64(vec![-3, i64::MAX]),
            Values::U8(vec![0, 255]),
        ];
        for values in all {
            assert_eq!(Values::from_le_bytes(values.dtype(), &values.to_le_bytes()), values);
        }
    }
}
