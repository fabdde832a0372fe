//! The comparison to look at: `<output>.html`.

use std::path::{Path, PathBuf};

use loupe_judge::Verdict;
use loupe_page::{Column, matrix_page};
use miette::{Result, miette};

use crate::answer;
use crate::comparison::Comparison;

/// Writes `<output>.html`.
pub fn write(comparison: &Comparison, output: &Path) -> Result<PathBuf> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    let columns: Vec<Column> = comparison
        .rows
        .iter()
        .map(|row| {
            let judged = row.check_runs.iter().filter_map(|check_run| Some((check_run, check_run.verdict.as_ref()?)));
            let checks = judged.map(|(check_run, verdict)| {
                verdicts.push(verdict.clone());
                (check_run.check.clone(), verdicts.len() - 1)
            });
            let checks = checks.collect();
            Column { name: row.name.clone(), device: row.device.clone(), said: answer::verdict(row), checks }
        })
        .collect();
    let page = matrix_page(&answer::line(comparison), &columns, &answer::notes(comparison), &verdicts);
    let page = page.map_err(|error| miette!("the page cannot be made: {error}"))?;
    loupe_report::write_html(output, &page).map_err(|error| miette!("{error}"))
}
