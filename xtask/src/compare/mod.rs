//! `cargo xtask compare`: the same checks on several backends, each in a process of its own, judged together by
//! `loupe`.

mod answer;
pub mod build;
pub mod collect;
mod engine;
mod exit;
mod json;
mod judge;
mod junit;
pub mod process;
pub mod progress;
mod rows;
mod verdict;

use std::path::{Path, PathBuf};

use loupe_config::{Format, Matrix};
use miette::Result;

use exit::worst;
use judge::Judgement;
use rows::Row;

use crate::say;

/// Where the reports go when the matrix has no `output`.
const DEFAULT_OUTPUT: &str = "target/xtask/compare";

/// All that one comparison found.
pub struct Comparison {
    pub matrix: Matrix,
    /// The matrix's runs, then those whose reports were made elsewhere.
    pub rows: Vec<Row>,
    /// `None`: there was no report to judge.
    pub judgement: Option<Judgement>,
    /// Why backends that must be there do not count as there.
    pub missing: Vec<String>,
}

impl Comparison {
    /// The exit code of the whole.
    pub fn code(&self) -> u8 {
        let judge = self.judgement.as_ref().map_or(2, |judgement| judgement.code);
        let missing = if self.missing.is_empty() { 0 } else { 2 };
        worst(self.rows.iter().map(Row::code).chain([judge, missing]))
    }
}

/// Runs the matrix in `path` and says what came out. The exit code comes back; an error is one before any run.
pub fn run(path: &Path) -> Result<u8> {
    let matrix = loupe_config::read_matrix(path)?;
    let output = matrix.output.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_OUTPUT));
    collect::refuse_overwriting(path, &matrix, &output)?;
    let required = collect::required(&matrix)?;
    let mut elsewhere = collect::elsewhere(&matrix.reports)?;
    let loupe = build::loupe()?;

    let mut rows = collect::runs(&matrix, &loupe, &output)?;
    rows.append(&mut elsewhere);
    rows::name_apart(&mut rows);
    let judgement = judge::judge(&matrix, &loupe, &output, &mut rows)?;
    let missing = collect::missing(&required, &rows);
    let comparison = Comparison { matrix, rows, judgement, missing };

    // Files first: the last line of the text is the answer.
    if comparison.matrix.format.contains(&Format::Json) {
        json::write(&comparison, &output)?;
    }
    if comparison.matrix.format.contains(&Format::Junit) {
        junit::write(&comparison, &output)?;
    }
    if comparison.matrix.format.contains(&Format::Text) {
        say(&answer::text(&comparison));
    }
    say(&format!("{}\n", answer::line(&comparison)));
    Ok(comparison.code())
}
