//! A matrix: the same checks over several backends, and engines.

use std::path::PathBuf;
use std::time::Duration;

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged;
use loupe_spec::Dtype;
use serde_json::{Map, Value};

use crate::build::check;
use crate::common::{common, input, model};
use crate::compare::format;
use crate::engine_run::engine_run;
use crate::error::Noted;
use crate::fields::{Fields, INHERITED};
use crate::keys::{CHECK, COMMAND, MATRIX_FORMAT, MATRIX_OUTPUT, REPORT, REPORTS, REQUIRE, SCHEMA, TIME_LIMIT};
use crate::matrix_keys::{CHECKS, MATRIX_CHECKS, matrix_keys};
use crate::shapes::backend_run_keys;
use crate::{Check, Common, Device, EngineRun, Format, Input, MatmulPrecision, ModelRef, Placeholder};

/// How long one process may take where `time_limit_s` is left out: a first run on CUDA compiles every kernel.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(300);

/// What to run where, and what to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// The checkpoint of every check; `None` only where the saved report says it.
    pub model: Option<ModelRef>,
    /// What the model reads in every check that runs it; `None` only where the saved report says it.
    pub input: Option<Input>,
    /// A saved report whose model and tokens engines and reports are judged over.
    pub reference: Option<PathBuf>,
    /// At least one where there are `runs`.
    pub checks: Vec<MatrixCheck>,
    /// Runs to make. These and `reports` are together at least one.
    pub runs: Vec<MatrixRun>,
    /// Reports made elsewhere that join in.
    pub reports: Vec<PathBuf>,
    /// Backends whose absence fails the run.
    pub require: Vec<String>,
    /// How long one process may take; [`DEFAULT_TIME_LIMIT`] where left out.
    pub time_limit: Duration,
    /// How to say the verdict; text where left out.
    pub format: Vec<Format>,
    /// Path prefix of what is written.
    pub output: Option<PathBuf>,
    /// The document as written.
    pub document: Value,
}

/// A check of a matrix: the name of one, or an object with `check` and that check's own keys.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixCheck {
    /// As `loupe` will understand `document`.
    pub check: Check,
    /// The check's config with the matrix's model and input in it, but without the keys of a run and `output`.
    pub document: Map<String, Value>,
}

/// One row of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum MatrixRun {
    /// `loupe` on a backend.
    Backend(BackendRun),
    /// An engine that somebody else wrote.
    Engine(EngineRun),
}

/// A backend of a matrix and how to use it.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendRun {
    /// One of [`crate::BACKENDS`].
    pub backend: String,
    /// Which device of the backend.
    pub device: Option<Device>,
    /// What to compute in.
    pub dtype: Dtype,
    /// Whether f32 matmuls may round their operands.
    pub precision: MatmulPrecision,
    /// The keys as written: with a check's document and `output`, a config for `loupe`.
    pub document: Map<String, Value>,
}

/// Whether the document is a matrix and no check. `"checks": "trace"` is a slip of the pen for `check`.
pub(crate) fn is_one(document: &Value) -> bool {
    let has = |key| document.get(key).is_some();
    !has("check") && (has("runs") || has("reports") || document.get("checks").is_some_and(Value::is_array))
}

/// The whole document.
pub(crate) fn matrix(fields: &Fields, document: Value) -> Result<Matrix, Noted> {
    let fields = fields.named("the matrix".to_string());
    fields.only(&matrix_keys().names());
    // Noted if it is wrong; nothing else depends on it.
    let _ = fields.optional(&SCHEMA);
    // All are read before the first error ends it, so that each is noted.
    let reference = reference(&fields);
    let (model, input) = (model(&fields), input(&fields));
    let (checks, runs) = (checks(&fields, &document), runs(&fields, &document));
    let reports = fields.optional(&REPORTS);
    let require = fields.optional(&REQUIRE);
    let time_limit = fields.optional(&TIME_LIMIT);
    let (format, output) = (format(&fields, &MATRIX_FORMAT), fields.optional(&MATRIX_OUTPUT));
    let (reference, model, input) = (reference?, model?, input?);
    let (checks, runs, reports) = (checks?, runs?, reports?.unwrap_or_default());
    if runs.is_empty() && reports.is_empty() {
        return Err(fields.missing(&["runs", "reports"]));
    }
    let of_backends = runs.iter().any(|run| matches!(run, MatrixRun::Backend(_)));
    if of_backends && checks.is_empty() {
        return Err(fields.missing(&["checks"]));
    }
    // What is only judged may be judged over what a saved report ran.
    let is_saved = reference.is_some() && !of_backends;
    if model.is_none() && !is_saved {
        return Err(fields.missing(&["model"]));
    }
    if input.is_none() && !is_saved {
        return Err(fields.missing(&["prompt", "token_ids"]));
    }
    let is_filled = |run: &&MatrixRun| matches!(run, MatrixRun::Engine(run) if run.asks_for(Placeholder::Prompt));
    if runs.iter().any(|run| is_filled(&run)) && !matches!(input, Some(Input::Prompt(_))) {
        let message = "a command asks for {prompt}, and the matrix has none".to_string();
        return Err(fields.note_key("runs", message, Some("write {token_ids}, or a \"prompt\"".to_string())));
    }
    let limit = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Ok(Matrix {
        model,
        input,
        reference,
        checks,
        runs,
        reports,
        require: require?.unwrap_or_default().into_iter().map(str::to_string).collect(),
        time_limit: time_limit?.map_or(DEFAULT_TIME_LIMIT, limit),
        format: format?,
        output: output?,
        document,
    })
}

fn checks(fields: &Fields, document: &Value) -> Result<Vec<MatrixCheck>, Noted> {
    let elements = fields.elements("checks")?;
    let read = |(at, element)| matrix_check(fields, element, document, at);
    // Collected twice: the first reads all of them, so that each problem is noted.
    elements.iter().enumerate().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn matrix_check<'d>(
    fields: &Fields<'d>,
    element: &'d Ast<'d>,
    document: &Value,
    at: usize,
) -> Result<MatrixCheck, Noted> {
    // A bare name is an object that holds nothing else.
    let inner = match element {
        Ast::StringLit(_) => None,
        other => Some(fields.as_object("checks", other, "a check".to_string())?),
    };
    let name = match &inner {
        Some(inner) => inner.required(&CHECK)?,
        None => fields.read(CHECKS.name, element, &CHECK.takes)?,
    };
    let whose = format!("check \"{name}\"");
    let keys = match &inner {
        Some(inner) => inner.named(whose),
        None => fields.named_at(whose, element.range()),
    };
    if !MATRIX_CHECKS.contains(&name) {
        return Err(keys.note(format!("check \"{name}\" cannot be part of a matrix: it makes no report"), None));
    }
    if inner.is_some() {
        keys.only(&name.own().may(&[&CHECK]).names());
    }
    let check = check(name, &keys)?;
    let mut merged = Map::new();
    merged.insert("check".to_string(), name.name().into());
    let input = !matches!(check, Check::Weights { .. } | Check::Rope { .. });
    for key in INHERITED.into_iter().filter(|key| input || !matches!(*key, "prompt" | "token_ids")) {
        merged.extend(document.get(key).map(|value| (key.to_string(), value.clone())));
    }
    merged.extend(object_at(document, "checks", at));
    Ok(MatrixCheck { check, document: merged })
}

/// `reference`: `{"report": …}`. Model and tokens stand in the matrix itself or in that report.
fn reference(fields: &Fields) -> Result<Option<PathBuf>, Noted> {
    let Some(inner) = fields.object("reference", "\"reference\"")? else { return Ok(None) };
    inner.only(&[REPORT.name]);
    inner.required(&REPORT).map(Some)
}

fn runs(fields: &Fields, document: &Value) -> Result<Vec<MatrixRun>, Noted> {
    let read = |(at, element)| {
        let inner = fields.as_object("runs", element, "a run".to_string())?;
        let document = object_at(document, "runs", at);
        match inner.has("command") {
            true => engine_run(&inner, &document).map(MatrixRun::Engine),
            false => backend_run(&inner, document).map(MatrixRun::Backend),
        }
    };
    fields.elements("runs")?.iter().enumerate().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn backend_run(fields: &Fields, document: Map<String, Value>) -> Result<BackendRun, Noted> {
    // "command" is no key of it, but may have been meant.
    fields.only(&backend_run_keys().may(&[&COMMAND]).names());
    let common = common(fields)?;
    if !fields.has("backend") {
        return Err(fields.missing(&["backend", "command"]));
    }
    let Common { backend, device, dtype, precision, .. } = common;
    Ok(BackendRun { backend, device, dtype, precision, document })
}

/// The object at one place of a list of the document; empty where something else is there.
fn object_at(document: &Value, list: &str, at: usize) -> Map<String, Value> {
    document.get(list).and_then(|list| list.get(at)).and_then(Value::as_object).cloned().unwrap_or_default()
}
