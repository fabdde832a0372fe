//! Has `loupe` judge all reports at once.

use std::fs;
use std::path::{Path, PathBuf};

use loupe_config::Matrix;
use loupe_report::Written;
use miette::Result;
use serde_json::{Map, Value, json};

use super::collect::path_value;
use super::exit::worst;
use super::process::{self, End, Ended};
use super::progress;
use super::rows::{Row, Step};
use super::verdict::Verdict;
use crate::io_error;

/// The name of the verdict, in the folder of the output.
pub const VERDICT: &str = "verdict";

/// The judge recomputes every stage of every report in several precisions: give it more time than one check.
const TIMES_THE_LIMIT: u32 = 4;

/// What the judge said.
pub struct Judgement {
    /// Its text: the table of stages, the first divergence, its answer.
    pub text: String,
    /// Its verdicts as it wrote them.
    pub verdicts: Value,
    /// Why it could not judge.
    pub failure: Option<String>,
    /// The exit code that all this makes.
    pub code: u8,
}

/// Runs the judge on the reports of `rows` and hands each step its verdict. `None`: there is no report.
pub fn judge(matrix: &Matrix, loupe: &Path, output: &Path, rows: &mut [Row]) -> Result<Option<Judgement>> {
    let mut steps: Vec<&mut Step> = rows.iter_mut().flat_map(|row| &mut row.steps).filter(|step| step.ran()).collect();
    if steps.is_empty() {
        return Ok(None);
    }
    let prefix = output.join(VERDICT);
    let written = Written::of(&prefix).json;
    if written.exists() {
        fs::remove_file(&written).map_err(io_error("remove", &written))?;
    }
    let candidates: Vec<PathBuf> = steps.iter().map(|step| candidate(&step.report)).collect();
    let config = config(matrix, &candidates, &prefix)?;

    let bar = progress::bar(1);
    bar.set_message(format!("judging {} reports", candidates.len()));
    let ended = process::loupe(loupe, &config, &prefix, matrix.time_limit.saturating_mul(TIMES_THE_LIMIT))?;
    bar.finish_and_clear();

    let read = fs::read(&written).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let all = read.as_ref().and_then(|document| document.get("verdicts")).cloned().unwrap_or_default();
    let verdicts: Vec<Verdict> = all.as_array().into_iter().flatten().filter_map(Verdict::of).collect();
    for (step, path) in steps.iter_mut().zip(&candidates) {
        step.verdict = verdicts.iter().find(|verdict| verdict.path == *path).cloned();
    }
    let unjudged = steps.iter().filter(|step| step.verdict.is_none()).count();
    let failure = failure(&ended, unjudged);
    let own = match (&failure, ended.end) {
        (None, End::Exited(code)) => u8::try_from(code).unwrap_or(2),
        _ => 2,
    };
    let code = worst(verdicts.iter().map(|verdict| verdict.code).chain([own]));
    Ok(Some(Judgement { text: ended.stdout, verdicts: all, failure, code }))
}

/// The file that says what a report is: a prefix of ours has the JSON beside its tensors.
fn candidate(report: &Path) -> PathBuf {
    if report.is_file() { report.to_path_buf() } else { Written::of(report).json }
}

fn config(matrix: &Matrix, candidates: &[PathBuf], prefix: &Path) -> Result<Value> {
    let mut config = Map::new();
    config.insert("check".to_string(), "compare".into());
    for key in ["model", "revision", "prompt", "token_ids"] {
        config.extend(matrix.document.get(key).map(|value| (key.to_string(), value.clone())));
    }
    let candidates: Vec<Value> = candidates.iter().map(|path| path_value(path)).collect::<Result<_>>()?;
    config.insert("candidates".to_string(), candidates.into());
    config.insert("output".to_string(), path_value(prefix)?);
    config.insert("format".to_string(), json!(["json", "text"]));
    Ok(config.into())
}

/// Why the judge did not do its work, where it did not.
fn failure(ended: &Ended, unjudged: usize) -> Option<String> {
    let said = || ended.said.as_ref().map_or(ended.how.clone(), |said| format!("{}: {said}", ended.how));
    match ended.end {
        End::Exited(0 | 1 | 3 | 4) if unjudged == 0 => None,
        End::Exited(0 | 1 | 3 | 4) => Some(format!("its verdict leaves out {unjudged} of the reports")),
        End::Exited(_) | End::Killed | End::Hung => Some(said()),
    }
}
