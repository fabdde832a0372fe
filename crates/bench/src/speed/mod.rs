//! `cargo xtask bench`: how long `loupe` takes beside the transformers scripts of crates/bench/peer, on one checkpoint, in one
//! session: medians of whole processes, warm page cache, peak anonymous memory, and how near that is to the floor.

mod cases;
mod floor;
mod gpu;
mod measure;
mod output;
mod peers;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Instant;

use loupe_checkpoint::Checkpoint;
use loupe_matrix::{Done, bar, io_error};
use loupe_spec::Dtype;
use miette::{Result, miette};
use serde_json::{Value, json};

use crate::fixtures;
use cases::Case;
use floor::Floor;
use measure::Measured;
use peers::Peers;
use settings::{Run, Settings};

/// Where configs, reports and the JSON go.
const OUTPUT: &str = "target/xtask/bench";

/// One line of the table: a check on a backend.
pub struct Row {
    pub case: Case,
    pub run: Run,
    /// What transformers takes for the same question on the same device.
    pub peer: Option<Measured>,
    /// The first run of a GPU, which compiles its kernels.
    pub first: Option<Measured>,
    pub loupe: Measured,
    /// How long what cannot be left out takes here.
    pub floor: Option<f64>,
}

impl Row {
    /// The seconds that are allowed, on flex in f32 and at 2B's shape; for ndarray in f32 one of them.
    pub fn required(&self) -> Option<f64> {
        match (self.run.backend.as_str(), self.run.dtype, self.case.check.as_str()) {
            ("flex", Dtype::F32, _) => self.case.required(),
            ("ndarray", Dtype::F32, "layer-out") => Some(8.0),
            _ => None,
        }
    }
}

/// How long a prompt of a length takes.
pub struct Length {
    pub tokens: usize,
    pub loupe: Measured,
}

/// All that was measured.
pub struct Results {
    /// Whether a backend that is here did not run a check.
    pub failed: bool,
    pub settings: Settings,
    pub machine: Value,
    /// Versions of what runs the peers.
    pub peers: String,
    pub floor: Floor,
    pub rows: Vec<Row>,
    pub lengths: Vec<Length>,
    /// What could not be run here, and why.
    pub skipped: Vec<String>,
}

/// Runs what `config` describes, the whole on a checkpoint of 2B's shape without. The exit code is 2 where a backend that
/// is here did not run a check; what is absent is said.
pub fn run(config: Option<&Path>, loupe: PathBuf) -> Result<Done> {
    let machine = machine();
    let settings = config.map_or_else(|| Ok(Settings::default()), Settings::read)?;
    std::fs::create_dir_all(OUTPUT).map_err(io_error("make the folder", Path::new(OUTPUT)))?;
    let bench = Bench { loupe, model: model(&settings.model)?, settings };
    let checkpoint = Checkpoint::open(&bench.model, None).map_err(|error| miette!("{error}"))?;
    let tensors = checkpoint.tensors().map_err(|error| miette!("{error}"))?;
    // Reads every layer once: from here on the page cache is warm.
    let floor = Floor::measure(checkpoint.graph(), &tensors)?;
    let mut skipped = Vec::new();
    let peers = Peers::look(&bench.settings, &mut skipped);
    let mut results = Results {
        failed: false,
        settings: bench.settings.clone(),
        machine,
        peers: peers.versions.clone(),
        floor,
        rows: vec![],
        lengths: vec![],
        skipped,
    };
    let questions = bench.settings.runs.len() * bench.settings.checks.len();
    let bar = bar(questions + bench.settings.lengths.len());
    for run in &bench.settings.runs {
        if let Some(why) = gpu::absent(&bench, run)? {
            results.skipped.push(format!("{run}: {why}"));
            bar.inc(bench.settings.checks.len() as u64);
            continue;
        }
        for check in &bench.settings.checks {
            bar.set_message(format!("{check} on {run}"));
            let case = Case::of(check, checkpoint.graph())?;
            let floor = (run.backend == "flex" && run.dtype == Dtype::F32).then(|| results.floor.seconds(&case));
            let peer = peers.time(&bench, &case, run, &results.rows, &mut results.skipped)?;
            match bench.times(&case, run) {
                Ok((first, loupe)) => {
                    results.rows.push(Row { case, run: run.clone(), peer, first, loupe, floor });
                }
                Err(why) => results.fails(format!("{check} on {run}: {why}")),
            }
            bar.inc(1);
        }
    }
    for tokens in &bench.settings.lengths {
        bar.set_message(format!("{tokens} tokens"));
        let case = Case::layer_out(checkpoint.graph(), *tokens);
        let run = Run::flex();
        match bench.loupe(&case, &run, &[]) {
            Ok(loupe) => results.lengths.push(Length { tokens: *tokens, loupe }),
            Err(why) => results.fails(format!("{tokens} tokens: {why}")),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let path = Path::new(OUTPUT).with_extension("json");
    std::fs::write(&path, format!("{:#}\n", output::json(&results))).map_err(io_error("write", &path))?;
    let text = format!("{}\nwritten: {}\n", output::text(&results), path.display());
    Ok(Done { text, code: if results.failed { 2 } else { 0 } })
}

impl Results {
    fn fails(&mut self, why: String) {
        self.failed = true;
        self.skipped.push(why);
    }
}

/// What every part needs.
pub struct Bench {
    pub settings: Settings,
    pub loupe: PathBuf,
    pub model: String,
}

impl Bench {
    /// The first run apart, where a backend compiles kernels; then the median.
    fn times(&self, case: &Case, run: &Run) -> Result<(Option<Measured>, Measured)> {
        let caches = gpu::fresh_caches(run, case)?;
        let first = caches.as_ref().map(|caches| self.loupe(case, run, caches)).transpose()?;
        let repeats = (0..self.settings.repeats).map(|_| self.loupe(case, run, caches.as_deref().unwrap_or_default()));
        Ok((first, measure::median(repeats.collect::<Result<_>>()?)))
    }

    /// One process of `loupe`.
    fn loupe(&self, case: &Case, run: &Run, environment: &[(String, String)]) -> Result<Measured> {
        let prefix = Path::new(OUTPUT).join(format!("{}-{}-{}", case.check, run.backend, run.dtype));
        let mut config = case.config(&self.model);
        config.extend(run.keys());
        let path = prefix.with_extension("json");
        std::fs::write(&path, Value::Object(config).to_string()).map_err(io_error("write", &path))?;
        let arguments = [path.to_string_lossy().into_owned()];
        measure::process(&self.loupe, &arguments, environment)
    }
}

/// The checkpoint, made where the default one is missing.
fn model(named: &Option<String>) -> Result<String> {
    let folder = match named {
        Some(named) => return Ok(named.clone()),
        None => Path::new("target/xtask/2b"),
    };
    if !folder.join("model.safetensors.index.json").exists() {
        fixtures::gemma_2b(folder)?;
    }
    Ok(folder.to_string_lossy().into_owned())
}

/// What the numbers depend on.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let name =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).map(|n| n.trim_start_matches(['\t', ' ', ':']));
    json!({
        "cpu": name,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "load_average_at_start": read("/proc/loadavg").split_whitespace().next(),
    })
}

/// Seconds that `f` takes.
fn seconds<T>(f: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let value = f();
    (started.elapsed().as_secs_f64(), value)
}
