//! Two mistakes at once.

use std::path::{Path, PathBuf};

use loupe_spec::Dtype;
use miette::Result;
use serde_json::{Map, Value, json};

use super::bench::Bench;
use super::cases::{Case, Kind, fit};
use super::planted::{TOKENS, candidates};
use super::random::Random;
use super::recording::Extent;
use super::referee::Referee;
use super::runner::{Run, pool};
use super::said::Said;
use super::sites::Place;
use super::truth::{Alike, VISIBLE};

/// How a pair of mistakes came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pair {
    BothNamed,
    /// One is named; the other is hidden beside it, and declared so.
    OneDeclared,
    /// Neither can be seen beside the other, and both are declared.
    BothDeclared,
    /// One is hidden beside the other, and not declared.
    Undeclared,
    /// One that can be seen is not named.
    Short,
    Wrong,
}

impl Pair {
    pub const ALL: [Pair; 6] =
        [Pair::BothNamed, Pair::OneDeclared, Pair::BothDeclared, Pair::Undeclared, Pair::Short, Pair::Wrong];

    /// `hidden`: whether the first, the second differs by less than the noise beside the other.
    fn of(said: &Said, pair: [&Case; 2], hidden: [bool; 2], alike: Option<Alike>) -> Pair {
        let ids = pair.map(Case::id);
        if alike == Some(Alike::Same) {
            return Pair::BothNamed;
        }
        if !said.wrong(&ids).is_empty() {
            return Pair::Wrong;
        }
        let named = ids.map(|id| said.has(id));
        let unseen = [0, 1].map(|at| !named[at] && hidden[at]);
        let declared = [0, 1].map(|at| said.declares(ids[at], &Place::Everywhere));
        if [0, 1].iter().any(|at| !named[*at] && !unseen[*at]) {
            return Pair::Short;
        }
        if [0, 1].iter().any(|at| unseen[*at] && !declared[*at]) {
            return Pair::Undeclared;
        }
        match unseen {
            [false, false] => Pair::BothNamed,
            [true, true] => Pair::BothDeclared,
            _ => Pair::OneDeclared,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Pair::BothNamed => "both named",
            Pair::OneDeclared => "one declared",
            Pair::BothDeclared => "both declared",
            Pair::Undeclared => "hidden, not declared",
            Pair::Short => "one not named",
            Pair::Wrong => "wrong name",
        }
    }

    pub fn right(self) -> bool {
        self <= Pair::BothDeclared
    }
}

/// A pair and how its verdict came out.
#[derive(Clone, Debug)]
pub struct Judged {
    pub model: String,
    pub planted: [String; 2],
    pub extent: Extent,
    pub outcome: Pair,
    pub said: String,
}

impl Judged {
    pub fn line(&self) -> String {
        let [a, b] = &self.planted;
        let what = self.outcome.name();
        format!("pair, {what}: {a} and {b} in {}, {}: {}", self.model, self.extent.name(), self.said)
    }

    pub fn json(&self) -> Value {
        json!({
            "model": self.model, "planted": self.planted, "recording": self.extent.name(),
            "outcome": self.outcome.name(), "said": self.said,
        })
    }
}

/// As many pairs as the settings ask for, spread over the checkpoints, everywhere, in f32 on flex.
pub fn run(bench: &Bench) -> Result<Vec<Judged>> {
    let models = &bench.settings.checkpoints;
    let folder = bench.folder(&["pairs"])?;
    let mut random = Random::of("pairs");
    let mut jobs: Vec<(Run, [&'static Case; 2], PathBuf)> = Vec::new();
    for (number, model) in (0..bench.settings.pairs).zip(models.iter().cycle()) {
        let token_ids = random.prompt(TOKENS, bench.config(model)?.vocab_size);
        let run = Run { model: model.clone(), backend: "flex".to_string(), dtype: Dtype::F32, token_ids };
        jobs.push((run, draw(&mut random, &bench.settings.mistakes), folder.join(number.to_string())));
    }
    let judged = pool(&jobs, |(run, pair, folder)| one(bench, run.clone(), *pair, folder));
    bench.clear(&folder);
    judged.into_iter().collect::<Result<Vec<_>>>().map(|judged| judged.concat())
}

fn one(bench: &Bench, run: Run, pair: [&'static Case; 2], folder: &Path) -> Result<Vec<Judged>> {
    let referee = Referee::new(bench, run, folder)?;
    let planted = pair.map(|case| case.name.to_string());
    let prefix = folder.join("pair");
    let recording = referee.mistaken(&planted, &prefix)?;
    let made = candidates(&recording, &prefix, &bench.settings.recordings)?;
    let paths: Vec<PathBuf> = made.iter().map(|(_, path)| path.clone()).collect();
    let mut judged = Vec::new();
    for ((extent, _), answer) in made.into_iter().zip(bench.runner.judge(&paths, &Map::new(), folder)) {
        let said = Said::of_answer(answer);
        let mut hidden = [false; 2];
        for (at, case) in pair.iter().enumerate().filter(|(_, case)| !said.has(case.id())) {
            let other = std::slice::from_ref(&planted[1 - at]);
            hidden[at] = case.kind != Kind::Policy && referee.visibility(&planted, other, extent)? <= VISIBLE;
        }
        let alike = match said.wrong(&pair.map(Case::id)).is_empty() {
            true => None,
            false => Some(referee.alike(&planted, &said.as_planted(), extent)?),
        };
        let outcome = Pair::of(&said, pair, hidden, alike);
        let model = referee.run.model.clone();
        judged.push(Judged { model, planted: planted.clone(), extent, outcome, said: said.line() });
    }
    Ok(judged)
}

/// Two mistakes of the architecture that change no stage in common: of two that replace the same thing, only the
/// second would be planted.
fn draw(random: &mut Random, cases: &[&'static Case]) -> [&'static Case; 2] {
    loop {
        let [a, b] = [0; 2].map(|_| cases[random.below(cases.len())]);
        if fit(a, b) {
            return [a, b];
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::verdict::cases::{ALL, find};
    use crate::verdict::said::tests::said;

    #[test]
    fn a_pair_has_no_stage_in_common() {
        let (mut random, cases) = (Random::of("test"), ALL.iter().collect::<Vec<_>>());
        for _ in 0..50 {
            let [a, b] = draw(&mut random, &cases);
            assert!(a.id() != b.id() && !a.at.iter().any(|stage| b.at.contains(stage)), "{} {}", a.name, b.name);
        }
    }

    #[test]
    fn of_a_pair_each_is_named_or_truly_hidden_and_declared() {
        let pair = ["gelu_erf", "norm_eps--none"].map(|name| find(name).unwrap());
        let of = |named: &[(&str, &[&str])], unseen: &[&str], hidden: [bool; 2]| {
            Pair::of(&said(named, unseen), pair, hidden, None)
        };
        let (erf, both) = ([("gelu_erf", &[][..])], [("gelu_erf", &[][..]), ("norm_eps", &[][..])]);
        assert_eq!(of(&both, &[], [false; 2]), Pair::BothNamed);
        assert_eq!(of(&erf, &["norm_eps"], [false, true]), Pair::OneDeclared);
        assert_eq!(of(&erf, &["norm_eps"], [false, false]), Pair::Short);
        assert_eq!(of(&erf, &[], [false, true]), Pair::Undeclared);
        assert_eq!(of(&[], &["gelu_erf", "norm_eps"], [true, true]), Pair::BothDeclared);
        let silu = [("gelu_erf", &[][..]), ("silu", &[][..])];
        assert_eq!(of(&silu, &["norm_eps"], [false, true]), Pair::Wrong);
        assert_eq!(Pair::of(&said(&silu, &[]), pair, [false; 2], Some(Alike::Same)), Pair::BothNamed);
    }
}
