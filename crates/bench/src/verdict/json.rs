//! The benchmark for programs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bars::{Bar, bars};
use super::benign::Benign;
use super::cases::id_of;
use super::leave_one_out;
use super::output::{benign_kinds, by_mistake, by_recording, line, shortfalls};
use super::pairs::Judged;
use super::planted::Outcome;
use super::results::Results;
use super::score::Tally;

/// The format of the JSON and its version.
const SCHEMA: &str = "loupe.bench-verdict/2";

/// Everything.
pub fn json(results: &Results, code: u8) -> Value {
    let mut by_all: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
    for outcome in &results.planted {
        let name = format!("{} {} {}", id_of(&outcome.planted), outcome.dtype(), outcome.extent.name());
        by_all.entry(name).or_default().push(outcome);
    }
    json!({
        "schema": SCHEMA,
        "exit_code": code,
        "answer": line(results),
        "seconds": results.seconds,
        "seconds_of": results.seconds_of.iter().map(|(part, s)| (part.clone(), json!(s))).collect::<Map<_, _>>(),
        "bars": bars(results).iter().map(Bar::json).collect::<Vec<_>>(),
        "by_recording": tallies(by_recording(&results.planted)),
        "by_mistake": tallies(by_mistake(&results.planted)),
        "by_mistake_dtype_and_recording": tallies(by_all),
        "benign": kinds(&results.benign),
        "shortfalls": shortfalls(results),
        "skipped": results.skipped,
        "planted": results.planted.iter().map(Outcome::json).collect::<Vec<_>>(),
        "leave_one_out": results.left_out.iter().map(leave_one_out::Outcome::json).collect::<Vec<_>>(),
        "pairs": results.pairs.iter().map(Judged::json).collect::<Vec<_>>(),
        "benign_variants": results.benign.iter().map(Benign::json).collect::<Vec<_>>(),
    })
}

fn tallies(groups: BTreeMap<String, Vec<&Outcome>>) -> Map<String, Value> {
    let tally = |all: Vec<&Outcome>| Tally::of(all.iter().map(|outcome| &outcome.score)).json();
    groups.into_iter().map(|(name, all)| (name, tally(all))).collect()
}

fn kinds(benign: &[Benign]) -> Map<String, Value> {
    let count = |all: Vec<&Benign>| {
        let alarms = all.iter().filter(|benign| benign.false_alarm()).count();
        let inconclusive = all.iter().filter(|benign| benign.said.code == 4).count();
        json!({"variants": all.len(), "false_alarms": alarms, "inconclusive": inconclusive})
    };
    benign_kinds(benign).into_iter().map(|(kind, all)| (kind.to_string(), count(all))).collect()
}
