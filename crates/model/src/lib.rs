//! Gemma 2, written once over burn's [`Backend`](burn::tensor::backend::Backend) trait.
//!
//! What the model is stands in [`loupe_spec::gemma2()`], top to bottom, as a graph. `evaluate.rs` runs it: one line an operation,
//! which calls its formula in [`ops`], where shapes, dtypes and source stand beside it. A *mistake* (crate `loupe-mistakes`) is
//! an edit of the graph, or a [`Wrong`] formula at some of its values: this crate holds only the right way. [`Numerics`] says in
//! which dtype each value is held.
//!
//! Nothing here does I/O, reads the environment or knows which backend it runs on.

#![forbid(unsafe_code)]

mod bytes;
mod call;
mod error;
mod evaluate;
mod limits;
mod memory;
mod model;
mod numerics;
pub mod ops;
mod parts;
mod plan;
mod run;
mod step;
mod value;
mod weights;

pub use bytes::Bytes;
pub use call::{Call, Computed, Formulas, Right, Wrong};
pub use error::{ModelError, ObserverError, WeightError};
pub use limits::Limits;
pub use model::{Model, Run};
pub use numerics::{Kernels, Native, Numerics, burn_dtype};
pub use run::Observe;
pub use value::{DeviceTrace, SomeRows, Value};
pub use weights::{Read, Reads, Weights};
