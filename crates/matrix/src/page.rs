//! The comparison to look at: `<output>.html`.

use std::path::{Path, PathBuf};

use loupe_judge::Verdict;
use loupe_page::{Column, matrix_page};
use miette::{Result, miette};

use crate::answer;
use crate::comparison::Comparison;

/// Writes `<output>.html`.
pub fn write(comparison: &Comparison, output: &Path) -> Result<PathBuf> {
    let (mut columns, mut verdicts): (Vec<Column>, Vec<&Verdict>) = (Vec::new(), Vec::new());
    for row in &comparison.rows {
        let mut checks = Vec::new();
        for check_run in &row.check_runs {
            if let Some(verdict) = &check_run.verdict {
                checks.push((check_run.check.clone(), verdicts.len()));
                verdicts.push(verdict);
            }
        }
        columns.push(Column { name: row.name.clone(), device: row.device.clone(), said: answer::verdict(row), checks });
    }
    let page = matrix_page(&answer::line(comparison), &columns, &answer::notes(comparison), &verdicts);
    let page = page.map_err(|error| miette!("the page cannot be made: {error}"))?;
    loupe_report::write_html(output, &page).map_err(|error| miette!("{error}"))
}
