//! Why a check could not run.

use loupe_checkpoint::CheckpointError;
use loupe_report::ReportError;
use loupe_runtime::RuntimeError;
use loupe_spec::{echo, echo_path, hint};

/// Each cause in its own words, plus what only a check can know.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum CheckError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Engine(#[from] RuntimeError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(
        "\"output\": \"{}\" would overwrite {}, which this run reads; name another output", echo_path(.output), echo_path(.file)
    )]
    Overwrite { output: std::path::PathBuf, file: std::path::PathBuf },
    #[error(
        "{}: to judge it would take about {bytes} of memory, and {free} are free (its \"{}\" has the shape {shape:?}); \
         record fewer stages, layers or tokens", echo(.path), echo(.largest)
    )]
    TooLarge {
        path: String,
        bytes: loupe_runtime::Bytes,
        free: loupe_runtime::Bytes,
        largest: String,
        shape: Vec<usize>,
    },
    #[error("layer {layer} is out of range: this model has {layers} layers, 0 to {}", .layers - 1)]
    Layer { layer: usize, layers: usize },
    #[error("token {token} is out of range: the prompt has {tokens} tokens, 0 to {} (or -1 to -{tokens} from the end)", .tokens - 1)]
    Token { token: i64, tokens: usize },
    #[error("token id {id} at position {position} is outside the vocabulary: this model has ids 0 to {}", .vocab_size - 1)]
    TokenId { id: usize, position: usize, vocab_size: usize },
    #[error("\"probes\": \"{}\" matches no probe point of this model in the layers asked for{}", echo(.pattern), hint(.nearest.as_deref()))]
    NoProbe { pattern: String, nearest: Option<String> },
    #[error("\"tensor\": {0}")]
    Tensor(#[from] loupe_spec::UnknownWeight),
    /// The name of no probe point.
    #[error(transparent)]
    Probe(#[from] loupe_spec::UnknownProbe),
    #[error("config.json is no longer readable: {}", echo(&.0.to_string()))]
    ConfigJson(serde_json::Error),
    #[error(transparent)]
    Align(#[from] loupe_candidate::AlignError),
    #[error(transparent)]
    Source(#[from] loupe_candidate::SourceError),
    #[error(transparent)]
    Replay(#[from] loupe_spec::ReplayError),
    #[error(transparent)]
    Judge(#[from] loupe_judge::JudgeError),
    #[error("{}: \"token_ids\" holds {value} at position {position}, expected an integer of 0 or more", echo(.path))]
    NoTokenId { path: String, position: usize, value: f64 },
    #[error("\"names\": no candidate has a tensor \"{}\"{}", echo(.name), hint(.nearest.as_deref()))]
    NoTensor { name: String, nearest: Option<String> },
    #[error(
        "the config's {what} is {}, the saved reference's is {}: both must say the same, or delete one", echo(.config), echo(.report)
    )]
    OtherReference { what: String, config: String, report: String },
    #[error(
        "the saved reference was made from checkpoint {}, and \"{}\" is {found} now: not the same files; make \
         the reference again, or name the model that it was made from", echo(.report), echo(.model)
    )]
    OtherCheckpoint { model: String, found: String, report: String },
    #[error("{}: nothing to compare: {}", echo(.path), if .found.is_empty() { "the report has no tensors".to_string() } else { format!("none of {} is a value of this model", loupe_judge::found(.found)) })]
    NoValues { path: String, found: Vec<String> },
    #[error(transparent)]
    Stimulus(#[from] loupe_stimulus::StimulusError),
    #[error("there are no token_ids in {}, and the config gives no prompt: add \"prompt\" or \"token_ids\"", echo(.path))]
    NoTokens { path: String },
    #[error("{} is no report of Loupe's and does not name its model: add \"model\"", echo(.path))]
    NoModel { path: String },
    #[error("\"policy\": no mistake is called \"{}\"{}", echo(.id), hint(.nearest.as_deref()))]
    NoMistake { id: String, nearest: Option<String> },
    #[error("\"id\": no mistake, number or arithmetic is called \"{}\"{}; {{\"check\": \"explain\"}} lists them", echo(.id), hint(.nearest.as_deref()))]
    NoEntry { id: String, nearest: Option<String> },
    #[error("there is no file {}, and no report of that name ({})", echo(.path), echo(.json))]
    NoCandidate { path: String, json: String },
    #[error(
        "\"verdict\": {path}: {reason}; expected the JSON that {{\"check\": \"compare\", \"output\": …}} of this version of Loupe writes"
    )]
    NoVerdict { path: String, reason: String },
    #[error("the program's own file, whose digest stands in what \"emit\" writes, cannot be read: {reason}")]
    OwnProgram { reason: String },
    #[error("the page cannot be made: {0}")]
    Page(#[from] loupe_page::PageError),
    #[error("{}: {reason}", echo(.path))]
    Against { path: String, reason: String },
}

impl CheckError {
    /// 2: could not run. 3: the backend ran and broke down. 5: it is not here.
    pub fn exit_code(&self) -> u8 {
        match self {
            CheckError::Engine(error) if error.is_fault() => 3,
            CheckError::Engine(error) if error.is_absent() => 5,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use loupe_runtime::BackendError;

    use super::*;

    /// A matrix tells by the code alone that a backend is absent.
    #[test]
    fn what_is_not_here_has_an_exit_code_of_its_own() {
        let code = |error: BackendError| CheckError::from(RuntimeError::from(error)).exit_code();
        assert_eq!(code(BackendError::NotBuilt { name: "cuda".to_string() }), 5);
        let (backend, reason, looked_for) = ("wgpu".to_string(), "no adapter".to_string(), "Vulkan".to_string());
        assert_eq!(code(BackendError::Absent { backend, reason, looked_for }), 5);
        assert_eq!(code(BackendError::Unknown { name: "metal".to_string(), nearest: None }), 2);
    }
}
