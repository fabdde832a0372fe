//! Mistakes planted in Loupe's own runs, judged as full traces, layer outputs and logits alone.

use std::path::{Path, PathBuf};

use loupe_spec::Dtype;
use miette::{Result, miette};
use serde_json::{Map, Value, json};

use super::bench::Bench;
use super::random::Random;
use super::recording::{Extent, Recording};
use super::referee::Referee;
use super::runner::{Run, pool};
use super::said::Said;
use super::score::{Placed, Score};
use super::sites::{Planting, plantings};
use super::truth::Moved;

/// Longer than every window of the tiny checkpoints.
pub const TOKENS: usize = 12;

/// One candidate and how its verdict came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub model: String,
    /// Such as `flex-bf16`, or `transformers-f32`.
    pub run: String,
    pub extent: Extent,
    /// With its site.
    pub planted: String,
    pub score: Score,
    /// By how much the most it moves a recorded stage, in units of what the dtype does, in f64; where it was not named.
    pub visibility: Option<f64>,
    /// What the verdict says, in a line.
    pub said: String,
}

impl Outcome {
    pub fn line(&self, shortfall: &str) -> String {
        let visibility = self.visibility.map(|v| format!(" (moves {v:.1} times the noise)")).unwrap_or_default();
        let Outcome { model, run, extent, planted, said, .. } = self;
        format!("{shortfall}: {planted} in {model}, {run}, {}{visibility}: {said}", extent.name())
    }

    /// The dtype of its run.
    pub fn dtype(&self) -> &str {
        self.run.rsplit('-').next().unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        let placed = |placed: Option<Placed>| {
            placed.map(|placed| match placed {
                Placed::Right => "right",
                Placed::Untold => "cannot be told",
                Placed::Wrong => "wrong",
            })
        };
        let score = &self.score;
        json!({
            "model": self.model, "run": self.run, "recording": self.extent.name(), "planted": self.planted,
            "hidden": score.hidden, "declared": score.declared, "detected": score.detected,
            "inconclusive": score.inconclusive, "right_stage": score.right_stage, "name_first": score.name_first,
            "named": score.named, "layer": placed(score.layer), "site": placed(score.site), "wrong_names": score.wrong,
            "shortfall": score.shortfall(), "visibility": self.visibility.map(|most| most.min(f64::MAX)), "said": self.said,
        })
    }
}

/// One planted mistake with its run.
struct Planted {
    planting: Planting,
    recording: Recording,
    moved: Moved,
    candidates: Vec<(Extent, PathBuf)>,
}

/// Everything planted in one checkpoint on one backend in one dtype. `turn`: the number of the group.
pub fn group(bench: &Bench, (model, backend, dtype): &(String, String, Dtype), turn: usize) -> Result<Vec<Outcome>> {
    let folder = bench.folder(&[model, backend, dtype.name()])?;
    let mut random = Random::of(&format!("planted {model} {backend} {dtype}"));
    let token_ids = random.prompt(TOKENS, bench.config(model)?.vocab_size);
    let run = Run { model: model.clone(), backend: backend.clone(), dtype: *dtype, token_ids };
    let referee = Referee::new(bench, run, &folder)?;
    let settings = &bench.settings;
    let mut all = plantings(&settings.mistakes, &settings.sites, &referee.config, turn);
    if backend != "flex" {
        // Another part on each checkpoint, so that all together have every one.
        let checkpoint = turn / bench.present.runs.len();
        all = all.into_iter().skip(checkpoint % settings.every).step_by(settings.every).collect();
    }
    let jobs: Vec<(usize, Planting)> = all.into_iter().enumerate().collect();
    let planted =
        pool(&jobs, |(at, planting)| plant(&referee, planting, &folder.join(at.to_string()), &settings.recordings));
    let planted: Vec<Planted> = planted.into_iter().collect::<Result<_>>()?;

    let candidates: Vec<PathBuf> =
        planted.iter().flat_map(|planted| &planted.candidates).map(|(_, path)| path.clone()).collect();
    let mut verdicts = bench.runner.judge(&candidates, &Map::new(), &folder).into_iter();
    let mut answered: Vec<(&Planted, Extent, Said)> = Vec::new();
    for planted in &planted {
        for (extent, _) in &planted.candidates {
            let answer = verdicts.next().unwrap_or_else(|| Err(miette!("no answer")));
            answered.push((planted, *extent, Said::of_answer(answer)));
        }
    }
    let outcomes = pool(&answered, |(planted, extent, said)| {
        let (score, visibility) =
            referee.score(&planted.planting, (&planted.recording, &planted.moved), *extent, said)?;
        Ok(Outcome {
            model: model.clone(),
            run: format!("{backend}-{dtype}"),
            extent: *extent,
            planted: planted.planting.to_string(),
            score,
            visibility,
            said: said.line(),
        })
    });
    bench.clear(&folder);
    outcomes.into_iter().collect()
}

fn plant(referee: &Referee, planting: &Planting, prefix: &Path, extents: &[Extent]) -> Result<Planted> {
    let recording = referee.mistaken(&[planting.to_string()], prefix)?;
    let moved = referee.moved(&recording);
    let candidates = candidates(&recording, prefix, extents)?;
    Ok(Planted { planting: *planting, recording, moved, candidates })
}

/// The run in each of `extents`, as candidates.
pub fn candidates(recording: &Recording, prefix: &Path, extents: &[Extent]) -> Result<Vec<(Extent, PathBuf)>> {
    let name = prefix.file_name().unwrap_or_default().to_string_lossy();
    let cut = |extent: &Extent| {
        let prefix = prefix.with_file_name(format!("{name}-{}", extent.name()));
        Ok((*extent, recording.cut(|probe| extent.holds(probe)).write(&prefix)?))
    };
    extents.iter().map(cut).collect()
}
