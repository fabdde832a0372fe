//! Why a backend did not run.

use loupe_spec::{Dtype, echo, hint};

/// Each says what was asked, what there is, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Not a name this program knows.
    #[error("no backend is called \"{}\"{}; there are flex, ndarray, wgpu and cuda", echo(.name), hint(.nearest.as_deref()))]
    Unknown {
        /// As given.
        name: String,
        /// Most like it.
        nearest: Option<String>,
    },
    /// The name is known, but the program was built without it.
    #[error("this loupe was built without the {name} backend; build it with `--features {name}`")]
    NotBuilt {
        /// The backend.
        name: String,
    },
    /// The backend gets this dtype wrong, or not at all.
    #[error("backend {backend} does not compute right in {dtype}; it does {}; {dtype} runs on {}", names(.dtypes), .can.join(", "))]
    Dtype {
        /// The backend.
        backend: String,
        /// What was asked.
        dtype: Dtype,
        /// Backends that do it.
        can: Vec<String>,
        /// What this backend does.
        dtypes: Vec<Dtype>,
    },
    /// TF32 anywhere but on CUDA in f32.
    #[error("precision \"tf32\" is for backend cuda with dtype f32; this is {backend} with {dtype}: use \"strict\"")]
    Tf32 {
        /// The backend.
        backend: String,
        /// The dtype.
        dtype: Dtype,
    },
    /// Not a device of this backend.
    #[error("backend {backend} has no device \"{}\"; expected {expected}", echo(.device))]
    Device {
        /// The backend.
        backend: String,
        /// As given.
        device: String,
        /// What is there.
        expected: String,
    },
    /// No adapter, driver or run-time compiler.
    #[error("backend {backend} is not available here: {reason}; looked for {looked_for}")]
    Absent {
        /// The backend.
        backend: String,
        /// What is missing.
        reason: String,
        /// Where it was looked for.
        looked_for: String,
    },
    /// It computed, and computed wrong.
    #[error(
        "backend {backend} ({device}) fails its self-test in {dtype}: {op} is off by {error:.1e} relative to f64, allowed {allowed:.1e}; its numbers cannot be trusted"
    )]
    SelfTest {
        /// The backend.
        backend: String,
        /// The adapter.
        device: String,
        /// The dtype.
        dtype: Dtype,
        /// The operation.
        op: String,
        /// Relative L2 error found.
        error: f64,
        /// The bound.
        allowed: f64,
    },
    /// It panicked or its queue reported an error.
    #[error("backend {backend} ({device}) broke down in {dtype}: {reason}")]
    Broken {
        /// The backend.
        backend: String,
        /// The adapter.
        device: String,
        /// The dtype.
        dtype: Dtype,
        /// What it said.
        reason: String,
    },
}

impl BackendError {
    /// Whether the backend is there and computes nonsense, as against not being there or not doing what was asked.
    pub fn is_fault(&self) -> bool {
        matches!(self, BackendError::SelfTest { .. } | BackendError::Broken { .. })
    }
}

fn names(dtypes: &[Dtype]) -> String {
    dtypes.iter().map(|dtype| dtype.name()).collect::<Vec<_>>().join(", ")
}
