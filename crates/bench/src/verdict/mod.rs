//! `cargo xtask bench-verdict`: how well the judge names mistakes, and how seldom it calls right code wrong. Everything
//! goes through `loupe` itself, as a user would run it.

mod backends;
mod bars;
mod bench;
mod benign;
mod cases;
mod engine;
mod json;
mod kernels;
mod leave_one_out;
mod output;
mod pairs;
mod planted;
mod random;
mod recording;
mod referee;
mod results;
mod runner;
mod said;
mod score;
mod settings;
mod sites;
mod transformers;
mod truth;

use std::path::{Path, PathBuf};
use std::time::Instant;

use loupe_matrix::{Done, bar, io_error, process::with_ending};
use miette::Result;

use backends::Present;
use bench::Bench;
use results::Results;
use runner::Runner;
use settings::Settings;

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
    let results = measure(&bench)?;
    let (code, path) = (results.code(), write(&bench, &results)?);
    let (tables, answer) = (output::markdown(&results), output::line(&results));
    let text = format!("{tables}\nwritten: {}, after {:.0} s\n{answer}\n", path.display(), results.seconds);
    Ok(Done { text, code })
}

/// Every part of it, in turn.
fn measure(bench: &Bench) -> Result<Results> {
    let started = Instant::now();
    let mut results = Results { skipped: bench.present.skipped.clone(), ..Results::default() };
    let planted = if bench.settings.sites.is_empty() { &[][..] } else { &bench.settings.checkpoints };
    let groups = bench.present.groups(planted);
    let bar = bar(groups.len() + 4);
    let done = |part: &str, results: &mut Results| {
        let before: f64 = results.seconds_of.iter().map(|(_, seconds)| seconds).sum();
        results.seconds = started.elapsed().as_secs_f64();
        results.seconds_of.push((part.to_string(), results.seconds - before));
        bar.inc(1);
        // What an interrupted run has measured is not lost.
        write(bench, results).map(|_| ())
    };
    for (turn, group) in groups.iter().enumerate() {
        let (model, backend, dtype) = group;
        let what = format!("{model} on {backend} in {dtype}");
        bar.set_message(what.clone());
        match planted::group(bench, group, turn) {
            Ok(outcomes) => results.planted.extend(outcomes),
            Err(why) => results.skipped.push(format!("{what}: {why}")),
        }
        done(&what, &mut results)?;
    }
    if bench.settings.transformers {
        bar.set_message("mistakes planted in transformers");
        let (outcomes, benign) = transformers::run(bench)?;
        results.planted.extend(outcomes);
        results.benign.extend(benign);
        done("transformers", &mut results)?;
    }
    if bench.settings.leave_one_out {
        bar.set_message("mistakes whose name is left out");
        results.left_out = leave_one_out::run(bench)?;
        done("leave-one-out", &mut results)?;
    }
    if bench.settings.pairs > 0 {
        bar.set_message("pairs of mistakes");
        results.pairs = pairs::run(bench)?;
        done("pairs", &mut results)?;
    }
    if bench.settings.benign > 0 {
        bar.set_message("right code");
        results.benign.extend(benign::run(bench)?);
        done("benign", &mut results)?;
    }
    bar.finish_and_clear();
    Ok(results)
}

/// The JSON and the Markdown, with what has been measured so far.
fn write(bench: &Bench, results: &Results) -> Result<PathBuf> {
    let write = |ending: &str, text: String| {
        let path = with_ending(&bench.settings.output, ending);
        std::fs::write(&path, text).map_err(io_error("write", &path))?;
        Ok(path)
    };
    write(".md", output::markdown(results))?;
    write(".json", format!("{:#}\n", json::json(results, results.code())))
}
