//! burn-flex: the CPU, every dtype. The default.

use burn::tensor::ops::FloatTensorOps;
use burn_flex::Flex;

use crate::{BackendError, Opened, Spec, cpu};

#[inline] // see `dispatch`
pub(crate) fn open(spec: &Spec) -> Result<Opened<Flex>, BackendError> {
    cpu::device(spec)?;
    let device = <Flex as burn::tensor::backend::BackendTypes>::Device::default();
    // A CPU's matmul is f32 in f32 already.
    Ok(Opened { device, matmul: Flex::float_matmul, widen_bf16: None, info: cpu::info("flex"), max_tensor_bytes: None })
}
