//! Every reader of Loupe's, to be fed with files that nobody thought of.
//!
//! A [`Kind`] is a kind of file: how it is read, to the last value, and what its inside is. Seeds, small and right, lie in
//! `corpus/`, one folder a kind. Two things drive the same kinds:
//!
//! - `tests/mutations.rs`, on any Rust: so and so many mutations of each kind, the same ones every time. It says which input
//!   panics, takes five seconds or a gigabyte. More of them: docs/testing.md.
//! - `fuzz/`, for cargo-fuzz on a nightly Rust: libFuzzer looks for what reaches new code.

#![forbid(unsafe_code)]

mod kinds;
mod mutate;

use std::path::{Path, PathBuf};

pub use kinds::{KINDS, Kind};
pub use mutate::Mutator;

/// A folder in which a kind's files are read, one after the other, with the right ones beside them.
#[derive(Debug)]
pub struct Reader {
    kind: &'static Kind,
    path: PathBuf,
}

impl Reader {
    /// For the kind called `name`, in `folder`. `None` where there is no such kind.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn new(name: &str, folder: &Path) -> std::io::Result<Option<Reader>> {
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else { return Ok(None) };
        for (name, bytes) in kind.beside {
            std::fs::write(folder.join(name), bytes)?;
        }
        Ok(Some(Reader { kind, path: folder.join(kind.file) }))
    }

    /// Reads a file of these `bytes`; what is said where it is refused.
    ///
    /// # Errors
    /// The reader's own, as a text.
    pub fn read(&self, bytes: &[u8]) -> Result<(), String> {
        std::fs::write(&self.path, bytes).map_err(|error| error.to_string())?;
        (self.kind.read)(&self.path)
    }
}
