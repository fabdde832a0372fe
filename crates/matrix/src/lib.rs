//! A matrix: the same checks on several backends, and engines, each in a process of its own, judged together. Backends are
//! separated so that one that panics or hangs spoils no other; numbers are separated from mathematics by judging all of them
//! against one reference.
//!
//! It spawns `loupe` and reads the files that it leaves. Errors go to a person, and nobody matches on them.

#![forbid(unsafe_code)]

mod answer;
mod collect;
mod comparison;
mod documents;
mod engine;
mod exit;
mod files;
mod json;
mod judge;
mod junit;
mod markdown;
mod page;
pub mod process;
mod progress;
mod rows;

use std::path::{Path, PathBuf};

use loupe_config::{DEFAULT_OUTPUT, Format, Matrix};
use loupe_spec::echo_path;
use miette::Result;

pub use collect::required_by_environment;
use comparison::Comparison;
pub use files::io_error;
pub use judge::verdicts;
pub use process::named_loupe;
pub use progress::bar;

/// What came out.
pub struct Done {
    /// For a person: all of it where the matrix asks for text, and always the answer in the last line.
    pub text: String,
    /// 0 exact or rounding, 1 a mistake, 2 could not run, 3 a backend at fault, 4 inconclusive: the gravest of all.
    pub code: u8,
}

/// Runs `matrix`, which was read from `path`, with the program `loupe`. It writes reports, what each process said, and the
/// files that the matrix asks for below its `output`.
///
/// # Errors
/// Before any run: an output that would overwrite what is read, a report that is not there, `LOUPE_REQUIRE` with an unknown
/// name. Later: a file that cannot be written.
pub fn run(path: &Path, matrix: Matrix, loupe: &Path) -> Result<Done> {
    let output = matrix.output.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_OUTPUT));
    collect::refuse_overwriting(path, &matrix, &output)?;
    let required = collect::required(&matrix)?;
    let mut elsewhere = collect::elsewhere(&matrix.reports)?;

    let mut rows = collect::runs(&matrix, loupe, &output)?;
    rows.append(&mut elsewhere);
    rows::name_apart(&mut rows);
    let judgement = judge::judge(&matrix, loupe, &output, &mut rows)?;
    let missing = collect::missing(&required, &rows);
    let comparison = Comparison { matrix, rows, judgement, missing };

    let mut text = String::new();
    if comparison.matrix.format.contains(&Format::Text) {
        text += &answer::text(&comparison);
    }
    for format in &comparison.matrix.format {
        let written = match format {
            Format::Text => continue,
            Format::Json => json::write(&comparison, &output)?,
            Format::Junit => junit::write(&comparison, &output)?,
            Format::Html => page::write(&comparison, &output)?,
            Format::Markdown => markdown::write(&comparison, &output)?,
        };
        text += &format!("written: {}\n", echo_path(&written));
    }
    Ok(Done { text: format!("{text}{}\n", answer::line(&comparison)), code: comparison.code() })
}
