//! Mistakes planted in transformers itself, and right runs of it: these share no code with the judge.

use std::path::{Path, PathBuf};

use loupe_spec::Dtype;
use miette::{Result, miette};
use serde_json::{Map, Value};

use super::bench::Bench;
use super::benign::Benign;
use super::cases;
use super::planted::{Outcome, candidates};
use super::recording::{Extent, Recording};
use super::referee::Referee;
use super::runner::Run;
use super::said::Said;
use super::sites::{Place, Planting};

const FIXTURES: &str = "tests/fixtures";
/// The checkpoint of the planted mistakes.
const MODEL: &str = "tests/fixtures/mini";
const RUN: &str = "transformers-f32";

/// The files of `tests/fixtures/mistakes`, in every extent.
pub fn run(bench: &Bench) -> Result<(Vec<Outcome>, Vec<Benign>)> {
    let folder = bench.folder(&["transformers"])?;
    let golden = Recording::read_dump(&Path::new(MODEL).join("golden-f32.safetensors"))?;
    let ids = golden.token_ids().ok_or_else(|| miette!("{MODEL}: its golden has no token_ids"))?;
    let token_ids = ids.values.to_f64().into_iter().map(|id| id as usize).collect();
    let run = Run { model: MODEL.to_string(), backend: "flex".to_string(), dtype: Dtype::F32, token_ids };
    // Its right run is transformers' own; what is planted again is planted in Loupe.
    let mut referee = Referee::new(bench, run, &folder)?;
    referee.right = golden;

    let mut files: Vec<PathBuf> = dumps(&Path::new(FIXTURES).join("mistakes"))?;
    files.sort();
    let (mut outcomes, mut benign) = (Vec::new(), Vec::new());
    let mut made: Vec<(String, Recording, Extent, PathBuf)> = Vec::new();
    for file in files {
        let name = stem(&file);
        let recording = Recording::read_dump(&file)?;
        let of_it = candidates(&recording, &folder.join(&name), &bench.settings.recordings)?;
        made.extend(of_it.into_iter().map(|(extent, path)| (name.clone(), recording.clone(), extent, path)));
    }
    let paths: Vec<PathBuf> = made.iter().map(|(.., path)| path.clone()).collect();
    let verdicts = bench.runner.judge(&paths, &model(MODEL), &folder);
    for ((name, recording, extent, _), verdict) in made.into_iter().zip(verdicts) {
        let said = Said::of_answer(verdict);
        let Some(case) = cases::find(&name) else {
            let kind = name.replace("benign-", "transformers ");
            benign.push(Benign { kind, name: MODEL.to_string(), extent, wants_detail: false, said });
            continue;
        };
        let planting = Planting { case, place: Place::Everywhere };
        let (score, visibility) = referee.score(&planting, (&recording, &referee.moved(&recording)), extent, &said)?;
        let (run, said) = (RUN.to_string(), said.line());
        outcomes.push(Outcome { model: MODEL.to_string(), run, extent, planted: name, score, visibility, said });
    }
    benign.extend(goldens(bench, &folder)?);
    bench.clear(&folder);
    Ok((outcomes, benign))
}

/// The right runs of every checkpoint, in f32 and bf16.
fn goldens(bench: &Bench, folder: &Path) -> Result<Vec<Benign>> {
    let mut benign = Vec::new();
    for checkpoint in ["builtin", "parity", "sharded", "layer_types", "mini"] {
        let home = Path::new(FIXTURES).join(checkpoint);
        let id = if checkpoint == "builtin" { "builtin:tiny".to_string() } else { home.display().to_string() };
        let mut made = Vec::new();
        for dtype in ["f32", "bf16"] {
            let recording = Recording::read_dump(&home.join(format!("golden-{dtype}.safetensors")))?;
            let name = format!("{checkpoint}-{dtype}");
            let of_it = candidates(&recording, &folder.join(&name), &bench.settings.recordings)?;
            made.extend(of_it.into_iter().map(|(extent, path)| (name.clone(), extent, path)));
        }
        let paths: Vec<PathBuf> = made.iter().map(|(.., path)| path.clone()).collect();
        for ((name, extent, _), verdict) in made.into_iter().zip(bench.runner.judge(&paths, &model(&id), folder)) {
            let (kind, said) = ("transformers golden".to_string(), Said::of_answer(verdict));
            benign.push(Benign { kind, name, extent, wants_detail: false, said });
        }
    }
    Ok(benign)
}

fn model(id: &str) -> Map<String, Value> {
    Map::from_iter([("model".to_string(), Value::from(id))])
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn dumps(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = |error: std::io::Error| miette!("cannot read {}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_file_is_a_case_or_benign() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/mistakes");
        let files = dumps(&folder).unwrap();
        assert!(files.len() > 15);
        for name in files.iter().map(|file| stem(file)) {
            assert!(name.starts_with("benign-") || cases::find(&name).is_some(), "{name}");
        }
    }
}
