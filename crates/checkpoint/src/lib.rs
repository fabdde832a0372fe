//! A Gemma 2 checkpoint, from wherever it is, to tensors on the host.
//!
//! `model` names a folder in Hugging Face layout, a hub id, or `builtin:tiny`, the small model inside the program.
//! [`Checkpoint::open`] reads config.json only; the tokenizer and the tensors are opened when asked for, and a
//! tensor's data is read (from a memory map) when [`Tensors::read`] is called, for the rows asked for.
//!
//! The table of tensor names and shapes is `loupe-spec`'s; this crate checks files against it. It knows no burn.

mod builtin;
mod change;
mod checkpoint;
mod convert;
mod entry;
mod error;
mod export;
mod finite;
mod growth;
mod hash;
mod hub;
mod index;
mod link;
mod map;
mod names;
mod prng;
mod random;
mod shard;
mod source;
mod table;
mod tensors;
mod tokens;
mod writer;

#[cfg(test)]
mod testing;

pub use change::Change;
pub use checkpoint::Checkpoint;
pub use entry::{Entry, RowSelection};
pub use error::CheckpointError;
pub use hash::sha256_hex;
pub use index::files_of;
pub use link::Linked;
pub use random::write_random;
pub use tensors::Tensors;
