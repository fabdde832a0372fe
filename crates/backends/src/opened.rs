//! What a backend is handed and what it hands back: a [`Spec`], an [`Opened`], a [`Task`].

use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{Device, FloatTensor};
use loupe_config::{Common, MatmulPrecision};
use loupe_spec::Dtype;

/// `lhs @ rhs` over the last two axes, on burn's primitive tensors.
pub type MatMul<B> = fn(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>;

/// A bf16 tensor of the host, on the device and in f32.
pub type WidenBf16<B> = fn(TensorData, &Device<B>) -> FloatTensor<B>;

/// What a config says about where to run.
#[derive(Clone, Debug)]
pub struct Spec {
    /// One of [`loupe_config::BACKENDS`].
    pub backend: String,
    /// Which device of the backend: `cpu`, `discrete:0`, `integrated:0`, `virtual:0` for wgpu; an index for cuda.
    pub device: Option<String>,
    /// The dtype of the run.
    pub dtype: Dtype,
    /// Strict (f32 means f32: no TF32, no kernel chosen by timing, no fusion), or TF32 on CUDA's tensor cores.
    pub precision: MatmulPrecision,
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
    /// One of [`loupe_config::BACKENDS`].
    pub name: String,
    /// The adapter or processor.
    pub device: String,
    /// The driver, where there is one.
    pub driver: Option<String>,
    /// What turned kernels into machine code, where something did at run time.
    pub compiler: Option<String>,
}

/// A backend ready to compute.
pub struct Opened<B: Backend> {
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

impl<B: Backend> Opened<B> {
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
    fn run<B: Backend>(self, backend: Opened<B>) -> Self::Output;
}
