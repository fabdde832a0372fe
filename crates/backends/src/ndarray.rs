//! burn-ndarray: the CPU, f64 and f32. With f64 it is the referee.

use burn::tensor::ops::FloatTensorOps;
use burn_ndarray::{NdArray, NdArrayDevice};

use crate::{BackendError, Engine, Spec, cpu};

#[inline] // see `dispatch`
pub(crate) fn engine(spec: &Spec) -> Result<Engine<NdArray>, BackendError> {
    cpu::device(spec)?;
    Ok(Engine {
        device: NdArrayDevice::Cpu,
        matmul: <NdArray>::float_matmul,
        widen_bf16: None,
        info: cpu::info("ndarray"),
        max_tensor_bytes: None,
    })
}
