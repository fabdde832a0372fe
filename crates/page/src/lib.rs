//! Verdicts as one page of HTML, which loads nothing: no network, no fonts, no other file.
//!
//! `grid.rs` makes the table of layers and stages, `drawing.rs` what the script draws of a stage, `scale.rs` has the colours' steps,
//! `templates/` the page itself. Everything that is not ours goes through the template, which escapes it.

#![forbid(unsafe_code)]

mod drawing;
mod grid;
mod overview;
mod scale;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loupe_judge::{
    Inputs, Line, Part, SHARES, Shares, Verdict, Verdicts, answer, headline, inputs, notes, shares, tolerated,
};
use sha2::{Digest, Sha256};

use drawing::Drawing;
use grid::Grid;
use overview::Overview;

/// Why there is no page.
pub use askama::Error as PageError;
pub use overview::Column;

/// The page.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: String,
    overview: Option<Overview<'a>>,
    runs: Vec<Run<'a>>,
    style: &'static str,
    script: &'static str,
    /// By which a browser knows the script for the page's own: it runs no other.
    script_hash: String,
    data: Data,
}

/// What the script draws from.
#[derive(serde::Serialize)]
struct Data {
    /// The power of ten at which the second step of the scale begins; each step is half a decade.
    first_step: f64,
    /// How many steps it has.
    steps: usize,
    /// For each run its stages, in the order of the verdict.
    runs: Vec<Vec<Drawing>>,
}

/// One candidate.
struct Run<'a> {
    /// Of a matrix: the run and its check.
    title: Option<String>,
    verdict: &'a Verdict,
    path: String,
    /// The verdict's word, and the rest of its first line.
    word: &'static str,
    what: String,
    parts: Vec<Part>,
    notes: Vec<Line>,
    inputs: Inputs,
    grid: Grid,
    /// What others' tolerances say, and their table.
    tolerated: Vec<Part>,
    shares: Shares,
    /// The stage that is shown first.
    first: usize,
}

impl<'a> Run<'a> {
    fn of(verdict: &'a Verdict) -> Run<'a> {
        let line = headline(verdict);
        let word = verdict.verdict.name();
        let mut parts = answer(verdict);
        let first = parts.remove(0);
        let mut notes = notes(verdict, "listed below");
        notes.splice(0..0, first.lines);
        Run {
            title: None,
            verdict,
            path: loupe_spec::echo(&verdict.candidate.path),
            word,
            what: line.strip_prefix(word).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&line).to_string(),
            parts,
            notes,
            inputs: inputs(verdict),
            tolerated: tolerated(verdict),
            shares: shares(verdict),
            grid: Grid::of(verdict),
            first: first_shown(verdict),
        }
    }
}

/// The first stage that differs; else the first that shows what was found, below its limit; else the one that uses most of it.
fn first_shown(verdict: &Verdict) -> usize {
    let diverging = verdict.first_divergence.as_ref().map(|first| first.probe.clone());
    let found = verdict.mistakes.iter().map(|found| found.probe).chain(verdict.fitted.iter().map(|found| found.probe));
    let shown = diverging.or(found.min().map(|probe| probe.to_string()));
    let first = verdict.stages.iter().position(|stage| Some(&stage.probe) == shown.as_ref());
    let used = |at: &usize| verdict.stages[*at].budget_used;
    first.or((0..verdict.stages.len()).max_by(|a, b| used(a).total_cmp(&used(b)))).unwrap_or(0)
}

/// The page that shows `verdicts`.
///
/// # Errors
/// None that is known: a template that writes to a text does not fail.
pub fn page(verdicts: &Verdicts) -> Result<String, PageError> {
    let runs: Vec<Run<'_>> = verdicts.verdicts.iter().map(Run::of).collect();
    let title = match runs.as_slice() {
        [only] => format!("{}: {}", only.word, only.path),
        several => format!("{} candidates", several.len()),
    };
    of_runs(title, None, runs)
}

/// The page of a matrix with this `answer`: its runs in `columns`, what went wrong in `notes`, and below them `verdicts`, which the
/// columns name by their numbers.
///
/// # Errors
/// As [`page`].
pub fn matrix_page(
    answer: &str,
    columns: &[Column],
    notes: &[String],
    verdicts: &[&Verdict],
) -> Result<String, PageError> {
    let mut runs: Vec<Run<'_>> = verdicts.iter().map(|verdict| Run::of(verdict)).collect();
    for column in columns {
        for (check, at) in &column.checks {
            if let Some(run) = runs.get_mut(*at) {
                run.title = Some(format!("{} {check}: {}", column.name, run.word));
            }
        }
    }
    of_runs(answer.to_string(), Some(Overview::of(answer, columns, notes, verdicts)), runs)
}

fn of_runs(title: String, overview: Option<Overview<'_>>, runs: Vec<Run<'_>>) -> Result<String, PageError> {
    let drawings = runs.iter().map(|run| run.verdict.stages.iter().map(Drawing::of).collect());
    let data = Data { first_step: loupe_judge::FIRST_STEP, steps: loupe_judge::STEPS, runs: drawings.collect() };
    let (style, script) = (include_str!("../templates/page.css"), include_str!("../templates/page.js"));
    let script_hash = STANDARD.encode(Sha256::digest(script));
    Page { title, overview, runs, style, script, script_hash, data }.render()
}
