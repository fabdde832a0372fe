//! burn-wgpu on Vulkan: any GPU with a Vulkan driver, or lavapipe on a CPU.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use ::wgpu::{Adapter, AdapterInfo, Backends, DeviceType, Instance, InstanceDescriptor};
use burn_wgpu::graphics::Vulkan as VulkanApi;
use burn_wgpu::{Vulkan, WgpuDevice, init_setup};

use crate::cube::{cache_kernels, matmul_strict, widen_bf16};
use crate::{BackendError, Info, Opened, Spec};
use loupe_spec::guarded;

#[inline] // see `dispatch`
pub(crate) fn open(spec: &Spec) -> Result<Opened<Vulkan>, BackendError> {
    cache_kernels();
    let device = device(spec)?;
    let (info, max_tensor_bytes) = set_up(spec, &device)?;
    Ok(Opened {
        device,
        matmul: matmul_strict,
        widen_bf16: Some(widen_bf16),
        info,
        max_tensor_bytes: Some(max_tensor_bytes),
    })
}

/// burn panics where the adapter it is asked for is not there, so the adapters are listed first.
fn device(spec: &Spec) -> Result<WgpuDevice, BackendError> {
    let found = adapters();
    let listing: Vec<String> =
        found.iter().map(|adapter| format!("{} ({:?})", adapter.name, adapter.device_type)).collect();
    if found.is_empty() {
        return Err(BackendError::Absent {
            backend: spec.backend.clone(),
            reason: "no Vulkan adapter".to_string(),
            looked_for: "a Vulkan loader (libvulkan.so.1; Debian: libvulkan1) and a driver (a GPU's own, or \
                         mesa-vulkan-drivers for lavapipe on the CPU; VK_DRIVER_FILES pins one)"
                .to_string(),
        });
    }
    let wrong = |expected: String| BackendError::Device {
        backend: spec.backend.clone(),
        device: spec.device.clone().unwrap_or_default(),
        expected: format!("{expected}; this machine has {}", listing.join(", ")),
    };
    let Some(name) = spec.device.as_deref() else { return Ok(WgpuDevice::DefaultDevice) };
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, index.parse::<usize>().map_err(|_| wrong("a number after the colon".into()))?),
        None => (name, 0),
    };
    let (device, wanted) = match kind {
        "cpu" => (WgpuDevice::Cpu, DeviceType::Cpu),
        "discrete" => (WgpuDevice::DiscreteGpu(index), DeviceType::DiscreteGpu),
        "integrated" => (WgpuDevice::IntegratedGpu(index), DeviceType::IntegratedGpu),
        "virtual" => (WgpuDevice::VirtualGpu(index), DeviceType::VirtualGpu),
        _ => return Err(wrong("cpu, discrete:N, integrated:N or virtual:N".to_string())),
    };
    let of_kind = found.iter().filter(|adapter| adapter.device_type == wanted).count();
    if index >= of_kind {
        return Err(wrong(format!("an index below {of_kind} for {kind}")));
    }
    Ok(device)
}

/// The machine's adapters, looked up once a process.
fn adapters() -> &'static [AdapterInfo] {
    static FOUND: OnceLock<Vec<AdapterInfo>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let descriptor =
            InstanceDescriptor { backends: Backends::VULKAN, ..InstanceDescriptor::new_without_display_handle() };
        let adapters = pollster::block_on(Instance::new(descriptor).enumerate_adapters(Backends::VULKAN));
        adapters.iter().map(Adapter::get_info).collect()
    })
}

/// burn's device, made once a process: a second set-up of the same device is an error there.
fn set_up(spec: &Spec, device: &WgpuDevice) -> Result<(Info, usize), BackendError> {
    static DONE: Mutex<Option<HashMap<WgpuDevice, (Info, usize)>>> = Mutex::new(None);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let done = done.get_or_insert_default();
    if let Some(known) = done.get(device) {
        return Ok(known.clone());
    }
    let setup =
        guarded(|| init_setup::<VulkanApi>(device, Default::default())).map_err(|reason| BackendError::Absent {
            backend: spec.backend.clone(),
            reason: format!("the adapter could not be opened ({reason})"),
            looked_for: "a Vulkan 1.2 device with compute".to_string(),
        })?;
    let adapter = setup.adapter.get_info();
    let info = Info {
        name: spec.backend.clone(),
        device: adapter.name,
        driver: Some(format!("{} {}", adapter.driver, adapter.driver_info).trim().to_string()),
        compiler: Some("spirv".to_string()),
    };
    let limits = setup.device.limits();
    let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let known = (info, usize::try_from(bytes).unwrap_or(usize::MAX));
    done.insert(device.clone(), known.clone());
    Ok(known)
}
