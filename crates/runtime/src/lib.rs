//! The model on a backend, behind functions that name no backend type.
//!
//! [`trace`](fn@trace) runs stages of the model, [`Referee`] recomputes them from recorded inputs, [`rotate`](fn@rotate) its rotation alone, [`round_trip`](fn@round_trip) takes
//! tensors to the device and back. Each is a task that [`loupe_backends::dispatch`] runs on the backend of a config;
//! data goes in and comes out as [`HostTensor`](loupe_spec::HostTensor)s.
//!
//! No generic leaves this crate: burn's kernels for four backends are compiled here, once, and whoever checks,
//! compares or tests compiles in seconds.

#![forbid(unsafe_code)]

mod error;
mod formed;
mod host;
mod loader;
mod memory;
mod plant;
mod progress;
mod replay;
mod rotate;
mod round_trip;
mod simulate;
mod trace;

pub use error::RuntimeError;
pub use loupe_backends::{BackendError, Info, Spec, referee};
pub use loupe_model::ops::rope::{Rotations, rotations};
pub use loupe_model::{Bytes, Limits, ModelError};
pub use memory::free_memory;
pub use plant::{edits, mistakes, plant_in_config, plant_in_prompt, plant_in_tokens};
pub use progress::{Progress, Watch};
pub use replay::Referee;
pub use rotate::{Rotated, rotate};
pub use round_trip::round_trip;
pub use trace::{Recorded, TraceJob, trace};
