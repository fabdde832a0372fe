//! Why no stimuli were designed.

use loupe_checkpoint::CheckpointError;
use loupe_spec::{ReplayError, echo};

/// Each cause in its own words.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum StimulusError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("config.json is no longer readable: {}", echo(&.0.to_string()))]
    ConfigJson(serde_json::Error),
    #[error("the config.json of a stimulus would be wrong: {0}")]
    Config(String),
}
