//! GPUs: whether one is there, and a first run that compiles everything.

use std::path::Path;

use loupe_report::{Report, Written};
use miette::{Result, miette};
use serde_json::json;

use super::cases::Case;
use super::settings::Run;
use super::{Bench, OUTPUT, measure};
use loupe_matrix::io_error;

/// Where compiled kernels and passed self-tests are kept: `loupe`'s own, CUDA's, and those of NVIDIA's Vulkan and Mesa.
const CACHES: [&str; 4] = ["XDG_CACHE_HOME", "CUDA_CACHE_PATH", "__GL_SHADER_DISK_CACHE_PATH", "MESA_SHADER_CACHE_DIR"];

/// Why `run` cannot be timed on this machine; `None` where it can. CPU backends always can.
pub fn absent(bench: &Bench, run: &Run) -> Result<Option<String>> {
    if !run.on_gpu() {
        return Ok(None);
    }
    let prefix = Path::new(OUTPUT).join("device");
    let mut config = run.keys();
    let rope = json!({"check": "rope", "model": "builtin:tiny", "pos": 6, "dim": 16, "theta": 10000, "output": prefix});
    config.extend(rope.as_object().cloned().unwrap_or_default());
    let path = prefix.with_extension("config.json");
    std::fs::write(&path, json!(config).to_string()).map_err(io_error("write", &path))?;
    if let Err(why) = measure::process(&bench.loupe, &[&path], &[]) {
        return Ok(Some(why.to_string()));
    }
    let json = Written::of(&prefix).json;
    let bytes = std::fs::read(&json).map_err(io_error("read", &json))?;
    let report: Report = serde_json::from_slice(&bytes).map_err(|error| miette!("{}: {error}", json.display()))?;
    let device = report.backend.device;
    Ok(device.contains("llvmpipe").then(|| format!("{device} is no GPU")))
}

/// Empty folders for every cache, by the variables that name them; `None` for a backend that compiles nothing.
pub fn fresh_caches(run: &Run, case: &Case) -> Result<Option<Vec<(String, String)>>> {
    if !run.on_gpu() {
        return Ok(None);
    }
    let root = Path::new(OUTPUT).join("caches");
    let folder = root.join(format!("{}-{}-{}", case.check, run.backend, run.dtype));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(io_error("empty", &folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(io_error("make the folder", &folder))?;
    let folder = folder.canonicalize().map_err(io_error("find", &folder))?;
    Ok(Some(CACHES.map(|name| (name.to_string(), folder.to_string_lossy().into_owned())).to_vec()))
}
