//! What others' tolerances say of the same numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use loupe_spec::echo;

use super::part::{Part, line};
use super::table::{empty, over_layers, right_aligned};
use crate::policy::{Tally, Tolerated};
use crate::verdict::{Class, Verdict, pattern};
use crate::words::{count, share};

/// Every stage, and how many times what each tolerance allows it is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// `stage`, `Loupe`, then two for each tolerance: from the token ids on, and by itself.
    pub header: Vec<String>,
    /// A stage of all layers, of which the worst is taken.
    pub rows: Vec<Vec<String>>,
}

/// What the columns of [`Shares`] are.
pub const SHARES: &str = "how many times what is allowed, of the worst layer; above 1 fails. ids: against the reference's own run from the token \
                          ids, which is what such tools compare; alone: each stage from what you recorded before it.";

/// Of one candidate as text, below `title` where there are several; empty where nobody asked.
pub fn text(verdict: &Verdict, title: Option<&str>) -> String {
    let mut out = String::new();
    if verdict.tolerated.is_empty() {
        return out;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "\nothers' tolerances, which decide nothing here{}",
        title.map(|t| format!(": {t}")).unwrap_or_default()
    );
    for part in tolerated(verdict) {
        let _ = write!(out, "{part}");
    }
    let Shares { header, rows } = shares(verdict);
    let columns = header.len();
    let mut table = empty(header);
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    right_aligned(&mut table, 1..columns);
    let _ = writeln!(out, "{table}\n{SHARES}");
    out
}

/// What each tolerance asks for, what it fails, and where it disagrees with the verdict.
pub fn tolerated(verdict: &Verdict) -> Vec<Part> {
    let part = |(at, one): (usize, &Tolerated)| Part {
        title: called(verdict, at),
        lines: [
            Some(line("asks for", one.rule.clone())),
            one.from_token_ids.as_ref().map(|tally| line("from ids", in_words(tally))),
            Some(line("alone", in_words(&one.own_inputs))),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };
    verdict.tolerated.iter().enumerate().map(part).collect()
}

/// Number `at` of what was asked: its policy, of which several are told apart by their numbers.
fn called(verdict: &Verdict, at: usize) -> String {
    let policy = echo(&verdict.tolerated[at].policy);
    let alike = |some: &[Tolerated]| some.iter().filter(|other| other.policy == verdict.tolerated[at].policy).count();
    match alike(&verdict.tolerated) {
        1 => policy,
        _ => format!("{policy} {}", 1 + alike(&verdict.tolerated[..at])),
    }
}

/// `fails 20 of 24 stages, first layers.0.mlp.act; Loupe calls 19 of them right; it passes 1 that Loupe calls wrong`
fn in_words(tally: &Tally) -> String {
    if tally.of == 0 {
        return "asks nothing of what was recorded".to_string();
    }
    let mut text = match &tally.first {
        None => format!("passes {}", if tally.of == 1 { "the one stage" } else { "all" }),
        Some(first) => format!("fails {} of {}, first {}", tally.failing, count(tally.of, "stage"), echo(first)),
    };
    if tally.right_but_fail > 0 {
        let _ = write!(text, "; Loupe calls {} of them right", tally.right_but_fail);
    }
    if tally.wrong_but_pass > 0 {
        let _ = write!(text, "; it passes {} that Loupe calls wrong", tally.wrong_but_pass);
    }
    text
}

/// The table of all stages.
pub fn shares(verdict: &Verdict) -> Shares {
    let mut order = Vec::new();
    let stages = over_layers(verdict, &mut order);
    let mut header = vec!["stage".to_string(), "Loupe".to_string()];
    let mut columns: Vec<BTreeMap<String, f64>> = Vec::new();
    for (at, one) in verdict.tolerated.iter().enumerate() {
        let (mut ids, mut alone) = (BTreeMap::new(), BTreeMap::new());
        for stage in &one.stages {
            let pattern = pattern(&stage.probe);
            let worst = |column: &mut BTreeMap<String, f64>, share: f64| {
                let own = column.entry(pattern.clone()).or_insert(share);
                *own = own.max(share);
            };
            worst(&mut alone, stage.own());
            stage.whole().into_iter().for_each(|share| worst(&mut ids, share));
        }
        for (what, column) in [("ids", ids), ("alone", alone)] {
            if !column.is_empty() {
                header.push(format!("{}, {what}", called(verdict, at)));
                columns.push(column);
            }
        }
    }
    let cell = |column: &BTreeMap<String, f64>, pattern: &String| match column.get(pattern) {
        None => String::new(),
        Some(times) if times.is_finite() => share(*times),
        Some(_) => "beyond".to_string(),
    };
    let row = |pattern: String| {
        let all = &stages[&pattern];
        let own = if all.worst.class == Class::Exact { all.error() } else { all.used() };
        let parts = [own, all.word(verdict).unwrap_or_default().to_string()];
        let judged = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        let shares = columns.iter().map(|column| cell(column, &pattern)).collect::<Vec<_>>();
        [pattern, judged].into_iter().chain(shares).collect()
    };
    Shares { header, rows: order.into_iter().map(row).collect() }
}
