//! One verdict held against what was planted.

use std::collections::BTreeSet;

use loupe_spec::Probe;
use miette::Result;
use serde_json::{Value, json};

use super::cases::{Case, Kind, id_of};

/// What a verdict says, as much of it as is scored.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub word: String,
    pub detail: Option<String>,
    pub code: u8,
    pub first: Option<String>,
    pub named: Vec<Named>,
    pub unseen: BTreeSet<String>,
}

/// A mistake that a verdict names.
#[derive(Clone, Debug)]
pub struct Named {
    pub id: String,
    pub probe: String,
    pub layers: Vec<usize>,
    pub alternatives: Vec<String>,
}

impl Said {
    /// `None`: the value is no verdict.
    pub fn of(verdict: &Value) -> Option<Said> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_string);
        let texts = |value: &Value, key: &str| {
            let list = value.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|item| item.as_str().map(str::to_string)).collect::<Vec<_>>()
        };
        let named = |value: &Value| {
            let layers = value.get("layers")?.as_array()?.iter().filter_map(|l| l.as_u64()?.try_into().ok()).collect();
            let alternatives = texts(value, "alternatives");
            Some(Named { id: text(value, "id")?, probe: text(value, "probe")?, layers, alternatives })
        };
        Some(Said {
            word: text(verdict, "verdict")?,
            detail: text(verdict, "detail"),
            code: verdict.get("exit_code")?.as_u64()?.try_into().ok()?,
            first: verdict.get("first_divergence").and_then(|first| text(first, "probe")),
            named: verdict.get("mistakes")?.as_array()?.iter().filter_map(named).collect(),
            unseen: texts(verdict, "indistinguishable").into_iter().collect(),
        })
    }

    /// What the judge's answer says; why there is none, where it gave none.
    pub fn of_answer(answer: Result<Value>) -> Said {
        let none = |why: String| Said { word: format!("not judged: {why}"), code: 2, ..Said::default() };
        match answer {
            Ok(verdict) => Said::of(&verdict).unwrap_or_else(|| none("no verdict".to_string())),
            Err(why) => none(why.to_string()),
        }
    }

    /// Whether `id` is named, or is among those that fit as well as one that is.
    pub fn has(&self, id: &str) -> bool {
        self.named.iter().any(|named| named.id == id || named.alternatives.iter().any(|other| other == id))
    }

    /// Names of mistakes that were not planted and do not stand for one that was.
    pub fn wrong(&self, planted: &[&str]) -> Vec<String> {
        let stands_for = |named: &Named| {
            planted.iter().any(|id| named.id == *id || named.alternatives.iter().any(|other| other == id))
        };
        self.named.iter().filter(|named| !stands_for(named)).map(|named| named.id.clone()).collect()
    }

    /// In a few words.
    pub fn line(&self) -> String {
        let names: Vec<String> = self.named.iter().map(Named::line).collect();
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let first = self.first.as_ref().map(|first| format!(", first at {first}")).unwrap_or_default();
        let names = if names.is_empty() { String::new() } else { format!(", named {}", names.join(", ")) };
        format!("{}{detail}{first}{names}", self.word)
    }
}

impl Named {
    fn line(&self) -> String {
        match self.alternatives.as_slice() {
            [] => format!("{} at {}", self.id, self.probe),
            others => format!("{} at {} (or {})", self.id, self.probe, others.join(", ")),
        }
    }
}

/// How one verdict came out.
#[derive(Clone, Debug)]
pub struct Score {
    /// Declared unseen, and the runs with and without it agree.
    pub hidden: bool,
    /// The verdict is not "all fine"; for a dtype policy, it names it.
    pub detected: bool,
    pub inconclusive: bool,
    pub right_stage: bool,
    pub name_first: bool,
    pub named: bool,
    /// Planted in one layer: that layer and no other is named.
    pub right_layer: Option<bool>,
    pub wrong: Vec<String>,
}

/// What is known of a planted mistake without asking the judge.
pub struct Truth<'a> {
    /// Ids that are right: its own, and those of mistakes that come out the same in every bit.
    pub ids: &'a BTreeSet<&'a str>,
    /// Stages that may be called the first.
    pub first: &'a BTreeSet<Probe>,
    /// f64 with and without it differ by less than the dtype's noise in everything recorded.
    pub hidden: bool,
    /// The run came out as the right one in every bit though the mistake could be seen elsewhere: there is nothing to
    /// see and nothing to declare.
    pub right_anyway: bool,
}

impl Score {
    /// Of what is `said` about `planted` (name and site).
    pub fn of(said: &Said, case: &Case, planted: &str, truth: &Truth) -> Score {
        let ids: Vec<&str> = truth.ids.iter().copied().collect();
        let named = ids.iter().any(|id| said.has(id)) || (case.kind == Kind::Fault && said.word == "backend_fault");
        let fine = matches!(said.code, 0 | 4) && said.named.is_empty();
        let hidden = fine && (truth.right_anyway || (truth.hidden && said.unseen.contains(case.id())));
        let detected = match case.kind {
            Kind::Policy => named,
            Kind::Architectural | Kind::Fault => said.code != 0,
        };
        // Within the budget no stage fails by itself, and the mistake says where it shows.
        let place = said.first.clone().or(said.named.first().map(|named| named.probe.clone()));
        let right_stage = place.is_some_and(|place| truth.first.iter().any(|probe| probe.to_string() == place));
        let is_right = |named: &&Named| ids.contains(&named.id.as_str());
        let own = said.named.iter().find(is_right);
        let site = planted.split_once('@').and_then(|(_, layer)| layer.parse::<usize>().ok());
        Score {
            hidden,
            detected,
            inconclusive: said.code == 4,
            right_stage,
            name_first: said.named.first().map_or(named, |first| is_right(&first)),
            named,
            right_layer: site.zip(own).map(|(site, own)| own.layers == [site]),
            wrong: said.wrong(&ids),
        }
    }

    /// What fell short, in a word; `None`: nothing.
    pub fn shortfall(&self) -> Option<&'static str> {
        Some(match self {
            score if !score.wrong.is_empty() => "wrong name",
            score if score.hidden => return None,
            score if score.inconclusive && !score.named => "inconclusive",
            score if !score.detected => "missed",
            score if !score.named => "unnamed",
            score if !score.right_stage => "wrong stage",
            score if !score.name_first => "not first",
            score if score.right_layer == Some(false) => "wrong layer",
            _ => return None,
        })
    }
}

/// How a pair of mistakes came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pair {
    BothNamed,
    /// One is named and the other declared unseen, or both are declared.
    OneDeclared,
    /// At least one is neither named nor declared.
    Short,
    Wrong,
}

impl Pair {
    pub const ALL: [Pair; 4] = [Pair::BothNamed, Pair::OneDeclared, Pair::Short, Pair::Wrong];

    pub fn of(said: &Said, planted: [&str; 2]) -> Pair {
        let ids = planted.map(id_of);
        if !said.wrong(&ids).is_empty() {
            return Pair::Wrong;
        }
        match ids.map(|id| (said.has(id), said.unseen.contains(id))) {
            [(true, _), (true, _)] => Pair::BothNamed,
            [(true, _), (_, true)] | [(_, true), (true, _)] | [(_, true), (_, true)] => Pair::OneDeclared,
            _ => Pair::Short,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Pair::BothNamed => "both named",
            Pair::OneDeclared => "one declared",
            Pair::Short => "short",
            Pair::Wrong => "wrong name",
        }
    }
}

/// Counts over many scores.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub planted: usize,
    pub hidden: usize,
    pub detected: usize,
    pub inconclusive: usize,
    pub right_stage: usize,
    pub name_first: usize,
    pub named: usize,
    pub sited: usize,
    pub right_layer: usize,
    pub wrong: usize,
}

impl Tally {
    pub fn of<'a>(scores: impl Iterator<Item = &'a Score>) -> Tally {
        let mut tally = Tally::default();
        for score in scores {
            tally.planted += 1;
            tally.wrong += usize::from(!score.wrong.is_empty());
            if score.hidden {
                tally.hidden += 1;
                continue;
            }
            tally.detected += usize::from(score.detected);
            tally.inconclusive += usize::from(score.inconclusive);
            tally.right_stage += usize::from(score.right_stage);
            tally.name_first += usize::from(score.name_first);
            tally.named += usize::from(score.named);
            tally.sited += usize::from(score.right_layer.is_some());
            tally.right_layer += usize::from(score.right_layer == Some(true));
        }
        tally
    }

    /// Those that can be seen.
    pub fn visible(&self) -> usize {
        self.planted - self.hidden
    }

    pub fn json(&self) -> Value {
        json!({
            "planted": self.planted, "hidden": self.hidden, "visible": self.visible(), "detected": self.detected,
            "inconclusive": self.inconclusive, "right_stage": self.right_stage, "name_first": self.name_first,
            "named": self.named, "sited_and_named": self.sited, "right_layer": self.right_layer, "wrong": self.wrong,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::bench_verdict::cases::find;

    fn said(named: &[(&str, &[&str])], unseen: &[&str]) -> Said {
        let mistakes: Vec<Value> = named
            .iter()
            .map(|(id, others)| json!({"id": id, "probe": "layers.1.mlp.act", "layers": [1], "alternatives": others}))
            .collect();
        let code = if named.is_empty() { 0 } else { 1 };
        let first = if named.is_empty() { Value::Null } else { json!({"probe": "layers.1.mlp.act"}) };
        Said::of(&json!({
            "verdict": "architectural", "detail": null, "exit_code": code, "first_divergence": first,
            "mistakes": mistakes, "indistinguishable": unseen,
        }))
        .unwrap()
    }

    fn score(said: &Said, hidden: bool) -> Score {
        let first = BTreeSet::from(["layers.1.mlp.act".parse().unwrap()]);
        let truth = Truth { ids: &BTreeSet::from(["gelu_erf"]), first: &first, hidden, right_anyway: false };
        Score::of(said, find("gelu_erf").unwrap(), "gelu_erf@1", &truth)
    }

    #[test]
    fn a_name_is_right_alone_or_among_those_that_fit() {
        assert_eq!(score(&said(&[("gelu_erf", &[])], &[]), false).shortfall(), None);
        assert_eq!(score(&said(&[("silu", &["gelu_erf"])], &[]), false).shortfall(), Some("not first"));
        assert_eq!(score(&said(&[("silu", &[])], &[]), false).shortfall(), Some("wrong name"));
        assert_eq!(score(&said(&[], &[]), false).shortfall(), Some("missed"));
    }

    #[test]
    fn declared_unseen_counts_only_where_it_is_true() {
        assert_eq!(score(&said(&[], &["gelu_erf"]), true).shortfall(), None);
        assert_eq!(score(&said(&[], &["gelu_erf"]), false).shortfall(), Some("missed"));
        assert_eq!(score(&said(&[], &[]), true).shortfall(), Some("missed"));
    }

    #[test]
    fn of_a_pair_each_is_named_or_declared() {
        let pair = ["gelu_erf", "norm_eps--none"];
        assert_eq!(Pair::of(&said(&[("gelu_erf", &[]), ("norm_eps", &[])], &[]), pair), Pair::BothNamed);
        assert_eq!(Pair::of(&said(&[("gelu_erf", &[])], &["norm_eps"]), pair), Pair::OneDeclared);
        assert_eq!(Pair::of(&said(&[("gelu_erf", &[])], &[]), pair), Pair::Short);
        assert_eq!(Pair::of(&said(&[("gelu_erf", &[]), ("silu", &[])], &["norm_eps"]), pair), Pair::Wrong);
    }
}
