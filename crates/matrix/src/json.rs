//! The comparison for programs: `<output>.json`.

use std::path::{Path, PathBuf};

use loupe_judge::{first, short};
use miette::{Result, miette};
use serde_json::{Value, json};

use crate::answer;
use crate::comparison::Comparison;
use crate::rows::{CheckRun, Row};

/// The format of the JSON and its version.
const SCHEMA: &str = "loupe.matrix/1";

/// Writes `<output>.json`: every run and check with what became of it, and the judge's verdicts in full.
pub fn write(comparison: &Comparison, output: &Path) -> Result<PathBuf> {
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
    loupe_report::write_json(output, &document).map_err(|error| miette!("{error}"))
}

fn row(row: &Row) -> Value {
    json!({
        "run": row.name,
        "backend": row.backend,
        "device": row.device,
        "elsewhere": row.elsewhere,
        "exit_code": row.code(),
        "checks": row.check_runs.iter().map(check_run).collect::<Vec<Value>>(),
    })
}

fn check_run(check_run: &CheckRun) -> Value {
    json!({
        "check": check_run.check,
        "report": check_run.ran().then(|| check_run.report.to_string_lossy()),
        "outcome": check_run.outcome.name(),
        "reason": check_run.outcome.reason(),
        "findings": check_run.findings,
        "seconds": check_run.seconds,
        "exit_code": check_run.code(),
        "verdict": check_run.verdict.as_ref().map(short),
        "first_divergence": check_run.verdict.as_ref().and_then(first),
    })
}
