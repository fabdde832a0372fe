//! The benchmark as Markdown.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::bars::bars;
use super::benign::Benign;
use super::cases::id_of;
use super::leave_one_out::Left;
use super::pairs::Pair;
use super::planted::Outcome;
use super::recording::Extent;
use super::results::Results;
use super::score::{Places, Tally};

/// Columns of a table of tallies.
const TALLIED: [&str; 12] = [
    "planted",
    "hidden",
    "of these declared",
    "visible",
    "detected",
    "right stage",
    "name first",
    "name among",
    "layer",
    "site",
    "wrong names",
    "inconclusive",
];

/// The tables, each shortfall in a line, and last what has to be reached.
pub fn markdown(results: &Results) -> String {
    let mut parts = Vec::new();
    if !results.planted.is_empty() {
        parts.push(tallies("planted", &by_recording(&results.planted)));
        parts.push(tallies("mistake", &by_mistake(&results.planted)));
    }
    if !results.left_out.is_empty() {
        let outcomes = results.left_out.iter().map(|outcome| (outcome.extent, outcome.left));
        parts.push(counts("name left out", &Left::ALL.map(|left| (left, left.name())), outcomes));
    }
    if !results.pairs.is_empty() {
        let outcomes = results.pairs.iter().map(|pair| (pair.extent, pair.outcome));
        parts.push(counts("pairs", &Pair::ALL.map(|pair| (pair, pair.name())), outcomes));
    }
    if !results.benign.is_empty() {
        parts.push(benign(&results.benign));
    }
    if !shortfalls(results).is_empty() {
        parts.push(falls_short(results));
    }
    for (title, lines) in [
        ("Each of these", shortfalls(results)),
        ("Hidden: f64 with and without differ by less than the noise", hidden(results)),
        ("Not run", results.skipped.clone()),
    ] {
        if !lines.is_empty() {
            parts.push(format!("{title}:\n\n{}", lines.iter().map(|line| format!("- {line}\n")).collect::<String>()));
        }
    }
    parts.push(required(results));
    parts.join("\n")
}

/// The shortfalls counted: a row a way to fall short, with what does.
fn falls_short(results: &Results) -> String {
    let planted = results.planted.iter().filter_map(|outcome| {
        let id = id_of(&outcome.planted).to_string();
        Some((format!("planted: {}", outcome.score.shortfall()?), outcome.extent, id))
    });
    let left_out = results.left_out.iter().filter(|outcome| !outcome.left.right()).map(|outcome| {
        (format!("name left out: {}", outcome.left.name()), outcome.extent, id_of(&outcome.planted).to_string())
    });
    let pairs = results.pairs.iter().filter(|pair| !pair.outcome.right()).map(|pair| {
        let ids = pair.planted.each_ref().map(|name| id_of(name));
        (format!("pair: {}", pair.outcome.name()), pair.extent, ids.join(" with "))
    });
    let benign = results
        .benign
        .iter()
        .filter_map(|benign| Some((benign.shortfall()?.to_string(), benign.extent, benign.kind.clone())));
    let mut rows: BTreeMap<String, (Vec<Extent>, BTreeSet<String>)> = BTreeMap::new();
    for (what, extent, which) in planted.chain(left_out).chain(pairs).chain(benign) {
        let row = rows.entry(what).or_default();
        row.0.push(extent);
        row.1.insert(which);
    }
    let mut table = table(["what falls short"].into_iter().chain(Extent::ALL.map(Extent::name)).chain(["which"]));
    for (what, (extents, which)) in rows {
        let count = |extent: Extent| extents.iter().filter(|of| **of == extent).count().to_string();
        let which = which.into_iter().collect::<Vec<_>>().join(", ");
        table.add_row(std::iter::once(what).chain(Extent::ALL.map(count)).chain([which]));
    }
    render(table)
}

/// Every shortfall, one line each.
pub fn shortfalls(results: &Results) -> Vec<String> {
    let mut lines: Vec<String> =
        results.planted.iter().filter_map(|outcome| Some(outcome.line(outcome.score.shortfall()?))).collect();
    lines.sort();
    lines.extend(results.left_out.iter().filter(|outcome| !outcome.left.right()).map(|outcome| outcome.line()));
    lines.extend(results.pairs.iter().filter(|pair| !pair.outcome.right()).map(|pair| pair.line()));
    lines.extend(results.benign.iter().filter_map(|benign| Some(benign.line(benign.shortfall()?))));
    lines
}

/// What was planted and cannot be seen: a line a mistake, with the runs in which it cannot.
fn hidden(results: &Results) -> Vec<String> {
    let mut places: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for outcome in results.planted.iter().filter(|outcome| outcome.score.hidden) {
        let run = format!("{} {}", outcome.run, outcome.extent.name());
        *places.entry(id_of(&outcome.planted).to_string()).or_default().entry(run).or_default() += 1;
    }
    let line = |(id, runs): (String, BTreeMap<String, usize>)| {
        let runs: Vec<String> = runs.into_iter().map(|(run, count)| format!("{run} {count}")).collect();
        format!("{id}: {}", runs.join(", "))
    };
    places.into_iter().map(line).collect()
}

/// The answer.
pub fn line(results: &Results) -> String {
    let bars = bars(results);
    let count = |word: &str| bars.iter().filter(|bar| bar.word() == word).count();
    let tally = Tally::of(results.planted.iter().map(|outcome| &outcome.score));
    format!(
        "{} planted, {} left out, {} pairs, {} benign: {} wrong names, {} false alarms; of {} bars {} met, {} not met, {} not run",
        tally.planted,
        results.left_out.len(),
        results.pairs.len(),
        results.benign.len(),
        results.wrong_names(),
        results.false_alarms(),
        bars.len(),
        count("met"),
        count("not met"),
        count("not run"),
    )
}

pub fn by_recording(outcomes: &[Outcome]) -> BTreeMap<String, Vec<&Outcome>> {
    let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        groups.entry(format!("{} {}", outcome.extent.name(), outcome.run)).or_default().push(outcome);
    }
    groups
}

pub fn by_mistake(outcomes: &[Outcome]) -> BTreeMap<String, Vec<&Outcome>> {
    let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        groups.entry(id_of(&outcome.planted).to_string()).or_default().push(outcome);
    }
    groups
}

fn tallies(title: &str, groups: &BTreeMap<String, Vec<&Outcome>>) -> String {
    let mut table = table(std::iter::once(title).chain(TALLIED));
    let placed = |places: Places| match places.untold {
        0 => format!("{}/{}", places.right, places.told()),
        untold => format!("{}/{} ({untold} cannot be told)", places.right, places.told()),
    };
    for (name, outcomes) in groups {
        let tally = Tally::of(outcomes.iter().map(|outcome| &outcome.score));
        let counts = [
            tally.planted.to_string(),
            tally.hidden.to_string(),
            tally.declared.to_string(),
            tally.visible().to_string(),
            tally.detected.to_string(),
            tally.right_stage.to_string(),
            tally.name_first.to_string(),
            tally.named.to_string(),
            placed(tally.layers),
            placed(tally.sites),
            tally.wrong.to_string(),
            tally.inconclusive.to_string(),
        ];
        table.add_row(std::iter::once(name.clone()).chain(counts));
    }
    render(table)
}

/// How often each outcome came out, a row an extent.
fn counts<T: PartialEq>(
    title: &str,
    outcomes: &[(T, &'static str)],
    came_out: impl Iterator<Item = (Extent, T)>,
) -> String {
    let came_out: Vec<(Extent, T)> = came_out.collect();
    let mut table = table(std::iter::once(title).chain(outcomes.iter().map(|(_, name)| *name)));
    for extent in Extent::ALL {
        let of_it: Vec<&T> = came_out.iter().filter(|(of, _)| *of == extent).map(|(_, outcome)| outcome).collect();
        if !of_it.is_empty() {
            let count = |(outcome, _): &(T, _)| of_it.iter().filter(|came| **came == outcome).count().to_string();
            table.add_row(std::iter::once(extent.name().to_string()).chain(outcomes.iter().map(count)));
        }
    }
    render(table)
}

fn benign(all: &[Benign]) -> String {
    let mut table = table(["benign", "variants", "exact", "numeric", "with a detail", "inconclusive", "false alarms"]);
    for (kind, of_it) in benign_kinds(all) {
        let count = |test: &dyn Fn(&Benign) -> bool| of_it.iter().filter(|benign| test(benign)).count().to_string();
        table.add_row([
            kind.to_string(),
            of_it.len().to_string(),
            count(&|benign| benign.said.word == "exact"),
            count(&|benign| benign.said.word == "numeric"),
            count(&|benign| benign.said.word == "numeric" && benign.said.detail.is_some()),
            count(&|benign| benign.said.code == 4),
            count(&Benign::false_alarm),
        ]);
    }
    render(table)
}

pub fn benign_kinds(all: &[Benign]) -> BTreeMap<&str, Vec<&Benign>> {
    let mut kinds: BTreeMap<&str, Vec<&Benign>> = BTreeMap::new();
    for benign in all {
        kinds.entry(&benign.kind).or_default().push(benign);
    }
    kinds
}

fn required(results: &Results) -> String {
    let mut table = table(["required", "", "counted"]);
    for bar in bars(results) {
        let word = bar.word();
        table.add_row([bar.what, word.to_string(), bar.figures]);
    }
    render(table)
}

fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(header);
    table
}

fn render(mut table: Table) -> String {
    for at in 1..table.column_count() {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string() + "\n").collect();
    lines.concat()
}
