//! The comparison in text: the judge's own, a table of the runs, what went wrong, and one last line.

use std::collections::BTreeSet;
use std::fmt::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use loupe_judge::{first, short, with_first};

use crate::comparison::Comparison;
use crate::rows::{CheckRun, Outcome, Row};

/// All but the last line.
pub fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    if let Some(judgement) = &comparison.judgement {
        text += &judgement.text;
        text += "\n";
    }
    text += &table(&comparison.rows);
    let notes = notes(comparison);
    if !notes.is_empty() {
        text += "\n";
    }
    for note in notes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{note}");
    }
    text + "\n"
}

/// A row a run.
fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(HEADER);
    for row in rows {
        table.add_row(cells(row));
    }
    if let Some(column) = table.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string() + "\n").collect();
    lines.concat()
}

/// What the columns of a table of runs are.
pub const HEADER: [&str; 5] = ["run", "device", "checks", "verdict", "seconds"];

/// Their cells.
pub fn cells(row: &Row) -> [String; 5] {
    let ran = row.check_runs.iter().filter(|check_run| check_run.ran()).count();
    let seconds: Vec<f64> = row.check_runs.iter().filter_map(|check_run| check_run.seconds).collect();
    [
        row.name.clone(),
        row.device.clone().unwrap_or("-".to_string()),
        format!("{ran} of {}", row.check_runs.len()),
        verdict(row),
        match (row.elsewhere, seconds.as_slice()) {
            (true, _) => "elsewhere".to_string(),
            (false, []) => "-".to_string(),
            (false, seconds) => format!("{:.1}", seconds.iter().sum::<f64>()),
        },
    ]
}

/// What a run came to, in a few words.
pub fn verdict(row: &Row) -> String {
    if row.absent() {
        return "absent".to_string();
    }
    let Some(check_run) = row.decisive() else { return "no checks".to_string() };
    let at = format!("in {}", check_run.check);
    match (&check_run.outcome, &check_run.verdict) {
        (Outcome::Ran, _) if check_run.finding_decides() => format!("finding {at}"),
        (Outcome::Ran, Some(verdict)) if verdict.exit_code == 0 => short(verdict),
        (Outcome::Ran, Some(verdict)) => format!("{} {at}", short(verdict)),
        (Outcome::Ran, None) => "not judged".to_string(),
        (outcome, _) => format!("{} {at}", outcome.name()),
    }
}

/// Why runs have no report, what checks found by themselves, and where reports first go wrong.
pub fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    for (row, check_run) in
        comparison.rows.iter().flat_map(|row| row.check_runs.iter().map(move |check_run| (row, check_run)))
    {
        let who = format!("{} {}", row.name, check_run.check);
        notes.extend(check_run.outcome.reason().map(|why| format!("{who} {}: {why}", check_run.outcome.name())));
        notes.extend(check_run.findings.iter().map(|finding| format!("{who} finding: {finding}")));
        let wrong = check_run.verdict.as_ref().filter(|verdict| verdict.exit_code != 0);
        notes.extend(wrong.map(|verdict| format!("{who} {}", with_first(verdict))));
    }
    let failure = comparison.judgement.as_ref().and_then(|judgement| judgement.failure.as_ref());
    notes.extend(failure.map(|why| format!("the judge failed: {why}")));
    notes
}

/// The answer.
pub fn line(comparison: &Comparison) -> String {
    let rows = &comparison.rows;
    let mut parts = comparison.missing.clone();
    match &comparison.judgement {
        None => parts.push("no report to judge".to_string()),
        Some(judgement) => parts.extend(judgement.failure.as_ref().map(|why| format!("the judge failed: {why}"))),
    }
    parts.extend(rows.iter().filter(|row| row.code() != 0).map(|row| match first_divergence(row) {
        Some(divergence) => format!("{} {}, first at {divergence}", row.name, verdict(row)),
        None => format!("{} {}", row.name, verdict(row)),
    }));
    let agreeing: Vec<&Row> = rows.iter().filter(|row| row.code() == 0 && judged(row)).collect();
    let exact = agreeing.iter().all(|row| row.check_runs.iter().all(CheckRun::exact));
    let how = if exact { "in every bit" } else { "within rounding" };
    match agreeing.len() {
        0 => {}
        1 => parts.push(format!("1 run agrees {how}")),
        count => parts.push(format!("{count} runs agree {how}")),
    }
    let mut absent: Vec<&str> = rows.iter().filter(|row| row.absent()).map(|row| row.backend.as_str()).collect();
    let mut seen = BTreeSet::new();
    absent.retain(|backend| seen.insert(*backend));
    if !absent.is_empty() {
        parts.push(format!("{} absent", absent.join(", ")));
    }
    let word = match comparison.code() {
        0 if exact => "exact",
        0 => "numeric",
        1 if rows.iter().any(|row| row.code() == 1 && !row.decisive().is_some_and(CheckRun::finding_decides)) => {
            "architectural"
        }
        1 => "a check's own finding",
        3 => "backend fault",
        4 => "inconclusive",
        _ => "could not run",
    };
    format!("{word}: {}", parts.join("; "))
}

/// Whether every report of the row has a verdict.
fn judged(row: &Row) -> bool {
    row.check_runs.iter().any(CheckRun::ran)
        && row.check_runs.iter().filter(|check_run| check_run.ran()).all(|check_run| check_run.verdict.is_some())
}

fn first_divergence(row: &Row) -> Option<String> {
    first(row.decisive()?.verdict.as_ref()?)
}
