//! What the verdict has to reach, and whether it does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::leave_one_out::Left;
use super::pairs::Pair;
use super::planted::Outcome;
use super::recording::Extent;
use super::results::Results;
use super::score::{Places, Tally};

/// Benign variants, kinds of them, and the largest part of one kind.
const VARIANTS: usize = 1000;
const KINDS: usize = 12;
const LARGEST: f64 = 0.15;

/// One requirement.
#[derive(Clone, Debug)]
pub struct Bar {
    pub what: String,
    /// `None`: nothing was run that could say.
    pub met: Option<bool>,
    /// What was counted.
    pub figures: String,
}

impl Bar {
    /// `least`: the part of `of` that is enough.
    fn part(what: &str, count: usize, of: usize, least: f64) -> Bar {
        let met = (of > 0).then_some(count as f64 >= least * of as f64);
        Bar { what: what.to_string(), met, figures: share(count, of) }
    }

    /// None of `of` may be `count`ed.
    fn none(what: &str, count: usize, of: usize) -> Bar {
        Bar { what: what.to_string(), met: (of > 0).then_some(count == 0), figures: format!("{count} of {of}") }
    }

    /// In a word.
    pub fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "not met",
            None => "not run",
        }
    }

    pub fn json(&self) -> Value {
        json!({"bar": self.what, "met": self.met, "figures": self.figures})
    }
}

/// `98 of 100 (98.00 %)`
pub fn share(count: usize, of: usize) -> String {
    match of {
        0 => "none".to_string(),
        of => {
            // Never rounded up to all of them.
            let percent = (count as f64 / of as f64 * 1e4).floor() / 1e2;
            format!("{count} of {of} ({percent:.2} %)")
        }
    }
}

/// Every requirement, in the order of the issue.
pub fn bars(results: &Results) -> Vec<Bar> {
    let tally = |test: &dyn Fn(&&Outcome) -> bool| {
        Tally::of(results.planted.iter().filter(|outcome| test(outcome)).map(|outcome| &outcome.score))
    };
    let named = |extents: &[Extent], least: f64, what: &str| {
        let tally = tally(&|outcome| extents.contains(&outcome.extent));
        Bar::part(what, tally.named, tally.visible(), least)
    };
    let (all, elsewhere) = (tally(&|_| true), tally(&|outcome| outcome.run.starts_with("transformers")));
    let placed = |what: &str, places: Places| Bar::part(what, places.right, places.told(), 1.0);
    let layered = tally(&|outcome| outcome.extent != Extent::Logits).layers;

    let left = &results.left_out;
    let right = left.iter().filter(|outcome| outcome.left.right()).count();
    let left_wrong = left.iter().filter(|o| matches!(o.left, Left::WrongName | Left::WrongValue)).count();
    let pairs = &results.pairs;
    let pairs_right = pairs.iter().filter(|pair| pair.outcome.right()).count();
    let pairs_wrong = pairs.iter().filter(|pair| pair.outcome == Pair::Wrong).count();

    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for benign in &results.benign {
        *kinds.entry(&benign.kind).or_default() += 1;
    }
    let (variants, largest) = (results.benign.len(), kinds.values().copied().max().unwrap_or(0));
    let enough = kinds.len() >= KINDS && largest as f64 <= LARGEST * variants as f64;
    let kinds = Bar {
        what: format!("{VARIANTS} benign variants of {KINDS} kinds, none over {:.0} %", LARGEST * 100.0),
        // The reduced form has fewer.
        met: (variants >= VARIANTS).then_some(enough),
        figures: format!("{variants} of {} kinds, the largest {}", kinds.len(), share(largest, variants)),
    };
    vec![
        Bar::part("detected, 100 %", all.detected, all.visible(), 1.0),
        Bar::part("right first stage, 100 %", all.right_stage, all.visible(), 1.0),
        named(&[Extent::Full], 1.0, "right name on full traces, 100 %"),
        named(&[Extent::Layers], 0.98, "right name on layer outputs, 98 %"),
        named(&[Extent::Logits], 0.98, "right name on logits alone, 98 %"),
        placed("right layer where planted in one, on full traces and layer outputs, 100 %", layered),
        placed("right site where planted at one, on full traces, 100 %", all.sites),
        Bar::part("planted in transformers: right name, 98 %", elsewhere.named, elsewhere.visible(), 0.98),
        Bar::none("wrong names, 0", all.wrong, all.planted),
        Bar::none("false alarms, 0", results.false_alarms(), variants),
        kinds,
        Bar::none("leave-one-out: another's name or a wrong parameter, 0", left_wrong, left.len()),
        Bar::part("leave-one-out: unnamed with the stage, or the parameter, or hidden, 100 %", right, left.len(), 1.0),
        Bar::part("pairs: both named or declared, 98 %", pairs_right, pairs.len(), 0.98),
        Bar::none("pairs: wrong names, 0", pairs_wrong, pairs.len()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_missed_or_not_run() {
        assert_eq!(Bar::part("x", 98, 100, 0.98).word(), "met");
        assert_eq!(Bar::part("x", 97, 100, 0.98).word(), "not met");
        assert_eq!(Bar::part("x", 0, 0, 0.98).word(), "not run");
        assert_eq!((Bar::none("x", 0, 5).word(), Bar::none("x", 1, 5).word()), ("met", "not met"));
        assert!(bars(&Results::default()).iter().all(|bar| bar.word() == "not run"));
    }

    #[test]
    fn a_share_is_not_rounded_up() {
        assert_eq!(share(99_999, 100_000), "99999 of 100000 (99.99 %)");
        assert_eq!(share(5, 5), "5 of 5 (100.00 %)");
    }
}
