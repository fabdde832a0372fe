//! The comparison as a summary of a CI job: `<output>.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use miette::Result;

use crate::answer;
use crate::comparison::Comparison;
use crate::files;
use crate::process::with_ending;

/// Writes `<output>.md`.
pub fn write(comparison: &Comparison, output: &Path) -> Result<PathBuf> {
    files::write(with_ending(output, ".md"), &summary(comparison))
}

/// The answer, the runs, what went wrong, and folded away the judge's text.
fn summary(comparison: &Comparison) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(answer::HEADER);
    for row in &comparison.rows {
        table.add_row(answer::cells(row).map(|cell| escape(&cell)));
    }
    // Writing to a String cannot fail.
    let mut out = format!("**{}**\n\n{table}\n\n", escape(&answer::line(comparison)));
    for note in answer::notes(comparison) {
        let _ = writeln!(out, "- {}", escape(&note));
    }
    if let Some(judgement) = comparison.judgement.as_ref().filter(|judgement| !judgement.text.is_empty()) {
        // Four blanks before each line: text as it is, whatever an engine is called.
        let text: String = judgement.text.lines().map(|line| format!("    {line}\n")).collect();
        let _ = write!(out, "\n<details><summary>every stage</summary>\n\n{text}\n</details>\n");
    }
    out
}

/// Text as Markdown shows it: a backslash before punctuation takes its meaning away.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            // These mean nothing within a line.
            c if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '-' | ';' | '%' | '/' | '\'') => {
                escaped.extend(['\\', c])
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_prints_is_text_in_a_summary_too() {
        assert_eq!(escape("<b>|`x`|[a](b)\n# 1.5e-3"), "\\<b\\>\\|\\`x\\`\\|\\[a\\]\\(b\\) \\# 1.5e-3");
    }
}
