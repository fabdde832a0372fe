//! The only place that names a backend: ndarray, flex, wgpu (Vulkan) and CUDA.
//!
//! [`dispatch`] turns the names of a config into a burn backend type, a device and a strict matmul, and runs a
//! generic [`Task`] on them. What a backend cannot do right is refused here, before it can reach a user as
//! numbers: dtypes that are known to be wrong ([`offers`]) and whatever fails the self-test ([`selftest`]).

#![forbid(unsafe_code)]

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "ndarray")]
mod ndarray;
mod opened;
mod selftest;
#[cfg(feature = "wgpu")]
mod wgpu;

use loupe_config::{BACKENDS, MatmulPrecision};
use loupe_spec::{Dtype, nearest};

pub use error::BackendError;
pub use opened::{Info, MatMul, Opened, Spec, Task, WidenBf16};

/// Runs `task` on the backend of `spec`.
///
/// Burn's kernels are compiled with whoever calls this, for every backend. Each backend's `engine` is `#[inline]` in order
/// to be compiled there too: else what both need is compiled twice.
///
/// # Errors
/// An unknown name or device, a dtype or precision that the backend cannot do (the ones that can are named), a
/// driver or adapter that is not there (what was looked for is named), or a self-test that failed.
pub fn dispatch<T: Task>(spec: &Spec, task: T) -> Result<T::Output, BackendError> {
    if !BACKENDS.contains(&spec.backend.as_str()) {
        let nearest = nearest(&spec.backend, BACKENDS).map(str::to_string);
        return Err(BackendError::Unknown { name: spec.backend.clone(), nearest });
    }
    if !offers(&spec.backend, spec.dtype) {
        let can = BACKENDS.iter().filter(|name| offers(name, spec.dtype)).map(|name| (*name).to_string()).collect();
        let dtypes = Dtype::FLOATS.into_iter().filter(|dtype| offers(&spec.backend, *dtype)).collect();
        return Err(BackendError::Dtype { backend: spec.backend.clone(), dtype: spec.dtype, can, dtypes });
    }
    if spec.precision == MatmulPrecision::Tf32 && (spec.backend != "cuda" || spec.dtype != Dtype::F32) {
        return Err(BackendError::Tf32 { backend: spec.backend.clone(), dtype: spec.dtype });
    }
    match spec.backend.as_str() {
        #[cfg(feature = "flex")]
        "flex" => selftest::then_run(spec, flex::open(spec)?, task),
        #[cfg(feature = "ndarray")]
        "ndarray" => selftest::then_run(spec, ndarray::open(spec)?, task),
        #[cfg(feature = "wgpu")]
        "wgpu" => selftest::then_run(spec, wgpu::open(spec)?, task),
        #[cfg(feature = "cuda")]
        "cuda" => selftest::then_run(spec, cuda::open(spec)?, task),
        other => Err(BackendError::NotBuilt { name: other.to_string() }),
    }
}

/// Where right answers come from: f64 on the fastest CPU backend that was built in.
pub fn referee() -> Spec {
    let backend = if cfg!(feature = "flex") { "flex" } else { "ndarray" };
    Spec { backend: backend.to_string(), device: None, dtype: Dtype::F64, precision: MatmulPrecision::Strict }
}

/// Runs `task` on the [`referee`], and is compiled for no other backend.
///
/// # Errors
/// It was not built in, or failed its self-test.
pub fn on_referee<T: Task>(task: T) -> Result<T::Output, BackendError> {
    let spec = referee();
    #[cfg(feature = "flex")]
    return selftest::then_run(&spec, flex::open(&spec)?, task);
    #[cfg(all(feature = "ndarray", not(feature = "flex")))]
    return selftest::then_run(&spec, ndarray::open(&spec)?, task);
    #[cfg(not(any(feature = "flex", feature = "ndarray")))]
    {
        drop(task);
        Err(BackendError::NotBuilt { name: spec.backend })
    }
}

/// Whether `backend` computes right in `dtype`. Measured on burn 0.21: wgpu claims f64 and returns garbage from exp,
/// tanh, sin and cos; CUDA's f64 and ndarray's f16 and bf16 panic; wgpu's bf16 matmul panics.
pub fn offers(backend: &str, dtype: Dtype) -> bool {
    matches!(
        (backend, dtype),
        ("flex", Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16)
            | ("ndarray", Dtype::F64 | Dtype::F32)
            | ("wgpu", Dtype::F32 | Dtype::F16)
            | ("cuda", Dtype::F32 | Dtype::F16 | Dtype::Bf16)
    )
}
