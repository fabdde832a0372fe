//! burn-cuda: NVIDIA GPUs. Builds without a toolkit; needs libcuda and NVRTC where it runs.

use burn_cuda::{Cuda, CudaDevice};
use cudarc::driver::result::{device as driver_device, init};
use loupe_config::MatmulPrecision;

use crate::cube::{cache_kernels, matmul_strict, matmul_tf32, widen_bf16};
use crate::{BackendError, Info, Opened, Spec};
use loupe_spec::guarded;

#[inline] // see `dispatch`
pub(crate) fn open(spec: &Spec) -> Result<Opened<Cuda>, BackendError> {
    let index = match spec.device.as_deref() {
        None => 0,
        Some(text) => text.parse::<usize>().map_err(|_| BackendError::Device {
            backend: spec.backend.clone(),
            device: text.to_string(),
            expected: "a device index: 0, 1, …".to_string(),
        })?,
    };
    let name = look_for_driver(spec, index)?;
    cache_kernels();
    let info = Info {
        name: spec.backend.clone(),
        device: name,
        driver: Some(driver_version()),
        compiler: Some("nvrtc".to_string()),
    };
    let matmul = match spec.precision {
        MatmulPrecision::Strict => matmul_strict,
        MatmulPrecision::Tf32 => matmul_tf32,
    };
    Ok(Opened { device: CudaDevice { index }, matmul, widen_bf16: Some(widen_bf16), info, max_tensor_bytes: None })
}

/// burn panics where libcuda, NVRTC or the device is missing, so they are looked for first.
fn look_for_driver(spec: &Spec, index: usize) -> Result<String, BackendError> {
    let absent = |reason: String, looked_for: &str| BackendError::Absent {
        backend: spec.backend.clone(),
        reason,
        looked_for: looked_for.to_string(),
    };
    let driver = "libcuda.so.1 (NVIDIA's driver) on the loader's path";
    // A library that is not there makes cudarc panic, not return.
    let count = guarded(|| init().and_then(|()| driver_device::get_count()))
        .map_err(|_| absent("the CUDA driver library is missing".to_string(), driver))?
        .map_err(|error| absent(format!("the CUDA driver does not start ({error:?})"), driver))?;
    let nvrtc = "libnvrtc.so (CUDA toolkit's run-time compiler) on the loader's path";
    guarded(|| cudarc::nvrtc::result::create_program(c"extern \"C\" __global__ void k() {}", None))
        .map_err(|_| absent("NVRTC is missing".to_string(), nvrtc))?
        .map_err(|error| absent(format!("NVRTC does not start ({error:?})"), nvrtc))?;
    if index >= usize::try_from(count).unwrap_or(0) {
        return Err(BackendError::Device {
            backend: spec.backend.clone(),
            device: index.to_string(),
            expected: format!("an index below {count}: that many CUDA devices are here"),
        });
    }
    let ordinal = i32::try_from(index).unwrap_or(i32::MAX);
    let name = driver_device::get(ordinal).and_then(driver_device::get_name);
    name.map_err(|error| absent(format!("CUDA device {index} does not answer ({error:?})"), driver))
}

/// As the kernel module reports it; the CUDA API only tells the toolkit version the driver supports.
fn driver_version() -> String {
    std::fs::read_to_string("/proc/driver/nvidia/version")
        .ok()
        .and_then(|text| text.lines().next().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")))
        .unwrap_or_else(|| "unknown".to_string())
}
