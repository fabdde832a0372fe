//! The tensors that the model is written in: burn's float tensors, with the few operations that Gemma 2 needs.
//!
//! Names are those of burn's own `Tensor`, and each method is a call of burn's `Backend`. What is left out is why this
//! crate is there: burn's `Tensor` may hold quantised values at any place, and whoever uses it compiles every operation a
//! second time for those, on every backend. Without them loupe-runtime compiles in three quarters of the time. And what is
//! listed here, with the matrix product, is all that a backend must get right.

#![forbid(unsafe_code)]

use std::ops::{Add, Div, Mul, Neg, Range, Sub};

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, Slice, TensorData, TensorMetadata, try_read_sync};

/// Floating-point numbers in `D` axes, on a device of `B`. A clone shares them.
///
/// A wrong shape makes a backend panic, as with burn's own tensor: shapes come from the model, and what comes from
/// outside is looked at before it becomes a tensor.
#[derive(Debug)]
pub struct Tensor<B: Backend, const D: usize> {
    primitive: FloatTensor<B>,
}

impl<B: Backend, const D: usize> Clone for Tensor<B, D> {
    fn clone(&self) -> Tensor<B, D> {
        Tensor::from_primitive(self.primitive.clone())
    }
}

/// To the device and back, and what a tensor says of itself.
impl<B: Backend, const D: usize> Tensor<B, D> {
    /// The values of `data`, in `dtype`.
    pub fn from_data(data: TensorData, device: &B::Device, dtype: DType) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_from_data(data.convert_dtype(dtype), device))
    }

    /// The values, row-major, in the dtype that they have on the device.
    ///
    /// It panics, as burn's own does, where the device fails, now or in something that was queued before.
    #[allow(clippy::panic)] // see above
    pub fn into_data(self) -> TensorData {
        match try_read_sync(B::float_into_data(self.primitive)) {
            Some(Ok(data)) => data,
            Some(Err(error)) => panic!("values cannot be read back: {error}"),
            None => panic!("values cannot be read back: this platform does not wait for its device"),
        }
    }

    /// burn's own handle as a tensor. The number of axes is a label for the compiler, which this does not check.
    pub fn from_primitive(primitive: FloatTensor<B>) -> Tensor<B, D> {
        Tensor { primitive }
    }

    /// burn's own handle.
    pub fn into_primitive(self) -> FloatTensor<B> {
        self.primitive
    }

    /// The length of each axis.
    pub fn dims(&self) -> [usize; D] {
        self.primitive.shape().dims()
    }

    /// What the numbers are.
    pub fn dtype(&self) -> DType {
        self.primitive.dtype()
    }

    /// Where they are.
    pub fn device(&self) -> B::Device {
        B::float_device(&self.primitive)
    }

    /// The same values in `dtype`, each rounded to nearest where it holds less.
    pub fn cast(self, dtype: DType) -> Tensor<B, D> {
        if self.dtype() == dtype {
            return self;
        }
        Tensor::from_primitive(B::float_cast(self.primitive, dtype.into()))
    }
}

/// The same numbers in another order or shape.
impl<B: Backend, const D: usize> Tensor<B, D> {
    /// The same numbers, row-major, as `shape`.
    pub fn reshape<const E: usize>(self, shape: [usize; E]) -> Tensor<B, E> {
        Tensor::from_primitive(B::float_reshape(self.primitive, Shape::from(shape)))
    }

    /// Axes `a` and `b` change places.
    pub fn swap_dims(self, a: usize, b: usize) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_swap_dims(self.primitive, a, b))
    }

    /// The last two axes change places.
    pub fn transpose(self) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_transpose(self.primitive))
    }

    /// Axis `axes[i]` becomes axis i.
    pub fn permute(self, axes: [usize; D]) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_permute(self.primitive, &axes))
    }

    /// The part at `ranges`, none of which is empty.
    pub fn slice(self, ranges: [Range<usize>; D]) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_slice(self.primitive, &slices(ranges)))
    }

    /// `length` entries of `axis`, from `start` on.
    pub fn narrow(self, axis: usize, start: usize, length: usize) -> Tensor<B, D> {
        let mut ranges = self.dims().map(|length| 0..length);
        ranges[axis] = start..start + length;
        self.slice(ranges)
    }

    /// Every `step`-th entry of `axis`, from the first on.
    pub fn every(self, axis: usize, step: usize) -> Tensor<B, D> {
        let mut slices = slices(self.dims().map(|length| 0..length));
        slices[axis].step = step as isize;
        Tensor::from_primitive(B::float_slice(self.primitive, &slices))
    }

    /// The same with `values` in the place of what was at `ranges`, none of which is empty.
    pub fn slice_assign(self, ranges: [Range<usize>; D], values: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_slice_assign(self.primitive, &slices(ranges), values.primitive))
    }

    /// All of it `times` times along `axis`, one after the other.
    pub fn repeat_dim(self, axis: usize, times: usize) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_repeat_dim(self.primitive, axis, times))
    }

    /// `tensors`, of which there is one at least, one after the other along `axis`.
    ///
    /// burn's own of the same name is, on GPUs, this by way of quantised tensors. burn-flex's assignment copies the
    /// whole, so halves are joined: one part after the other, all would be copied as often as there are parts.
    pub fn cat(mut tensors: Vec<Tensor<B, D>>, axis: usize) -> Tensor<B, D> {
        let behind = tensors.split_off(tensors.len().div_ceil(2));
        if behind.is_empty() {
            return tensors.swap_remove(0);
        }
        let (one, other) = (Tensor::cat(tensors, axis), Tensor::cat(behind, axis));
        let (first, mut dims) = (one.dims(), one.dims());
        dims[axis] += other.dims()[axis];
        let empty = B::float_empty(Shape::from(dims), &one.device(), one.dtype().into());
        let mut ranges = dims.map(|length| 0..length);
        ranges[axis] = first[axis]..dims[axis];
        Tensor::from_primitive(empty).slice_assign(first.map(|length| 0..length), one).slice_assign(ranges, other)
    }
}

fn slices<const D: usize>(ranges: [Range<usize>; D]) -> [Slice; D] {
    ranges.map(|range| Slice::new(range.start as isize, Some(range.end as isize), 1))
}

/// Arithmetic, each element by itself.
impl<B: Backend, const D: usize> Tensor<B, D> {
    /// `x + scalar`
    pub fn add_scalar(self, scalar: f64) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_add_scalar(self.primitive, scalar.into()))
    }

    /// `x * scalar`
    pub fn mul_scalar(self, scalar: f64) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_mul_scalar(self.primitive, scalar.into()))
    }

    /// `x / scalar`
    pub fn div_scalar(self, scalar: f64) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_div_scalar(self.primitive, scalar.into()))
    }

    /// `e^x`
    pub fn exp(self) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_exp(self.primitive))
    }

    /// The hyperbolic tangent.
    pub fn tanh(self) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_tanh(self.primitive))
    }

    /// The error function.
    pub fn erf(self) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_erf(self.primitive))
    }

    /// The square root.
    pub fn sqrt(self) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_sqrt(self.primitive))
    }
}

/// Along an axis, whose length becomes 1.
impl<B: Backend, const D: usize> Tensor<B, D> {
    /// The sum.
    pub fn sum_dim(self, axis: usize) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_sum_dim(self.primitive, axis))
    }

    /// The sum by the number of entries.
    pub fn mean_dim(self, axis: usize) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_mean_dim(self.primitive, axis))
    }

    /// The largest.
    pub fn max_dim(self, axis: usize) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_max_dim(self.primitive, axis))
    }
}

/// `x + y`; an axis of length 1 goes with every entry of the other's.
impl<B: Backend, const D: usize> Add for Tensor<B, D> {
    type Output = Tensor<B, D>;

    fn add(self, other: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_add(self.primitive, other.primitive))
    }
}

/// `x - y`, with axes as in a sum.
impl<B: Backend, const D: usize> Sub for Tensor<B, D> {
    type Output = Tensor<B, D>;

    fn sub(self, other: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_sub(self.primitive, other.primitive))
    }
}

/// `x * y`, each element by its own, with axes as in a sum.
impl<B: Backend, const D: usize> Mul for Tensor<B, D> {
    type Output = Tensor<B, D>;

    fn mul(self, other: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_mul(self.primitive, other.primitive))
    }
}

/// `x / y`, with axes as in a sum.
impl<B: Backend, const D: usize> Div for Tensor<B, D> {
    type Output = Tensor<B, D>;

    fn div(self, other: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_div(self.primitive, other.primitive))
    }
}

/// `-x`
impl<B: Backend, const D: usize> Neg for Tensor<B, D> {
    type Output = Tensor<B, D>;

    fn neg(self) -> Tensor<B, D> {
        Tensor::from_primitive(B::float_neg(self.primitive))
    }
}
