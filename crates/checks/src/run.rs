//! From a config to text, findings and a report.

use std::fmt::Write as _;

use loupe_checkpoint::Checkpoint;
use loupe_config::{Check, Common, Device, Input, ModelRef, Request};
use loupe_engine::Info;
use loupe_judge::Verdicts;
use loupe_report::{Backend, Loupe, Model, Report, SCHEMA, TensorSummary};
use loupe_spec::{HostTensor, LONGEST_ECHO};
use serde_json::{Map, Value, json};

use crate::{CheckError, attn, compare, embed, explain, export, layer_out, names, rope, trace_check, weights};

/// What a check has to say.
pub struct Outcome {
    /// For people.
    pub text: String,
    /// 0, or 1 for a check's own finding, or what the verdicts say.
    pub exit_code: u8,
    /// What `output` writes.
    pub files: Files,
}

/// What a check leaves behind.
pub enum Files {
    /// `export` has written its folder itself.
    None,
    /// A report and its tensors.
    Report(Box<Report>, Vec<(String, HostTensor)>),
    /// The verdicts of a comparison.
    Verdicts(Verdicts),
    /// A JSON document.
    Document(Value),
}

/// What a check hands back before it is dressed as an [`Outcome`].
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

/// Runs the check that `request` asks for. Writes nothing, `export`'s folder excepted.
///
/// # Errors
/// Whatever kept it from running; see [`CheckError`].
pub fn run(request: &Request) -> Result<Outcome, CheckError> {
    let common = &request.common;
    let done = match &request.check {
        Check::Embed { model, input } => embed::run(model, input, common)?,
        Check::Attn { model, input, layer } => attn::run(model, input, *layer, common)?,
        Check::Weights { model, target, against } => weights::run(model, target, against.as_deref(), common)?,
        Check::Rope { model, pos, dim, theta } => rope::run(model, *pos, *dim, *theta, common)?,
        Check::LayerOut { model, input, layers, token } => layer_out::run(model, input, layers, *token, common)?,
        Check::Trace { model, input, layers, probes } => {
            trace_check::run(model, input, layers.as_deref(), probes.as_deref(), common)?
        }
        Check::Export { model, output } => {
            let text = export::run(model, output, common)?;
            return Ok(Outcome { text, exit_code: 0, files: Files::None });
        }
        Check::Names { candidate, model, names: entries } => {
            let (text, mapping) = names::run(candidate, model.as_ref(), entries)?;
            return Ok(Outcome { text, exit_code: 0, files: Files::Document(mapping) });
        }
        Check::Explain { id } => {
            let (text, catalogue) = explain::run(id.as_deref())?;
            return Ok(Outcome { text, exit_code: 0, files: Files::Document(catalogue) });
        }
        Check::Compare(asked) => {
            let (text, verdicts) = compare::run(asked, common.output.as_deref())?;
            let exit_code = verdicts.exit_code;
            return Ok(Outcome { text, exit_code, files: Files::Verdicts(verdicts) });
        }
    };
    let mut out = String::new();
    let how = if request.inferred {
        let keys: Vec<&str> =
            request.document.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
        format!(" (no \"check\" key: meant by its keys {})", keys.join(", "))
    } else {
        String::new()
    };
    let _ = writeln!(out, "loupe {}{how}", request.check.name());
    out.push_str(&done.text);
    for finding in &done.findings {
        let _ = writeln!(out, "\nFINDING: {finding}");
    }
    if let Some(next) = &done.next {
        let _ = writeln!(out, "\nnext: {}", short(next));
    }
    let report = Report {
        schema: SCHEMA.to_string(),
        loupe: Loupe { version: env!("CARGO_PKG_VERSION").to_string(), burn: "0.21.0".to_string() },
        config: as_run(request),
        model: done.model,
        token_ids: done.token_ids,
        backend: Backend {
            name: done.info.name,
            device: done.info.device,
            driver: done.info.driver,
            compiler: done.info.compiler,
        },
        dtype: common.dtype,
        precision: common.precision.name().to_string(),
        tensors: done.kept.summaries,
        timings_s: done.timings,
        findings: done.findings,
    };
    let exit_code = u8::from(!report.findings.is_empty());
    Ok(Outcome { text: out, exit_code, files: Files::Report(Box::new(report), done.kept.tensors) })
}

/// The config `next` as a line to copy. A prompt of a page is not printed again.
pub(crate) fn short(next: &Value) -> String {
    let mut keys = next.as_object().cloned().unwrap_or_default();
    let long = |key: &&str| keys.get(*key).is_some_and(|value| value.to_string().chars().count() > LONGEST_ECHO);
    match ["prompt", "token_ids"].into_iter().find(long) {
        None => next.to_string(),
        Some(key) => {
            keys.remove(key);
            format!("{} and the \"{key}\" of this config", Value::Object(keys))
        }
    }
}

/// The config as run: the check that was meant is named.
fn as_run(request: &Request) -> Value {
    let mut config = request.document.clone();
    if let Some(keys) = config.as_object_mut() {
        keys.entry("check").or_insert_with(|| request.check.name().name().into());
    }
    config
}

/// The report's `model`.
pub(crate) fn model_of(checkpoint: &Checkpoint, id: Option<&str>) -> Model {
    Model {
        id: checkpoint.model().to_string(),
        revision: checkpoint.revision().map(str::to_string),
        checkpoint_id: id.map(str::to_string),
    }
}

/// A config on the same model, prompt and backend as this one, with `keys` besides: for `next:`.
pub(crate) fn next_config(check: &str, model: &ModelRef, input: Option<&Input>, common: &Common, keys: Value) -> Value {
    let mut config = Map::new();
    config.insert("check".into(), check.into());
    config.insert("model".into(), model.id.clone().into());
    if let Some(revision) = &model.revision {
        config.insert("revision".into(), revision.clone().into());
    }
    match input {
        Some(Input::Prompt(prompt)) => config.insert("prompt".into(), prompt.clone().into()),
        Some(Input::TokenIds(ids)) => config.insert("token_ids".into(), json!(ids)),
        None => None,
    };
    if let Value::Object(keys) = keys {
        config.extend(keys);
    }
    let defaults = Common::default();
    if common.backend != defaults.backend {
        config.insert("backend".into(), common.backend.clone().into());
    }
    if common.dtype != defaults.dtype {
        config.insert("dtype".into(), common.dtype.name().into());
    }
    match &common.device {
        Some(Device::Name(name)) => config.insert("device".into(), name.clone().into()),
        Some(Device::Index(index)) => config.insert("device".into(), (*index).into()),
        None => None,
    };
    if common.precision != defaults.precision {
        config.insert("precision".into(), common.precision.name().into());
    }
    // The checks that run no model take none.
    if !common.mistakes.is_empty() && input.is_some() {
        config.insert("mistakes".into(), json!(common.mistakes));
    }
    Value::Object(config)
}
