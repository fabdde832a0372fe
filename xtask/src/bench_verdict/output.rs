//! The benchmark in text and as JSON.

use std::collections::BTreeMap;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Map, Value, json};

use super::Results;
use super::benign::Benign;
use super::cases::id_of;
use super::planted::Outcome;
use super::recording::Extent;
use super::score::{Pair, Tally};

/// The format of the JSON and its version.
const SCHEMA: &str = "loupe.bench-verdict/1";

/// The tables, then each shortfall in a line.
pub fn text(results: &Results) -> String {
    let mut text = String::new();
    if !results.planted.is_empty() {
        text += &tallies("planted", &by_recording(&results.planted));
        text += "\n";
        let short: BTreeMap<String, Vec<&Outcome>> =
            by_mistake(&results.planted).into_iter().filter(|(_, all)| all.iter().any(|o| short(o))).collect();
        if !short.is_empty() {
            text += &tallies("with a shortfall", &short);
            text += "\n";
        }
    }
    if !results.benign.is_empty() {
        text += &benign(&results.benign);
        text += "\n";
    }
    if !results.pairs.is_empty() {
        text += &pairs(results);
        text += "\n";
    }
    for line in shortfalls(results) {
        text += &line;
        text += "\n";
    }
    text
}

fn short(outcome: &Outcome) -> bool {
    outcome.score.shortfall().is_some()
}

/// Every shortfall, one line each.
pub fn shortfalls(results: &Results) -> Vec<String> {
    let mut lines: Vec<String> =
        results.planted.iter().filter_map(|outcome| Some(outcome.line(outcome.score.shortfall()?))).collect();
    lines.sort();
    lines.extend(results.benign.iter().filter(|benign| benign.said.code != 0).map(Benign::line));
    let short = results.pairs.iter().filter(|pair| matches!(pair.outcome, Pair::Short | Pair::Wrong));
    lines.extend(short.map(super::pairs::Judged::line));
    lines.extend(results.skipped.iter().map(|what| format!("skipped: {what}")));
    lines
}

/// The answer.
pub fn line(results: &Results) -> String {
    let tally = Tally::of(results.planted.iter().map(|outcome| &outcome.score));
    let alarms = results.false_alarms();
    let pairs = results.pairs.iter().filter(|pair| matches!(pair.outcome, Pair::BothNamed | Pair::OneDeclared)).count();
    format!(
        "{} planted: {} hidden, of {} visible {} detected, {} at the right stage, {} named; {} wrong names; {} benign: \
         {alarms} false alarms, {} inconclusive; {} pairs: {pairs} named or declared, {} wrong",
        tally.planted,
        tally.hidden,
        tally.visible(),
        tally.detected,
        tally.right_stage,
        tally.named,
        tally.wrong,
        results.benign.len(),
        results.benign.iter().filter(|benign| benign.said.code == 4).count(),
        results.pairs.len(),
        results.pairs.iter().filter(|pair| pair.outcome == Pair::Wrong).count(),
    )
}

fn by_recording(outcomes: &[Outcome]) -> BTreeMap<String, Vec<&Outcome>> {
    let mut groups: BTreeMap<(Extent, &str), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        groups.entry((outcome.extent, &outcome.run)).or_default().push(outcome);
    }
    let number = |extent: Extent| Extent::ALL.iter().position(|known| *known == extent).unwrap_or(0);
    let name = |extent: Extent, run: &str| format!("{} {:<6} {run}", number(extent) + 1, extent.name());
    groups.into_iter().map(|((extent, run), outcomes)| (name(extent, run), outcomes)).collect()
}

fn by_mistake(outcomes: &[Outcome]) -> BTreeMap<String, Vec<&Outcome>> {
    let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        groups.entry(id_of(&outcome.planted).to_string()).or_default().push(outcome);
    }
    groups
}

fn tallies(title: &str, groups: &BTreeMap<String, Vec<&Outcome>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        title,
        "planted",
        "hidden",
        "visible",
        "detected",
        "stage",
        "name first",
        "among",
        "layer",
        "wrong names",
        "inconclusive",
    ]);
    for (name, outcomes) in groups {
        let tally = Tally::of(outcomes.iter().map(|outcome| &outcome.score));
        let counts = [
            tally.planted.to_string(),
            tally.hidden.to_string(),
            tally.visible().to_string(),
            tally.detected.to_string(),
            tally.right_stage.to_string(),
            tally.name_first.to_string(),
            tally.named.to_string(),
            format!("{}/{}", tally.right_layer, tally.sited),
            tally.wrong.to_string(),
            tally.inconclusive.to_string(),
        ];
        table.add_row(std::iter::once(name.clone()).chain(counts));
    }
    render(table)
}

fn benign(all: &[Benign]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["benign", "variants", "exact", "numeric", "inconclusive", "false alarms"]);
    for (kind, of_it) in benign_kinds(all) {
        let words = |word: &str| of_it.iter().filter(|benign| benign.said.word == word).count().to_string();
        let alarms = of_it.iter().filter(|benign| benign.false_alarm()).count().to_string();
        let counts = [of_it.len().to_string(), words("exact"), words("numeric"), words("inconclusive"), alarms];
        table.add_row(std::iter::once(kind.to_string()).chain(counts));
    }
    render(table)
}

fn benign_kinds(all: &[Benign]) -> BTreeMap<&str, Vec<&Benign>> {
    let mut kinds: BTreeMap<&str, Vec<&Benign>> = BTreeMap::new();
    for benign in all {
        kinds.entry(&benign.kind).or_default().push(benign);
    }
    kinds
}

fn pairs(results: &Results) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(std::iter::once("pairs").chain(Pair::ALL.map(Pair::name)));
    for extent in Extent::ALL {
        let of_it: Vec<_> = results.pairs.iter().filter(|pair| pair.extent == extent).collect();
        if !of_it.is_empty() {
            let count = |outcome: Pair| of_it.iter().filter(|pair| pair.outcome == outcome).count().to_string();
            table.add_row(std::iter::once(extent.name().to_string()).chain(Pair::ALL.map(count)));
        }
    }
    render(table)
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

/// Everything, for programs.
pub fn json(results: &Results, code: u8) -> Value {
    let tally = |groups: BTreeMap<String, Vec<&Outcome>>| -> Map<String, Value> {
        let of = |all: Vec<&Outcome>| Tally::of(all.iter().map(|outcome| &outcome.score)).json();
        groups.into_iter().map(|(name, all)| (name, of(all))).collect()
    };
    let kinds: Map<String, Value> = benign_kinds(&results.benign)
        .into_iter()
        .map(|(kind, all)| {
            let count = |test: &dyn Fn(&Benign) -> bool| all.iter().filter(|benign| test(benign)).count();
            let alarms = count(&Benign::false_alarm);
            let inconclusive = count(&|benign| benign.said.code == 4);
            (kind.to_string(), json!({"variants": all.len(), "false_alarms": alarms, "inconclusive": inconclusive}))
        })
        .collect();
    let dtypes = {
        let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &results.planted {
            let dtype = outcome.run.rsplit('-').next().unwrap_or_default();
            let name = format!("{} {dtype} {}", id_of(&outcome.planted), outcome.extent.name());
            groups.entry(name).or_default().push(outcome);
        }
        groups
    };
    json!({
        "schema": SCHEMA,
        "exit_code": code,
        "answer": line(results),
        "seconds": results.seconds,
        "by_recording": tally(by_recording(&results.planted)),
        "by_mistake": tally(by_mistake(&results.planted)),
        "by_mistake_dtype_and_recording": tally(dtypes),
        "benign": kinds,
        "benign_not_fine": results.benign.iter().filter(|b| b.said.code != 0).map(super::benign::json).collect::<Vec<_>>(),
        "pairs": results.pairs.iter().map(super::pairs::Judged::json).collect::<Vec<_>>(),
        "shortfalls": shortfalls(results),
        "hidden": results.planted.iter().filter(|o| o.score.hidden).map(Outcome::json).collect::<Vec<_>>(),
        "planted": results.planted.iter().map(Outcome::json).collect::<Vec<_>>(),
    })
}
