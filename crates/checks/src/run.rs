//! From a config to text, findings and a report.

use std::fmt::Write as _;

use loupe_config::{Check, Format, Request};
use loupe_judge::Verdicts;
use loupe_report::{Backend, Loupe, Report, SCHEMA};
use loupe_spec::HostTensor;
use serde_json::{Map, Value};

use crate::next_config::short;
use crate::{CheckError, attn, compare, embed, explain, export, layer_out, names, rejudge, rope, trace_check, weights};

/// The version of burn that the backends are of.
pub const BURN: &str = "0.21.0";

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
    /// A report and its tensors, and the run as another tool takes it where that was asked for.
    Report(Box<Report>, Vec<(String, HostTensor)>, Option<Value>),
    /// The verdicts of a comparison, and the page that shows them where one was asked for.
    Verdicts(Verdicts, Option<String>),
    /// A JSON document.
    Document(Value),
}

/// Runs the check that `request` asks for. Writes nothing, `export`'s folder excepted.
///
/// # Errors
/// Whatever kept it from running; see [`CheckError`].
pub fn run(request: &Request) -> Result<Outcome, CheckError> {
    let common = &request.common;
    let mut emitted = None;
    let done = match &request.check {
        Check::Embed { model, input } => embed::run(model, input, common)?,
        Check::Attn { model, input, layer } => attn::run(model, input, *layer, common)?,
        Check::Weights { model, target, against } => weights::run(model, target, against.as_deref(), common)?,
        Check::Rope { model, pos, dim, theta } => rope::run(model, *pos, *dim, *theta, common)?,
        Check::LayerOut { model, input, layers, token } => layer_out::run(model, input, layers, *token, common)?,
        Check::Trace { model, input, layers, probes, emit } => {
            let (done, written) = trace_check::run(model, input, layers.as_deref(), probes.as_deref(), *emit, common)?;
            emitted = written;
            done
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
            return of_verdicts(compare::run(asked, common.output.as_deref())?, &asked.format);
        }
        Check::Rejudge(asked) => {
            return of_verdicts(rejudge::run(asked)?, &asked.format);
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
        loupe: Loupe { version: env!("CARGO_PKG_VERSION").to_string(), burn: BURN.to_string() },
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
    Ok(Outcome { text: out, exit_code, files: Files::Report(Box::new(report), done.kept.tensors, emitted) })
}

/// What was judged, and the page that shows it where `format` has one.
fn of_verdicts((text, verdicts): (String, Verdicts), format: &[Format]) -> Result<Outcome, CheckError> {
    let page = format.contains(&Format::Html).then(|| loupe_page::page(&verdicts)).transpose()?;
    Ok(Outcome { text, exit_code: verdicts.exit_code, files: Files::Verdicts(verdicts, page) })
}

/// The config as run: the check that was meant is named.
fn as_run(request: &Request) -> Value {
    let mut config = request.document.clone();
    if let Some(keys) = config.as_object_mut() {
        keys.entry("check").or_insert_with(|| request.check.name().name().into());
    }
    config
}
