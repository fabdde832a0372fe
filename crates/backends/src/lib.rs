//! The only place that names a backend: ndarray, flex, wgpu (Vulkan) and CUDA.
//!
//! [`dispatch`] turns the names of a config into a burn backend type, a device and a strict matmul, and runs a
//! generic [`Task`] on them. What a backend cannot do right is refused here, before it can reach a user as
//! numbers: dtypes that are known to be wrong ([`offers`]) and whatever fails the self-test ([`selftest`]).

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "ndarray")]
mod ndarray;
mod selftest;
#[cfg(feature = "wgpu")]
mod wgpu;

use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{Device, FloatTensor};
use loupe_config::{BACKENDS, Common, Precision};
use loupe_spec::{Dtype, nearest};

pub use error::BackendError;

/// `lhs @ rhs` over the last two axes, on burn's primitive tensors.
pub type MatMul<B> = fn(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>;

/// A bf16 tensor of the host, on the device and in f32.
pub type WidenBf16<B> = fn(TensorData, &Device<B>) -> FloatTensor<B>;

/// What a config says about where to run.
#[derive(Clone, Debug)]
pub struct Spec {
    /// One of [`BACKENDS`].
    pub backend: String,
    /// Which device of the backend: `cpu`, `discrete:0`, `integrated:0`, `virtual:0` for wgpu; an index for cuda.
    pub device: Option<String>,
    /// The dtype of the run.
    pub dtype: Dtype,
    /// Strict (f32 means f32: no TF32, no kernel chosen by timing, no fusion), or TF32 on CUDA's tensor cores.
    pub precision: Precision,
}

impl Spec {
    /// What the common keys of a config ask for.
    pub fn of(common: &Common) -> Spec {
        Spec {
            backend: common.backend.clone(),
            device: common.device.as_ref().map(ToString::to_string),
            dtype: common.dtype,
            precision: common.precision,
        }
    }
}

/// What ran: for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// One of [`BACKENDS`].
    pub name: String,
    /// The adapter or processor.
    pub device: String,
    /// The driver, where there is one.
    pub driver: Option<String>,
    /// What turned kernels into machine code, where something did at run time.
    pub compiler: Option<String>,
}

/// A backend ready to compute.
pub struct Engine<B: Backend> {
    /// The device.
    pub device: B::Device,
    /// Matrix product at the precision that was asked for.
    pub matmul: MatMul<B>,
    /// How stored bf16 goes up for a run in f32, where the device is not the host's memory: widened there, it is half as
    /// much to carry. `None`: the host converts.
    pub widen_bf16: Option<WidenBf16<B>>,
    /// What it is.
    pub info: Info,
    /// The largest tensor it can hold, in bytes, where there is a limit.
    pub max_tensor_bytes: Option<usize>,
}

impl<B: Backend> Engine<B> {
    /// Whether its tensors lie in the host's memory.
    pub fn on_host(&self) -> bool {
        self.widen_bf16.is_none()
    }
}

/// Something to be done on whichever backend a config names.
pub trait Task {
    /// What comes out.
    type Output;
    /// Does it. Generic: the same code on every backend.
    fn run<B: Backend>(self, engine: Engine<B>) -> Self::Output;
}

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
    if spec.precision == Precision::Tf32 && (spec.backend != "cuda" || spec.dtype != Dtype::F32) {
        return Err(BackendError::Tf32 { backend: spec.backend.clone(), dtype: spec.dtype });
    }
    match spec.backend.as_str() {
        #[cfg(feature = "flex")]
        "flex" => selftest::then_run(spec, flex::engine(spec)?, task),
        #[cfg(feature = "ndarray")]
        "ndarray" => selftest::then_run(spec, ndarray::engine(spec)?, task),
        #[cfg(feature = "wgpu")]
        "wgpu" => selftest::then_run(spec, wgpu::engine(spec)?, task),
        #[cfg(feature = "cuda")]
        "cuda" => selftest::then_run(spec, cuda::engine(spec)?, task),
        other => Err(BackendError::NotBuilt { name: other.to_string() }),
    }
}

/// Where right answers come from: f64 on the fastest CPU backend that was built in.
pub fn referee() -> Spec {
    let backend = if cfg!(feature = "flex") { "flex" } else { "ndarray" };
    Spec { backend: backend.to_string(), device: None, dtype: Dtype::F64, precision: Precision::Strict }
}

/// Runs `task` on the [`referee`], and is compiled for no other backend.
///
/// # Errors
/// It was not built in, or failed its self-test.
pub fn on_referee<T: Task>(task: T) -> Result<T::Output, BackendError> {
    let spec = referee();
    #[cfg(feature = "flex")]
    return selftest::then_run(&spec, flex::engine(&spec)?, task);
    #[cfg(all(feature = "ndarray", not(feature = "flex")))]
    return selftest::then_run(&spec, ndarray::engine(&spec)?, task);
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

/// A CPU backend has one device, and naming another is a mistake worth saying.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn cpu_device(spec: &Spec) -> Result<(), BackendError> {
    match spec.device.as_deref() {
        None | Some("cpu") => Ok(()),
        Some(other) => Err(BackendError::Device {
            backend: spec.backend.clone(),
            device: other.to_string(),
            expected: "\"cpu\", or no device key".to_string(),
        }),
    }
}

/// What a CPU backend says of itself.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn cpu_info(name: &str) -> Info {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let device = format!("cpu ({}, {threads} threads)", std::env::consts::ARCH);
    Info { name: name.to_string(), device, driver: None, compiler: None }
}
