//! What a check hands back.

use loupe_checkpoint::Checkpoint;
use loupe_report::{Model, Report, TensorSummary};
use loupe_runtime::Info;
use loupe_spec::HostTensor;
use serde_json::Value;

/// Before it is dressed as text and report.
pub(crate) struct Done {
    pub text: String,
    pub findings: Vec<String>,
    /// The config to run next in the debugging process.
    pub next: Option<Value>,
    pub model: Model,
    pub token_ids: Vec<usize>,
    pub info: Info,
    pub kept: Kept,
    pub timings: Vec<(String, f64)>,
}

/// Tensors and the line that each has in a report: statistics are computed once, for text and report alike.
pub(crate) struct Kept {
    pub tensors: Vec<(String, HostTensor)>,
    pub summaries: Vec<(String, TensorSummary)>,
}

impl Kept {
    pub fn of(tensors: Vec<(String, HostTensor)>) -> Kept {
        Kept { summaries: Report::summaries(&tensors), tensors }
    }
}

/// The report's `model`.
pub(crate) fn model_of(checkpoint: &Checkpoint, id: Option<&str>) -> Model {
    Model {
        id: checkpoint.model().to_string(),
        revision: checkpoint.revision().map(str::to_string),
        checkpoint_id: id.map(str::to_string),
    }
}
