//! In which dtype a value is held, and where it is rounded: data beside the mathematics.
//!
//! transformers computes each operation in f32 (the compute dtype) inside its kernel and stores the result in the dtype
//! of the model. The operations in [`crate::ops`] say so explicitly: [`Numerics::to_compute`] where a kernel
//! computes, [`Numerics::to_storage`] where a result is stored. In a run those are casts. In a simulation of another
//! precision they are roundings, which is how the noise budget is measured on a CPU in f64.

use std::sync::Arc;

use burn::tensor::DType;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use loupe_spec::{Dtype, Probe};
use loupe_tensor::Tensor;

/// burn's name of one of our float dtypes; f32 for the integer ones, which no tensor of the model has.
pub fn burn_dtype(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
        Dtype::F32 | Dtype::I64 | Dtype::U8 => DType::F32,
    }
}

/// The places where arithmetic loses bits, each of which knows the value `at` which it is, on burn's primitive tensors so that
/// a `dyn` can hold them.
pub trait Kernels<B: Backend>: Send + Sync {
    /// Goes to the dtype that kernels compute in.
    fn to_compute(&self, at: Probe, x: FloatTensor<B>) -> FloatTensor<B>;
    /// Goes to the dtype that results are stored in.
    fn to_storage(&self, at: Probe, x: FloatTensor<B>) -> FloatTensor<B>;
    /// `lhs @ rhs` of two values over the last two axes, stored.
    fn matmul(&self, at: Probe, lhs: FloatTensor<B>, rhs: FloatTensor<B>) -> FloatTensor<B>;
    /// `weight` [out, in] `@ x` [in, T], stored.
    fn project(&self, at: Probe, weight: FloatTensor<B>, x: FloatTensor<B>) -> FloatTensor<B> {
        self.matmul(at, weight, x)
    }
    /// Called on the value of each stage when it is done. A run has nothing left to do.
    fn finish(&self, _at: Probe, x: FloatTensor<B>) -> FloatTensor<B> {
        x
    }
}

/// The precision of a run. Cheap to clone.
#[derive(Clone)]
pub struct Numerics<B: Backend> {
    /// The dtype results are stored in: what config's `dtype` says.
    pub dtype: Dtype,
    /// The dtype of the tensors on the device. A simulation holds bf16 values in f64 tensors; else it is `dtype`.
    pub device: Dtype,
    kernels: Arc<dyn Kernels<B>>,
    /// The value that is computed.
    at: Probe,
}

impl<B: Backend> Numerics<B> {
    /// A run in `dtype` itself, with the backend's `matmul`.
    pub fn native(dtype: Dtype, matmul: fn(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>) -> Numerics<B> {
        Numerics::simulated(dtype, dtype, Arc::new(Native { dtype, matmul }))
    }

    /// A run in which `kernels` decide what is lost, holding values of `dtype` in tensors of `device`.
    pub fn simulated(dtype: Dtype, device: Dtype, kernels: Arc<dyn Kernels<B>>) -> Numerics<B> {
        Numerics { dtype, device, kernels, at: Probe::TOKEN_IDS }
    }

    /// The same, for the value `at`.
    pub fn at(&self, at: Probe) -> Numerics<B> {
        Numerics { at, ..self.clone() }
    }

    /// f64 in an f64 run, else f32: transformers' `x.float()` and the inside of torch's kernels.
    pub fn to_compute<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(self.kernels.to_compute(self.at, x.into_primitive()))
    }

    /// The result in the dtype of the model: transformers' `.type_as(x)`, and what every torch operation ends with.
    pub fn to_storage<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(self.kernels.to_storage(self.at, x.into_primitive()))
    }

    /// One torch operation on one tensor: computed in the compute dtype, stored.
    pub fn op<const D: usize>(&self, x: Tensor<B, D>, f: impl FnOnce(Tensor<B, D>) -> Tensor<B, D>) -> Tensor<B, D> {
        self.to_storage(f(self.to_compute(x)))
    }

    /// [.., m, k] @ [.., k, n] → [.., m, n], stored.
    pub fn matmul<const D: usize>(&self, lhs: Tensor<B, D>, rhs: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(self.kernels.matmul(self.at, lhs.into_primitive(), rhs.into_primitive()))
    }

    /// `weight` [out, in] @ `x` [in, T] → [out, T], stored. An engine may hold weights in another precision than values.
    pub fn project(&self, weight: Tensor<B, 2>, x: Tensor<B, 2>) -> Tensor<B, 2> {
        Tensor::from_primitive(self.kernels.project(self.at, weight.into_primitive(), x.into_primitive()))
    }

    /// The finished value.
    pub(crate) fn finish<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        Tensor::from_primitive(self.kernels.finish(self.at, x.into_primitive()))
    }

    /// A constant as the model's dtype holds it.
    pub fn round(&self, constant: f64) -> f64 {
        self.dtype.round(constant)
    }

    /// The dtype tables computed on the host are computed in: transformers uses f32 for all but f64 runs.
    pub fn compute_dtype(&self) -> Dtype {
        self.dtype.compute_dtype()
    }
}

/// Casts, and the backend's own matmul.
pub struct Native<B: Backend> {
    dtype: Dtype,
    matmul: fn(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>,
}

impl<B: Backend> Kernels<B> for Native<B> {
    fn to_compute(&self, _at: Probe, x: FloatTensor<B>) -> FloatTensor<B> {
        let dtype = burn_dtype(self.dtype.compute_dtype());
        Tensor::<B, 1>::from_primitive(x).cast(dtype).into_primitive()
    }

    fn to_storage(&self, _at: Probe, x: FloatTensor<B>) -> FloatTensor<B> {
        Tensor::<B, 1>::from_primitive(x).cast(burn_dtype(self.dtype)).into_primitive()
    }

    fn matmul(&self, _at: Probe, lhs: FloatTensor<B>, rhs: FloatTensor<B>) -> FloatTensor<B> {
        (self.matmul)(lhs, rhs)
    }
}
