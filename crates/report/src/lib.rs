//! The report of one run, `loupe.report/1`: `<prefix>.json` says what ran where, `<prefix>.safetensors` holds what
//! was computed. It is all that crosses from a backend to the judge.
//!
//! A dump of another engine is a safetensors file without the JSON: [`read_safetensors`] reads it.

#![forbid(unsafe_code)]

mod error;
mod header;
mod ordered;
mod read;
mod schema;
mod summary;
mod tensors;
mod write;
mod written;

pub use error::ReportError;
pub use read::{files_read, is_report, read};
pub use schema::{Backend, Loupe, Model, Report, SCHEMA};
pub use summary::TensorSummary;
pub use tensors::{TensorFile, read_safetensors};
pub use write::{write, write_doppler, write_html, write_json, write_with_page};
pub use written::Written;
