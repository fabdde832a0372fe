//! Mistakes planted in Loupe's own runs, judged as full traces, layer outputs and logits alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use loupe_spec::Dtype;
use miette::{Result, miette};
use serde_json::{Map, Value, json};

use super::Bench;
use super::cases::{self, Case, Kind};
use super::random::Random;
use super::recording::{Extent, Recording};
use super::runner::{Run, pool};
use super::score::{Said, Score, Truth};
use super::truth::{Moved, VISIBLE};

/// Longer than every window of the tiny checkpoints.
const TOKENS: usize = 12;
/// Each process of wgpu takes seconds to start: it runs so many mistakes, spread over the catalogue.
const ON_WGPU: usize = 8;

/// One candidate and how its verdict came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub model: String,
    /// Such as `flex-bf16`, or `transformers`.
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

    pub fn json(&self) -> Value {
        json!({
            "model": self.model, "run": self.run, "recording": self.extent.name(), "planted": self.planted,
            "hidden": self.score.hidden, "detected": self.score.detected, "inconclusive": self.score.inconclusive,
            "right_stage": self.score.right_stage, "name_first": self.score.name_first, "named": self.score.named,
            "right_layer": self.score.right_layer, "wrong_names": self.score.wrong,
            "shortfall": self.score.shortfall(), "visibility": self.visibility.map(|most| most.min(f64::MAX)), "said": self.said,
        })
    }
}

/// One planted mistake with its run.
struct Planted {
    case: &'static Case,
    name: String,
    moved: Moved,
    candidates: Vec<(Extent, PathBuf, u64)>,
}

/// Everything planted in one checkpoint on one backend in one dtype.
pub fn group(bench: &Bench, model: &str, backend: &str, dtype: Dtype) -> Result<Vec<Outcome>> {
    let folder = bench.folder(&[model, backend, dtype.name()])?;
    let config = bench.config(model)?;
    let mut random = Random::of(&format!("planted {model} {backend} {dtype}"));
    let run = Run {
        model: model.to_string(),
        backend: backend.to_string(),
        dtype,
        token_ids: random.prompt(TOKENS, config.vocab_size),
    };
    let exact_run = Run { backend: "flex".to_string(), dtype: Dtype::F64, ..run.clone() };
    let right = right(bench, &run, &folder.join("right"))?;
    let exact = self::right(bench, &exact_run, &folder.join("exact"))?;

    let mut names: Vec<(&'static Case, String)> = Vec::new();
    for case in cases::ALL {
        for site in bench.settings.sites.iter().map(|site| site.layer(config.num_hidden_layers)) {
            match site {
                None => names.push((case, case.name.to_string())),
                Some(layer) if case.in_layers => names.push((case, format!("{}@{layer}", case.name))),
                Some(_) => {}
            }
        }
    }
    if backend == "wgpu" {
        let step = names.len().div_ceil(ON_WGPU);
        names = names.into_iter().step_by(step.max(1)).collect();
    }
    let planted: Vec<Option<Planted>> = pool(&names.iter().enumerate().collect::<Vec<_>>(), |(at, (case, name))| {
        plant(bench, &run, (case, name), &folder.join(at.to_string()), &right, &exact)
    })
    .into_iter()
    .collect::<Result<_>>()?;
    let planted: Vec<Planted> = planted.into_iter().flatten().collect();

    let candidates: Vec<PathBuf> =
        planted.iter().flat_map(|planted| &planted.candidates).map(|(_, path, _)| path.clone()).collect();
    let mut verdicts = bench.runner.judge(&candidates, &Map::new(), &folder).into_iter();
    let mut scored: Vec<(&Planted, Extent, u64, Said)> = Vec::new();
    for planted in &planted {
        for (extent, _, digest) in &planted.candidates {
            let answer = verdicts.next().unwrap_or_else(|| Err(miette!("no answer")));
            scored.push((planted, *extent, *digest, Said::of_answer(answer)));
        }
    }
    // Mistakes whose recordings are the same bit for bit are one mistake here, and either name is right: in a layer
    // without a window, the wrong parity is a window everywhere.
    let mut same: BTreeMap<(Extent, u64), BTreeSet<&str>> = BTreeMap::new();
    for (planted, extent, digest, _) in &scored {
        same.entry((*extent, *digest)).or_default().insert(planted.case.id());
    }
    let outcomes = pool(&scored.iter().enumerate().collect::<Vec<_>>(), |(at, (planted, extent, digest, said))| {
        let own = BTreeSet::from([planted.case.id()]);
        let identical = *digest == right.digest(*extent);
        let ids = if identical { &own } else { same.get(&(*extent, *digest)).unwrap_or(&own) };
        let named = ids.iter().any(|id| said.has(id));
        let visibility = match planted.case.kind {
            _ if named => None,
            // A cast elsewhere does not show in f64.
            Kind::Policy => Some(planted.moved.most(*extent)),
            Kind::Architectural | Kind::Fault => {
                let prefix = folder.join(format!("exact-{at}"));
                let name = std::slice::from_ref(&planted.name);
                bench.runner.trace(&exact_run, name, &prefix)?;
                let mistaken = Recording::read(&prefix)?;
                Some(Moved::of(&mistaken, &exact, &right, &exact, dtype).most(*extent))
            }
        };
        let hidden = visibility.is_some_and(|most| most <= VISIBLE);
        let truth = Truth {
            ids,
            first: &planted.moved.first(*extent),
            hidden,
            // The layer is as the mistake would have it, or the dtype flushes what f64 shows (e^-50 is 0 in f16).
            right_anyway: identical && (planted.name.contains('@') || !hidden),
        };
        let score = Score::of(said, planted.case, &planted.name, &truth);
        Ok(Outcome {
            model: model.to_string(),
            run: format!("{backend}-{dtype}"),
            extent: *extent,
            planted: planted.name.clone(),
            score,
            visibility,
            said: said.line(),
        })
    });
    bench.clear(&folder);
    outcomes.into_iter().collect()
}

/// A run with nothing planted.
pub fn right(bench: &Bench, run: &Run, prefix: &Path) -> Result<Recording> {
    bench.runner.trace(run, &[], prefix)?;
    Recording::read(prefix)
}

fn plant(
    bench: &Bench,
    run: &Run,
    (case, name): (&'static Case, &String),
    prefix: &Path,
    right: &Recording,
    exact: &Recording,
) -> Result<Option<Planted>> {
    if !bench.runner.trace(run, std::slice::from_ref(name), prefix)? {
        return Ok(None);
    }
    let recording = Recording::read(prefix)?;
    let moved = Moved::of(&recording, right, right, exact, run.dtype);
    let candidates = candidates(&recording, prefix)?;
    let candidates = candidates.into_iter().map(|(extent, path)| (extent, path, recording.digest(extent))).collect();
    Ok(Some(Planted { case, name: name.clone(), moved, candidates }))
}

/// The run in every extent, as candidates.
pub fn candidates(recording: &Recording, prefix: &Path) -> Result<Vec<(Extent, PathBuf)>> {
    let cut = |extent: Extent| {
        let prefix = prefix.with_extension(extent.name());
        let prefix = prefix.with_file_name(prefix.file_name().unwrap_or_default().to_string_lossy().replace('.', "-"));
        Ok((extent, recording.cut(|probe| extent.holds(probe)).write(&prefix)?))
    };
    Extent::ALL.into_iter().map(cut).collect()
}
