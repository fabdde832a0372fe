//! `cargo xtask bench-verdict`: how well the judge names mistakes, and how seldom it calls right code wrong. Everything
//! goes through `loupe` itself, as a user would run it.

mod benign;
mod cases;
mod output;
mod pairs;
mod planted;
mod random;
mod recording;
mod runner;
mod score;
mod settings;
mod transformers;
mod truth;

use std::path::{Path, PathBuf};
use std::time::Instant;

use loupe_checkpoint::Checkpoint;
use loupe_spec::{Config, Dtype};
use miette::{Result, miette};

use crate::compare::{build, progress};
use crate::{io_error, say};
use runner::Runner;
use settings::Settings;

/// Where the traces go while they are needed, and the JSON at the end.
const OUTPUT: &str = "target/xtask/bench-verdict";

/// What every part of the benchmark needs.
pub struct Bench {
    pub settings: Settings,
    pub runner: Runner,
}

/// All that was measured.
#[derive(Default)]
pub struct Results {
    pub planted: Vec<planted::Outcome>,
    pub benign: Vec<benign::Benign>,
    pub pairs: Vec<pairs::Judged>,
    /// What could not be run here, and why.
    pub skipped: Vec<String>,
    pub seconds: f64,
}

impl Results {
    pub fn false_alarms(&self) -> usize {
        self.benign.iter().filter(|benign| benign.false_alarm()).count()
    }

    /// 1 where right code was called wrong or a mistake by another's name.
    fn code(&self) -> u8 {
        let wrong = self.planted.iter().any(|outcome| !outcome.score.wrong.is_empty())
            || self.pairs.iter().any(|pair| pair.outcome == score::Pair::Wrong);
        u8::from(wrong || self.false_alarms() > 0)
    }
}

/// Runs the benchmark that `config` describes, the full one without.
pub fn run(config: Option<&Path>) -> Result<u8> {
    let settings = config.map_or_else(|| Ok(Settings::default()), Settings::read)?;
    let bench = Bench { settings, runner: Runner { program: build::loupe()? } };
    std::fs::create_dir_all(OUTPUT).map_err(io_error("make the folder", Path::new(OUTPUT)))?;
    let started = Instant::now();
    let mut results = Results::default();
    let groups = bench.groups();
    let bar = progress::bar(groups.len());
    for (model, backend, dtype) in &groups {
        bar.set_message(format!("{model} on {backend} in {dtype}"));
        match planted::group(&bench, model, backend, *dtype) {
            Ok(outcomes) => results.planted.extend(outcomes),
            Err(why) => results.skipped.push(format!("{model} on {backend} in {dtype}: {why}")),
        }
        // What an interrupted run has measured is not lost.
        write(&results)?;
        bar.inc(1);
    }
    if bench.settings.transformers {
        bar.set_message("mistakes planted in transformers");
        let (outcomes, benign) = transformers::run(&bench)?;
        results.planted.extend(outcomes);
        results.benign.extend(benign);
    }
    if bench.settings.benign > 0 {
        bar.set_message("right code");
        results.benign.extend(benign::run(&bench)?);
    }
    if bench.settings.pairs > 0 {
        bar.set_message("pairs of mistakes");
        results.pairs = pairs::run(&bench)?;
    }
    bar.finish_and_clear();
    results.seconds = started.elapsed().as_secs_f64();

    let (code, path) = (results.code(), write(&results)?);
    say(&output::text(&results));
    say(&format!("\nwritten: {}, after {:.0} s\n{}\n", path.display(), results.seconds, output::line(&results)));
    Ok(code)
}

/// The JSON, with what has been measured so far.
fn write(results: &Results) -> Result<PathBuf> {
    let path = Path::new(OUTPUT).with_extension("json");
    std::fs::write(&path, format!("{:#}\n", output::json(results, results.code())))
        .map_err(io_error("write", &path))?;
    Ok(path)
}

impl Bench {
    /// The checkpoints with each backend and dtype that they are run in.
    fn groups(&self) -> Vec<(String, String, Dtype)> {
        let mut groups = Vec::new();
        for model in &self.settings.checkpoints {
            for backend in &self.settings.backends {
                // The other dtypes are flex's to compute; wgpu's are what its adapter has.
                let dtypes = self.settings.dtypes.iter().filter(|dtype| backend == "flex" || **dtype == Dtype::F32);
                groups.extend(dtypes.map(|dtype| (model.clone(), backend.clone(), *dtype)));
            }
        }
        groups
    }

    /// The checkpoint's config.json.
    pub fn config(&self, model: &str) -> Result<Config> {
        let checkpoint = Checkpoint::open(model, None).map_err(|error| miette!("{error}"))?;
        Ok(checkpoint.config().clone())
    }

    /// A folder for the files of one part.
    pub fn folder(&self, parts: &[&str]) -> Result<PathBuf> {
        let name = parts.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let folder = Path::new(OUTPUT).join(name);
        std::fs::create_dir_all(&folder).map_err(io_error("make the folder", &folder))?;
        Ok(folder)
    }

    /// Every line of the output can be run again by hand: its files need not stay.
    pub fn clear(&self, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
