//! Why a candidate cannot be read.

use std::path::{Path, PathBuf};

use loupe_report::ReportError;
use loupe_spec::{echo, echo_path};

/// What is wrong with a file, and what would be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum SourceError {
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("cannot read {}: {}", echo_path(.path), echo(&.source.to_string()))]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{} is {what}, and no candidate; a candidate is a report of Loupe's, a safetensors file, an .npy, an .npz, a .pt of \
         torch's, a JSON, a log, a .bin of f32 numbers that is called by what it holds, or a folder of these", echo_path(.path)
    )]
    Other { path: PathBuf, what: &'static str },
    #[error(
        "{} is a bare pickle, or in the format that torch wrote before version 1.6; load it with the library that wrote it, and \
         write a dict of its arrays with numpy.savez or torch.save", echo_path(.path)
    )]
    OldTorch { path: PathBuf },
    #[error(
        "{} is a text in which no line says a tensor, a token and at least three of its numbers{near}; print them so: \
         layer 12, token -1, first 8: 0.1234, -1.2000, …", echo_path(.path)
    )]
    NoNumbers { path: PathBuf, near: String },
    #[error("{}: {}", echo_path(.path), echo(.what))]
    Broken { path: PathBuf, what: String },
}

impl SourceError {
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> SourceError + '_ {
        move |source| SourceError::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn other(path: &Path, what: &'static str) -> SourceError {
        SourceError::Other { path: path.to_path_buf(), what }
    }

    pub(crate) fn broken(path: &Path, what: impl Into<String>) -> SourceError {
        SourceError::Broken { path: path.to_path_buf(), what: what.into() }
    }
}
