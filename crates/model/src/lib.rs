//! Gemma 2, written once over burn's [`Backend`](burn::tensor::backend::Backend) trait.
//!
//! Read [`layer`] first: one decoder layer, top to bottom, one line a stage. Each line calls one operation of
//! [`ops`], where the formula, the shapes and the source stand. [`Operations`] is the table through which the
//! layer calls them: its default is Gemma 2, and a *mistake* (crate `loupe-mistakes`) is a replaced entry, so
//! this crate holds only the right way. [`Precision`] says in which dtype each value is held.
//!
//! Nothing here does I/O, reads the environment or knows which backend it runs on.

pub mod layer;
mod limits;
mod memory;
mod model;
mod operations;
pub mod ops;
mod parts;
mod plan;
mod precision;
mod value;
mod weights;

pub use limits::Limits;
pub use memory::Bytes;
pub use model::{Model, ModelError, Observe, ObserverError, Run};
pub use operations::{Constants, Operations, Table};
pub use precision::{Arithmetic, Native, Precision, burn_dtype};
pub use value::{Due, Inputs, SomeRows, Value, Values};
pub use weights::{Chunk, Read, WeightError, Weights};
