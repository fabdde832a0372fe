//! The first table of a matrix's page: stages × runs.

use loupe_judge::{Verdict, over_layers};
use loupe_spec::echo;

use crate::grid::Recorded;

/// A run of a matrix.
pub struct Column {
    /// What the run is called.
    pub name: String,
    /// Where it ran.
    pub device: Option<String>,
    /// What came of it, in a few words.
    pub said: String,
    /// Its checks, with the numbers of their verdicts among the page's.
    pub checks: Vec<(String, usize)>,
}

/// What stands above the runs.
pub struct Overview<'a> {
    pub answer: &'a str,
    pub columns: &'a [Column],
    /// What went wrong, a sentence each.
    pub notes: &'a [String],
    pub checks: Vec<Check>,
}

/// The stages of one check.
pub struct Check {
    pub name: String,
    pub rows: Vec<Row>,
}

/// One stage in all layers.
pub struct Row {
    pub name: String,
    /// A column each: the number of the verdict, and the layer that uses most of its limit.
    pub cells: Vec<Option<(usize, Recorded)>>,
}

impl<'a> Overview<'a> {
    pub fn of(answer: &'a str, columns: &'a [Column], notes: &'a [String], verdicts: &[&Verdict]) -> Overview<'a> {
        let mut names: Vec<&String> = Vec::new();
        for (name, _) in columns.iter().flat_map(|column| &column.checks) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let checks = names.into_iter().map(|name| Check::of(name, columns, verdicts)).collect();
        Overview { answer, columns, notes, checks }
    }
}

impl Check {
    fn of(name: &str, columns: &[Column], verdicts: &[&Verdict]) -> Check {
        let number = |column: &Column| Some(column.checks.iter().find(|(check, _)| check == name)?.1);
        let mut order = Vec::new();
        let by_column: Vec<_> = columns
            .iter()
            .map(|column| {
                let at = number(column)?;
                let verdict: &Verdict = verdicts.get(at)?;
                Some((at, &column.name, verdict, over_layers(verdict, &mut order)))
            })
            .collect();
        let rows = order.into_iter().map(|pattern| {
            let cells = by_column.iter().map(|column| {
                let (run, name, verdict, stages) = column.as_ref()?;
                let worst = stages.get(&pattern)?.worst;
                let at = verdict.stages.iter().position(|stage| stage.probe == worst.probe)?;
                Some((*run, Recorded::of(verdict, at, worst, &format!(" in {name}"))))
            });
            let name = pattern.strip_prefix("layers.{l}.").unwrap_or(&pattern);
            Row { cells: cells.collect(), name: echo(name) }
        });
        Check { rows: rows.collect(), name: name.to_string() }
    }
}
