//! Has `loupe` judge all reports at once, and each engine's dump by itself: what cannot be read of one says nothing of the
//! others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loupe_config::{Format, Matrix, MatrixRun};
use loupe_judge::{Verdict, Verdicts};
use loupe_report::Written;
use miette::Result;
use serde_json::{Map, Value, json};

use crate::documents::{VERDICT, path_value, question};
use crate::engine::folder;
use crate::exit::worst;
use crate::files::remove;
use crate::process::{self, End, Ended};
use crate::progress;
use crate::rows::{CheckRun, Outcome, Row};

/// The judge recomputes every stage of every report in several precisions: give it more time than one check.
const TIMES_THE_LIMIT: u32 = 4;

/// What the judge said.
pub struct Judgement {
    /// Its text: the table of stages, the first divergence, its answer.
    pub text: String,
    /// Its verdicts.
    pub verdicts: Vec<Verdict>,
    /// Why it could not judge.
    pub failure: Option<String>,
    /// The exit code that all this makes.
    pub code: u8,
}

/// Runs the judge on the reports and dumps of `rows` and hands each check_run its verdict. `None`: there is none.
pub fn judge(matrix: &Matrix, loupe: &Path, output: &Path, rows: &mut [Row]) -> Result<Option<Judgement>> {
    let (mut engines, mut others) = (Vec::new(), Vec::new());
    // The matrix's runs come first, in its order.
    for (at, row) in rows.iter_mut().enumerate() {
        match matrix.runs.get(at) {
            Some(MatrixRun::Engine(run)) => engines.push((run, row)),
            _ => others.push(row),
        }
    }
    let bar = progress::bar(1 + engines.len());
    let mut check_runs: Vec<&mut CheckRun> =
        others.into_iter().flat_map(|row| &mut row.check_runs).filter(|s| s.ran()).collect();
    let mut judgement = None;
    if !check_runs.is_empty() {
        bar.set_message(format!("judging {} reports", check_runs.len()));
        judgement = Some(ask(matrix, loupe, &output.join(VERDICT), &Map::new(), &mut check_runs)?);
    }
    bar.inc(1);
    for (run, row) in engines {
        let mut check_runs: Vec<&mut CheckRun> =
            row.check_runs.iter_mut().filter(|check_run| check_run.ran()).collect();
        if !check_runs.is_empty() {
            bar.set_message(format!("judging {}", row.name));
            let prefix = folder(output, &row.folder).join(VERDICT);
            let mut own = ask(matrix, loupe, &prefix, &run.judged_with, &mut check_runs)?;
            if let (Some(why), [check_run]) = (own.failure.take(), check_runs.as_mut_slice()) {
                own.code = 0;
                check_run.outcome = Outcome::Failed(format!("its numbers were not judged: {why}"));
            }
            judgement = Some(match judgement {
                Some(judgement) => judgement.and(own),
                None => own,
            });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(judgement)
}

impl Judgement {
    /// This one, then `other`.
    fn and(mut self, mut other: Judgement) -> Judgement {
        self.verdicts.append(&mut other.verdicts);
        if !self.text.is_empty() && !other.text.is_empty() {
            self.text.push('\n');
        }
        self.text += &other.text;
        self.code = worst([self.code, other.code]);
        self
    }
}

/// One run of the judge, of the reports of `check_runs`, with `keys` in its config.
fn ask(
    matrix: &Matrix,
    loupe: &Path,
    prefix: &Path,
    keys: &Map<String, Value>,
    check_runs: &mut [&mut CheckRun],
) -> Result<Judgement> {
    let candidates: Vec<PathBuf> = check_runs.iter().map(|check_run| candidate(&check_run.report)).collect();
    let mut config = question(matrix);
    config.insert("check".to_string(), "compare".into());
    let paths: Vec<Value> = candidates.iter().map(|path| path_value(path)).collect::<Result<_>>()?;
    config.insert("candidates".to_string(), paths.into());
    config.insert("output".to_string(), path_value(prefix)?);
    // For the page, the judge draws as well.
    let formats =
        if matrix.format.contains(&Format::Html) { json!(["json", "text", "html"]) } else { json!(["json", "text"]) };
    config.insert("format".to_string(), formats);
    config.extend(keys.clone());
    let limit = matrix.time_limit.saturating_mul(TIMES_THE_LIMIT);
    let (ended, read) = verdicts(loupe, &config.into(), prefix, limit)?;
    let (verdicts, unread) = match read {
        Ok(verdicts) => (verdicts, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    for (check_run, path) in check_runs.iter_mut().zip(&candidates) {
        check_run.verdict = verdicts.iter().find(|verdict| Path::new(&verdict.candidate.path) == path).cloned();
    }
    let unjudged = check_runs.iter().filter(|check_run| check_run.verdict.is_none()).count();
    let failure = failure(&ended, unjudged, unread);
    let own = match (&failure, ended.end) {
        (None, End::Exited(code)) => u8::try_from(code).unwrap_or(2),
        _ => 2,
    };
    let code = worst(verdicts.iter().map(|verdict| verdict.exit_code).chain([own]));
    Ok(Judgement { text: ended.stdout, verdicts, failure, code })
}

/// Runs `loupe` on `config`, a comparison with `prefix` as its output. The inner error is why there are no verdicts to read.
///
/// # Errors
/// It cannot be started, or what an earlier one left cannot be removed: it would be taken for this one's.
pub fn verdicts(
    loupe: &Path,
    config: &Value,
    prefix: &Path,
    limit: Duration,
) -> Result<(Ended, std::result::Result<Vec<Verdict>, String>)> {
    let written = Written::of(prefix).json;
    remove(&written)?;
    let ended = process::loupe(loupe, config, prefix, limit)?;
    let json = fs::read(&written).map_err(|error| error.to_string());
    let read = json.and_then(|json| Verdicts::from_json(&json).map_err(|error| error.to_string()));
    Ok((ended, read.map(|all| all.verdicts)))
}

/// What a dump is, or the file that says what a report is: a prefix of ours has the JSON beside its tensors.
fn candidate(report: &Path) -> PathBuf {
    if report.exists() { report.to_path_buf() } else { Written::of(report).json }
}

/// Why the judge did not do its work, where it did not.
fn failure(ended: &Ended, unjudged: usize, unread: Option<String>) -> Option<String> {
    match ended.end {
        End::Exited(0 | 1 | 3 | 4) if unread.is_some() => {
            unread.map(|why| format!("its verdict cannot be read: {why}"))
        }
        End::Exited(0 | 1 | 3 | 4) if unjudged == 0 => None,
        End::Exited(0 | 1 | 3 | 4) => Some(format!("its verdict leaves out {unjudged} of the reports")),
        End::Exited(_) | End::Killed | End::Hung => Some(ended.how_and_what()),
    }
}
