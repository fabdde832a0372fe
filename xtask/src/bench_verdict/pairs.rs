//! Two mistakes at once.

use std::path::PathBuf;

use loupe_spec::Dtype;
use miette::{Result, miette};
use serde_json::{Map, Value, json};

use super::Bench;
use super::cases::{self, Case, Kind};
use super::random::Random;
use super::recording::{Extent, Recording};
use super::runner::{Run, pool};
use super::score::{Pair, Said};

const TOKENS: usize = 12;

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
        format!("pair {what}: {a} and {b} in {}, {}: {}", self.model, self.extent.name(), self.said)
    }

    pub fn json(&self) -> Value {
        json!({
            "model": self.model, "planted": self.planted, "recording": self.extent.name(),
            "outcome": self.outcome.name(), "said": self.said,
        })
    }
}

/// As many pairs as the settings ask for, spread over the checkpoints, in f32, as full traces and as logits alone.
pub fn run(bench: &Bench) -> Result<Vec<Judged>> {
    let models = &bench.settings.checkpoints;
    let folder = bench.folder(&["pairs"])?;
    let mut random = Random::of("pairs");
    let mut jobs: Vec<(Run, [&'static Case; 2], PathBuf)> = Vec::new();
    for (number, model) in (0..bench.settings.pairs).zip(models.iter().cycle()) {
        let token_ids = random.prompt(TOKENS, bench.config(model)?.vocab_size);
        let run = Run { model: model.clone(), backend: "flex".to_string(), dtype: Dtype::F32, token_ids };
        jobs.push((run, draw(&mut random), folder.join(number.to_string())));
    }
    let made: Vec<Vec<(Extent, PathBuf)>> = pool(&jobs, |(run, pair, prefix)| {
        bench.runner.trace(run, &pair.map(|case| case.name.to_string()), prefix)?;
        let all = super::planted::candidates(&Recording::read(prefix)?, prefix)?;
        Ok(all.into_iter().filter(|(extent, _)| *extent != Extent::Layers).collect())
    })
    .into_iter()
    .collect::<Result<_>>()?;
    let paths: Vec<PathBuf> = made.iter().flatten().map(|(_, path)| path.clone()).collect();
    let mut verdicts = bench.runner.judge(&paths, &Map::new(), &folder).into_iter();
    let mut judged = Vec::new();
    for ((run, pair, _), candidates) in jobs.iter().zip(&made) {
        for (extent, _) in candidates {
            let said = Said::of_answer(verdicts.next().unwrap_or_else(|| Err(miette!("no answer"))));
            judged.push(Judged {
                model: run.model.clone(),
                planted: pair.map(|case| case.name.to_string()),
                extent: *extent,
                outcome: Pair::of(&said, pair.map(|case| case.name)),
                said: said.line(),
            });
        }
    }
    bench.clear(&folder);
    Ok(judged)
}

/// Two mistakes of the architecture that change no stage in common: of two that replace the same thing, only the
/// second would be planted.
fn draw(random: &mut Random) -> [&'static Case; 2] {
    loop {
        let [a, b] = [0; 2].map(|_| &cases::ALL[random.below(cases::ALL.len())]);
        let apart = !a.at.iter().any(|stage| b.at.contains(stage));
        if apart && [a, b].iter().all(|case| case.kind == Kind::Architectural) {
            return [a, b];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_no_stage_in_common() {
        let mut random = Random::of("test");
        for _ in 0..50 {
            let [a, b] = draw(&mut random);
            assert!(a.id() != b.id() && !a.at.iter().any(|stage| b.at.contains(stage)), "{} {}", a.name, b.name);
        }
    }
}
