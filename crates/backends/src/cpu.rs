//! What the backends of the CPU have in common.

use crate::{BackendError, Info, Spec};

/// A CPU backend has one device, and naming another is a mistake worth saying.
pub fn device(spec: &Spec) -> Result<(), BackendError> {
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
pub fn info(name: &str) -> Info {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let device = format!("cpu ({}, {threads} threads)", std::env::consts::ARCH);
    Info { name: name.to_string(), device, driver: None, compiler: None }
}
