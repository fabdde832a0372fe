//! Every recorded stage by candidate: its error, and how much of what is allowed that is.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use loupe_spec::echo;

use crate::verdict::{Class, StageVerdict, Verdict, Verdicts};
use crate::words::{in_words, share};

/// A table for each check, and one line that says what its columns are.
pub fn tables(verdicts: &Verdicts) -> String {
    let mut groups: Vec<(Option<&str>, Vec<&Verdict>)> = Vec::new();
    for verdict in &verdicts.verdicts {
        let check = verdict.candidate.check.as_deref();
        match groups.iter_mut().find(|(own, _)| *own == check) {
            Some((_, group)) => group.push(verdict),
            None => groups.push((check, vec![verdict])),
        }
    }
    groups.retain(|(_, group)| group.iter().any(|verdict| !verdict.stages.is_empty()));
    if groups.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for (check, group) in &groups {
        out.push('\n');
        if let Some(check) = check.filter(|_| groups.len() > 1) {
            out += &format!("{}\n", echo(check));
        }
        let table = if let [only] = group.as_slice() { of_one(only) } else { of_several(group) };
        out += &format!("{table}\n");
    }
    out + LEGEND
}

/// What the columns are.
const LEGEND: &str = "error: |yours - Gemma's| / |Gemma's| of the worst layer, each stage recomputed from what you recorded before it. of limit: \
                      error / limit; the limit is three times what right code loses to rounding, 1 and above is not rounding. A row is \
                      one stage of all layers; where stages are counted, each layer's is one.\n";

/// One stage in all layers.
pub struct AllLayers<'a> {
    /// The gravest of them, and of those the one that used most of its budget, speaks for all.
    pub worst: &'a StageVerdict,
    /// The layers that fail; of a stage outside the layers none.
    pub failing: Vec<usize>,
}

/// The stages of `verdict` by their names without the layer's number. Names that `order` lacks go in behind the one computed before them.
pub fn over_layers<'a>(verdict: &'a Verdict, order: &mut Vec<String>) -> BTreeMap<String, AllLayers<'a>> {
    let mut stages: BTreeMap<String, AllLayers<'_>> = BTreeMap::new();
    let mut next = 0;
    for stage in &verdict.stages {
        let pattern = stage.pattern();
        let at = order.iter().position(|known| *known == pattern).unwrap_or_else(|| {
            order.insert(next, pattern.clone());
            next
        });
        next = at + 1;
        let all = stages.entry(pattern).or_insert(AllLayers { worst: stage, failing: Vec::new() });
        if (stage.class.gravity(), stage.budget_used) > (all.worst.class.gravity(), all.worst.budget_used) {
            all.worst = stage;
        }
        if matches!(stage.class, Class::Wrong | Class::Fault) {
            all.failing.extend(stage.layer());
        }
    }
    stages
}

impl AllLayers<'_> {
    /// What is beyond its limit is.
    pub(super) fn word(&self, verdict: &Verdict) -> Option<&'static str> {
        match self.worst.class {
            Class::Exact | Class::Numeric => None,
            Class::Wrong if verdict.calls_right(self.worst) => Some("other cast"),
            Class::Wrong => Some("WRONG"),
            Class::Fault => Some("FAULT"),
        }
    }

    /// `WRONG in every layer, first in 0, worst in 2`
    fn mark(&self, verdict: &Verdict) -> String {
        let of_layers = verdict.coverage.of_layers;
        let Some(word) = self.word(verdict) else { return String::new() };
        let layers = in_words(&self.failing, of_layers).map(|layers| format!(" in {layers}")).unwrap_or_default();
        let places = match (self.failing.as_slice(), self.worst.layer()) {
            ([first, _, ..], Some(worst)) => format!(", first in {first}, worst in {worst}"),
            _ => String::new(),
        };
        format!("{word}{layers}{places}")
    }

    /// What part of the limit is used; nothing where there is none.
    pub(super) fn used(&self) -> String {
        match self.worst.class {
            Class::Exact | Class::Fault => String::new(),
            _ if !self.worst.budget_used.is_finite() => String::new(),
            _ => share(self.worst.budget_used),
        }
    }

    pub(super) fn error(&self) -> String {
        match self.worst.class {
            Class::Exact => "exact".to_string(),
            Class::Fault => String::new(),
            Class::Numeric | Class::Wrong => format!("{:.1e}", self.worst.local_error),
        }
    }
}

fn of_one(verdict: &Verdict) -> Table {
    let mut order = Vec::new();
    let stages = over_layers(verdict, &mut order);
    let mark = |all: &AllLayers<'_>| all.mark(verdict);
    let any = stages.values().any(|all| !mark(all).is_empty());
    let mut table =
        empty(["stage", "error", "of limit", "layers"].map(str::to_string)[..if any { 4 } else { 3 }].to_vec());
    for pattern in order {
        let all = &stages[&pattern];
        let row = [pattern.clone(), all.error(), all.used()].into_iter();
        table.add_row(row.chain(any.then(|| mark(all))));
    }
    right_aligned(&mut table, 1..3);
    table
}

fn of_several(group: &[&Verdict]) -> Table {
    let mut table = empty(["stage".to_string()].into_iter().chain(group.iter().map(|one| label(one))).collect());
    let mut patterns: Vec<String> = Vec::new();
    let mut columns = Vec::new();
    for verdict in group {
        let mut order = Vec::new();
        let stages = over_layers(verdict, &mut order);
        let new: Vec<String> = order.into_iter().filter(|pattern| !patterns.contains(pattern)).collect();
        patterns.extend(new);
        columns.push((*verdict, stages));
    }
    for pattern in patterns {
        let cell = |(verdict, stages): &(&Verdict, BTreeMap<String, AllLayers<'_>>)| {
            let Some(all) = stages.get(&pattern) else { return String::new() };
            // A number that fails by far says no more than that it does.
            let used = if all.worst.class == Class::Numeric { format!("{:>4}", all.used()) } else { String::new() };
            let parts = [all.error(), used, all.mark(verdict)];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        };
        table.add_row([pattern.clone()].into_iter().chain(columns.iter().map(cell)));
    }
    let word = |verdict: &&Verdict| match &verdict.detail {
        Some(detail) => format!("{}: {detail}", verdict.verdict.name()),
        None => verdict.verdict.name().to_string(),
    };
    table.add_row(["verdict".to_string()].into_iter().chain(group.iter().map(word)));
    right_aligned(&mut table, 1..group.len() + 1);
    table
}

pub(super) fn empty(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}

pub(super) fn right_aligned(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in table.column_iter_mut().skip(columns.start).take(columns.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// `flex f32`, or what the file is called.
fn label(verdict: &Verdict) -> String {
    let file = || Path::new(&verdict.candidate.path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = verdict.candidate.backend.clone().or_else(file).unwrap_or_default();
    format!("{} {}", echo(&name), verdict.candidate.dtype)
}
