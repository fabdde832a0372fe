//! Why a report or a file of tensors could not be written or read.

use std::io;
use std::path::{Path, PathBuf};

use loupe_spec::{echo, echo_path, hint};

/// Why a report or a file of tensors could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The system said no.
    #[error("cannot {action} {}: {source}", echo_path(path))]
    Io {
        /// "read", "write", "rename", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The JSON is no report.
    #[error("{} is not a report of Loupe: {}", echo_path(path), echo(&source.to_string()))]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A report of another version, or no report.
    #[error(
        "{} {}",
        echo_path(path),
        match found {
            None => "is no report of Loupe's: it has no \"schema\"".to_string(),
            Some(found) => format!(
                "has the schema \"{}\", expected \"{expected}\"; run the check again with this version of Loupe",
                echo(found)
            ),
        }
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says, if it says anything.
        found: Option<String>,
        /// [`crate::SCHEMA`].
        expected: &'static str,
    },
    /// The bytes are no safetensors file.
    #[error("{} is not a whole safetensors file: {what}", echo_path(path))]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The JSON and the tensors are not of one run.
    #[error("{} does not go with its JSON: {what}; run the check again", echo_path(path))]
    Disagree {
        /// The safetensors file.
        path: PathBuf,
        /// The first difference.
        what: String,
    },
    /// A name that the file does not have.
    #[error(
        "{} holds no tensor \"{}\"{}",
        echo_path(path),
        echo(name),
        hint(nearest.as_deref())
    )]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The name in the file most like it.
        nearest: Option<String>,
    },
    /// An element type that Loupe cannot read.
    #[error(
        "{}: tensor \"{}\" is {found}, expected F64, F32, F16, BF16, I64, I32, U32, U8 or BOOL",
        echo_path(path),
        echo(name)
    )]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type, as safetensors spells it.
        found: String,
    },
    /// A tensor that cannot be written as it is.
    #[error("cannot write the tensor \"{}\": {what}", echo(name))]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        what: String,
    },
}

impl ReportError {
    /// For `map_err`: that `action` on `path` failed.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ReportError {
        move |source| ReportError::Io { action, path: path.to_path_buf(), source }
    }
}
