//! burn-ndarray: the CPU, f64 and f32. With f64 it is the referee.

use burn::tensor::ops::FloatTensorOps;
use burn_ndarray::{NdArray, NdArrayDevice};

use crate::{BackendError, Opened, Spec, cpu};

#[inline] // see `dispatch`
pub(crate) fn open(spec: &Spec) -> Result<Opened<NdArray>, BackendError> {
    cpu::device(spec)?;
    Ok(Opened {
        device: NdArrayDevice::Cpu,
        matmul: <NdArray>::float_matmul,
        widen_bf16: None,
        info: cpu::info("ndarray"),
        max_tensor_bytes: None,
    })
}
