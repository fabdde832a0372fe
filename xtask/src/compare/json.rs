//! The comparison for programs: `<output>.json`.

use std::fs;
use std::path::Path;

use miette::Result;
use serde_json::{Value, json};

use super::process::with_ending;
use super::rows::{Row, Step};
use super::{Comparison, answer};
use crate::io_error;

/// The format of the JSON and its version.
const SCHEMA: &str = "loupe.matrix/1";

/// Writes `<output>.json`: every run and check with what became of it, and the judge's verdicts in full.
pub fn write(comparison: &Comparison, output: &Path) -> Result<()> {
    let judgement = comparison.judgement.as_ref();
    let document = json!({
        "schema": SCHEMA,
        "exit_code": comparison.code(),
        "answer": answer::line(comparison),
        "config": comparison.matrix.document,
        "runs": comparison.rows.iter().map(row).collect::<Vec<Value>>(),
        "judge_failure": judgement.and_then(|judgement| judgement.failure.as_ref()),
        "verdicts": judgement.map(|judgement| &judgement.verdicts),
    });
    let path = with_ending(output, ".json");
    fs::write(&path, format!("{document:#}\n")).map_err(io_error("write", &path))
}

fn row(row: &Row) -> Value {
    json!({
        "run": row.name,
        "backend": row.backend,
        "device": row.device,
        "elsewhere": row.elsewhere,
        "exit_code": row.code(),
        "checks": row.steps.iter().map(step).collect::<Vec<Value>>(),
    })
}

fn step(step: &Step) -> Value {
    json!({
        "check": step.check,
        "report": step.ran().then(|| step.report.to_string_lossy()),
        "outcome": step.outcome.name(),
        "reason": step.outcome.reason(),
        "findings": step.findings,
        "seconds": step.seconds,
        "exit_code": step.code(),
        "verdict": step.verdict.as_ref().map(ToString::to_string),
        "first_divergence": step.verdict.as_ref().and_then(|verdict| verdict.divergence.as_ref()),
    })
}
