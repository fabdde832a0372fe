//! `cargo xtask bench-verdict`: how well the judge names mistakes, and how seldom it calls right code wrong. Everything
//! goes through `loupe` itself, as a user would run it.

mod arithmetic;
mod backends;
mod bars;
mod benign;
mod cases;
mod engine;
mod json;
mod leave_one_out;
mod output;
mod pairs;
mod planted;
mod random;
mod recording;
mod referee;
mod runner;
mod said;
mod score;
mod settings;
mod sites;
mod transformers;
mod truth;

use std::path::{Path, PathBuf};
use std::time::Instant;

use loupe_checkpoint::Checkpoint;
use loupe_matrix::{Done, bar, io_error, process::with_ending};
use loupe_spec::Config;
use miette::{Result, miette};

use backends::Present;
use runner::{Run, Runner};
use settings::Settings;

/// What every part of the benchmark needs.
pub struct Bench {
    pub settings: Settings,
    pub runner: Runner,
    pub present: Present,
}

/// All that was measured.
#[derive(Default)]
pub struct Results {
    pub planted: Vec<planted::Outcome>,
    pub left_out: Vec<leave_one_out::Outcome>,
    pub pairs: Vec<pairs::Judged>,
    pub benign: Vec<benign::Benign>,
    /// What could not be run here, and why.
    pub skipped: Vec<String>,
    pub seconds: f64,
    /// Of each part.
    pub seconds_of: Vec<(String, f64)>,
}

impl Results {
    pub fn false_alarms(&self) -> usize {
        self.benign.iter().filter(|benign| benign.false_alarm()).count()
    }

    /// Verdicts that call a mistake by another's name.
    pub fn wrong_names(&self) -> usize {
        let planted = self.planted.iter().filter(|outcome| !outcome.score.wrong.is_empty()).count();
        let pairs = self.pairs.iter().filter(|pair| pair.outcome == pairs::Pair::Wrong).count();
        planted + pairs + self.left_out.iter().filter(|outcome| outcome.left == leave_one_out::Left::WrongName).count()
    }

    /// 1 where right code was called wrong or a mistake by another's name.
    fn code(&self) -> u8 {
        u8::from(self.wrong_names() > 0 || self.false_alarms() > 0)
    }
}

/// Runs the benchmark that `config` describes with the program `loupe`, the full one without a config.
///
/// # Errors
/// A config that says something else, or a file that cannot be written.
pub fn run(config: Option<&Path>, loupe: PathBuf) -> Result<Done> {
    let settings = config.map_or_else(|| Ok(Settings::default()), Settings::read)?;
    std::fs::create_dir_all(&settings.output).map_err(io_error("make the folder", &settings.output))?;
    let runner = Runner { program: loupe };
    let present = Present::of(&settings, &runner, &settings.output.join("backends"))?;
    let bench = Bench { settings, runner, present };
    let results = bench.measure()?;
    let (code, path) = (results.code(), bench.write(&results)?);
    let (tables, answer) = (output::markdown(&results), output::line(&results));
    let text = format!("{tables}\nwritten: {}, after {:.0} s\n{answer}\n", path.display(), results.seconds);
    Ok(Done { text, code })
}

impl Bench {
    fn measure(&self) -> Result<Results> {
        let started = Instant::now();
        let mut results = Results { skipped: self.present.skipped.clone(), ..Results::default() };
        let planted = if self.settings.sites.is_empty() { &[][..] } else { &self.settings.checkpoints };
        let groups = self.present.groups(planted);
        let bar = bar(groups.len() + 4);
        let done = |part: &str, results: &mut Results| {
            let before: f64 = results.seconds_of.iter().map(|(_, seconds)| seconds).sum();
            results.seconds = started.elapsed().as_secs_f64();
            results.seconds_of.push((part.to_string(), results.seconds - before));
            bar.inc(1);
            // What an interrupted run has measured is not lost.
            self.write(results).map(|_| ())
        };
        for (turn, group) in groups.iter().enumerate() {
            let (model, backend, dtype) = group;
            let what = format!("{model} on {backend} in {dtype}");
            bar.set_message(what.clone());
            match planted::group(self, group, turn) {
                Ok(outcomes) => results.planted.extend(outcomes),
                Err(why) => results.skipped.push(format!("{what}: {why}")),
            }
            done(&what, &mut results)?;
        }
        if self.settings.transformers {
            bar.set_message("mistakes planted in transformers");
            let (outcomes, benign) = transformers::run(self)?;
            results.planted.extend(outcomes);
            results.benign.extend(benign);
            done("transformers", &mut results)?;
        }
        if self.settings.leave_one_out {
            bar.set_message("mistakes whose name is left out");
            results.left_out = leave_one_out::run(self)?;
            done("leave-one-out", &mut results)?;
        }
        if self.settings.pairs > 0 {
            bar.set_message("pairs of mistakes");
            results.pairs = pairs::run(self)?;
            done("pairs", &mut results)?;
        }
        if self.settings.benign > 0 {
            bar.set_message("right code");
            results.benign.extend(benign::run(self)?);
            done("benign", &mut results)?;
        }
        bar.finish_and_clear();
        Ok(results)
    }

    /// The JSON and the Markdown, with what has been measured so far.
    fn write(&self, results: &Results) -> Result<PathBuf> {
        let write = |ending: &str, text: String| {
            let path = with_ending(&self.settings.output, ending);
            std::fs::write(&path, text).map_err(io_error("write", &path))?;
            Ok(path)
        };
        write(".md", output::markdown(results))?;
        write(".json", format!("{:#}\n", json::json(results, results.code())))
    }

    /// The checkpoint's config.json.
    pub fn config(&self, model: &str) -> Result<Config> {
        let checkpoint = Checkpoint::open(model, None).map_err(|error| miette!("{error}"))?;
        Ok(checkpoint.config().clone())
    }

    /// A run with nothing planted.
    pub fn right(&self, run: &Run, prefix: &Path) -> Result<recording::Recording> {
        self.runner.trace(run, &[], prefix)?;
        recording::Recording::read(prefix)
    }

    /// A folder for the files of one part.
    pub fn folder(&self, parts: &[&str]) -> Result<PathBuf> {
        let name = parts.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let folder = self.settings.output.join(name);
        std::fs::create_dir_all(&folder).map_err(io_error("make the folder", &folder))?;
        Ok(folder)
    }

    /// Every line of the output can be run again by hand: its files need not stay.
    pub fn clear(&self, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
