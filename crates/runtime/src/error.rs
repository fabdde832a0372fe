//! Why nothing ran, or not to the end.

use loupe_backends::BackendError;
use loupe_checkpoint::CheckpointError;
use loupe_model::ModelError;

/// Each cause in its own words.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum RuntimeError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("\"mistakes\": {0}")]
    Mistake(String),
    #[error("the device reported an error after the run: {0}")]
    Device(String),
}

impl RuntimeError {
    /// Whether the backend is not on this machine, or not in this program: exit code 5, where other errors have 2.
    pub fn is_absent(&self) -> bool {
        matches!(self, RuntimeError::Backend(BackendError::Absent { .. } | BackendError::NotBuilt { .. }))
    }

    /// Whether the backend is at fault: exit code 3.
    pub fn is_fault(&self) -> bool {
        match self {
            RuntimeError::Backend(error) => error.is_fault(),
            RuntimeError::Device(_) => true,
            RuntimeError::Checkpoint(_) | RuntimeError::Model(_) | RuntimeError::Mistake(_) => false,
        }
    }
}
