//! How long Loupe takes beside something else: whole processes in pairs, one and the other in turn, so that whatever else the
//! machine does meets both. Beside it runs what asks transformers the same (`peer/`), or another `loupe`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use loupe_checkpoint::Checkpoint;
use loupe_matrix::process::last_words;
use loupe_matrix::{Done, bar, io_error};
use loupe_spec::{Config, Dtype};
use miette::{Result, bail, miette};
use serde_json::{Map, Value, json};

use crate::document::{self, backend, count, dtype, list, names};
use crate::fixtures;

/// Where configs and reports go.
const OUTPUT: &str = "target/xtask/bench";
/// Where the checkpoint of 2B's shape is, and is made where it is missing.
const MODEL: &str = "target/xtask/2b";
/// The scripts that ask transformers.
const PEERS: &str = "crates/bench/peer";
/// "The color of the sky is" in Gemma's vocabulary, and the scripts' prompt.
const PROMPT: [usize; 7] = [2, 651, 2881, 576, 573, 8203, 603];
const CHECKS: [&str; 6] = ["rope", "weights", "embed", "attn", "layer-out", "trace"];
/// How often a process is looked at. What it holds for less than this may be missed; it is short beside a layer.
const LOOK: Duration = Duration::from_millis(1);

/// What to run. Every key of the config may be left out.
struct Settings {
    /// A folder in Hugging Face layout, or builtin:tiny.
    model: Option<String>,
    checks: Vec<String>,
    /// `"flex f32"`, `"cuda bf16"`
    runs: Vec<(String, Dtype)>,
    /// How many tokens the prompt has.
    tokens: usize,
    /// How many pairs.
    repeats: usize,
    beside: Beside,
}

/// What runs in turn with it.
#[derive(Debug, PartialEq)]
enum Beside {
    Nothing,
    /// By this Python.
    Transformers(String),
    Loupe(PathBuf),
}

impl Settings {
    fn of(document: &Value) -> Result<Settings> {
        let cpu = ["flex", "ndarray"].map(|name| (name.to_string(), Dtype::F32)).to_vec();
        let checks = CHECKS.map(str::to_string).to_vec();
        let beside = Beside::Transformers("python3".to_string());
        let mut settings = Settings { model: None, checks, runs: cpu, tokens: PROMPT.len(), repeats: 5, beside };
        let keys = document.as_object().ok_or_else(|| miette!("expected one JSON object"))?;
        if keys.contains_key("python") && keys.contains_key("beside") {
            bail!("\"python\" says that transformers runs beside it, and \"beside\" what else does: leave one out");
        }
        for (key, value) in keys {
            let wrong = |expected: &str| miette!("\"{key}\" is {value}, expected {expected}");
            let text = |expected: &str| value.as_str().map(str::to_string).ok_or_else(|| wrong(expected));
            match key.as_str() {
                "model" => settings.model = Some(text("a folder")?),
                "checks" => settings.checks = names(key, value)?,
                "runs" => settings.runs = list(key, value, run)?,
                "tokens" => settings.tokens = count(key, value)?.max(1),
                "repeats" => settings.repeats = count(key, value)?.max(1),
                "python" => settings.beside = Beside::Transformers(text("a program")?),
                "beside" if value.is_null() => settings.beside = Beside::Nothing,
                "beside" => settings.beside = Beside::Loupe(text("the path of another loupe, or null")?.into()),
                unknown => {
                    bail!("\"{unknown}\" is no key; there are model, checks, runs, tokens, repeats, python, beside")
                }
            }
        }
        if matches!(settings.beside, Beside::Transformers(_)) && settings.tokens != PROMPT.len() {
            bail!(
                "the scripts that ask transformers have {} tokens: with \"tokens\" say what else is \"beside\" it, or null",
                PROMPT.len()
            );
        }
        Ok(settings)
    }
}

fn run(name: &str) -> Result<(String, Dtype)> {
    let (on, of) = name.split_once(' ').unwrap_or((name, "f32"));
    Ok((backend(on)?, dtype(of)?))
}

/// Times what `config` asks for, on a checkpoint of 2B's shape without. The exit code is 2 where a check did not run that could.
///
/// # Errors
/// A config that says something else, a model that cannot be read, or a file that cannot be written.
pub fn pairs(config: Option<&Path>, loupe: PathBuf) -> Result<Done> {
    let settings = config.map_or_else(|| Settings::of(&json!({})), |path| document::read(path, Settings::of))?;
    std::fs::create_dir_all(OUTPUT).map_err(io_error("make the folder", Path::new(OUTPUT)))?;
    let model = settings.model.clone().unwrap_or_else(|| MODEL.to_string());
    if settings.model.is_none() && !Path::new(MODEL).join("model.safetensors.index.json").exists() {
        fixtures::gemma_2b(Path::new(MODEL))?;
    }
    let checkpoint = Checkpoint::open(&model, None).map_err(|error| miette!("{error}"))?;
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["run", "check", "s", "MB", "beside it: s", "MB", "ratio", "from", "to"]);
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    let (mut notes, mut code) = (String::new(), 0);
    let bar = bar(settings.runs.len() * settings.checks.len());
    for (backend, dtype) in &settings.runs {
        for check in &settings.checks {
            let name = format!("{backend} {dtype}");
            bar.set_message(format!("{check} on {name}"));
            let path = Path::new(OUTPUT).join(format!("{check}-{backend}-{dtype}.json"));
            let mut keys = question(check, checkpoint.config(), settings.tokens)?;
            keys.extend(
                [("check", check.as_str()), ("model", &model), ("backend", backend), ("dtype", dtype.name())]
                    .map(|(key, value)| (key.to_string(), Value::from(value))),
            );
            std::fs::write(&path, Value::Object(keys).to_string()).map_err(io_error("write", &path))?;
            let config = path.to_string_lossy().into_owned();
            let mut own = Command::new(&loupe);
            own.arg(&config);
            let other = settings.beside.command(check, &model, backend, *dtype, &config);
            match pair(own, other, settings.repeats) {
                Ok(measured) => {
                    table.add_row([name.clone(), check.clone()].into_iter().chain(measured.cells()));
                    let why = measured.failure.map(|why| format!("not run: beside {check} on {name}: {why}\n"));
                    notes += &why.unwrap_or_default();
                }
                // A backend that is not on this machine.
                Err((Some(5), why)) => notes += &format!("not run: {check} on {name}: {why}\n"),
                Err((_, why)) => {
                    code = 2;
                    notes += &format!("failed: {check} on {name}: {why}\n");
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let mut text = format!(
        "{}, {} pairs after one to warm up; wall seconds of whole processes, medians; MB: the most anonymous memory seen\n\n",
        machine(),
        settings.repeats
    );
    for line in table.lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    Ok(Done { text: text + &notes, code })
}

/// The keys of `check` that are its own, over a prompt of `tokens` tokens.
fn question(check: &str, config: &Config, tokens: usize) -> Result<Map<String, Value>> {
    let more = (PROMPT.len()..tokens).map(|at| at * 7919 % config.vocab_size);
    let ids: Vec<usize> = PROMPT.iter().map(|id| id % config.vocab_size).chain(more).take(tokens).collect();
    let last = config.num_hidden_layers - 1;
    let keys = match check {
        "rope" => json!({"pos": 6, "dim": config.head_dim, "theta": config.rope_theta}),
        "weights" => json!({"layer": 0, "proj": "q"}),
        "embed" | "trace" => json!({"token_ids": ids}),
        "attn" => json!({"token_ids": ids, "layer": 0}),
        "layer-out" => {
            let layers: BTreeSet<usize> = [0, last / 2, last].into();
            json!({"token_ids": ids, "layers": layers, "token": -1})
        }
        unknown => bail!("there is no check \"{unknown}\" to time; there are {}", CHECKS.join(", ")),
    };
    Ok(keys.as_object().cloned().unwrap_or_default())
}

impl Beside {
    fn command(&self, check: &str, model: &str, backend: &str, dtype: Dtype, config: &str) -> Option<Command> {
        match self {
            Beside::Nothing => None,
            Beside::Loupe(program) => {
                let mut command = Command::new(program);
                command.arg(config);
                Some(command)
            }
            Beside::Transformers(python) => {
                let on_gpu = ["cuda", "wgpu"].contains(&backend);
                let dtype = match dtype {
                    Dtype::Bf16 if on_gpu => "bfloat16",
                    Dtype::F16 if on_gpu => "float16",
                    _ => "float32",
                };
                let script = format!("{PEERS}/{}.py", check.replace('-', "_"));
                let mut command = Command::new(python);
                command.args([script.as_str(), model, if on_gpu { "cuda" } else { "cpu" }, dtype]);
                Some(command)
            }
        }
    }
}

/// What one process took: seconds, and the largest `RssAnon` of /proc/PID/status that was seen (memory that is no page of a
/// mapped file), where the system has such a file.
#[derive(Clone, Copy)]
struct Took {
    seconds: f64,
    anonymous: Option<u64>,
}

/// Both of each pair; of the other nothing where there is none.
struct Measured {
    own: Vec<Took>,
    other: Vec<Took>,
    /// Why the other does not run, or no longer.
    failure: Option<String>,
}

type Failed = (Option<i32>, String);

/// So many pairs after the first, which warms up and does not count.
fn pair(mut own: Command, mut other: Option<Command>, repeats: usize) -> Result<Measured, Failed> {
    let mut measured = Measured { own: Vec::new(), other: Vec::new(), failure: None };
    for at in 0..=repeats {
        let took = once(&mut own)?;
        measured.own.extend((at > 0).then_some(took));
        match other.as_mut().map(once) {
            Some(Ok(took)) => measured.other.extend((at > 0).then_some(took)),
            Some(Err((_, why))) => (other, measured.failure) = (None, Some(why)),
            None => {}
        }
    }
    Ok(measured)
}

fn once(command: &mut Command) -> Result<Took, Failed> {
    let failed = |why: String| (None, why);
    let log = Path::new(OUTPUT).join("stderr");
    let file = File::create(&log).map_err(|error| failed(error.to_string()))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let started = Instant::now();
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let (process, ended) = (child.id(), AtomicBool::new(false));
    let (status, seconds, anonymous) = std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut most = None;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(rss_anon(process));
                std::thread::sleep(LOOK);
            }
            most
        });
        let status = child.wait();
        let seconds = started.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (status, seconds, looks.join().unwrap_or_default())
    });
    let status = status.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        let said = std::fs::read(&log).ok().and_then(|said| last_words(&String::from_utf8_lossy(&said)));
        return Err((status.code(), said.unwrap_or_else(|| status.to_string())));
    }
    Ok(Took { seconds, anonymous })
}

fn rss_anon(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

impl Measured {
    /// Medians of both, and of the other's seconds by the own of the same pair, with the least and the most.
    fn cells(&self) -> [String; 7] {
        let took = |all: &[Took]| match all {
            [] => ["-", "-"].map(str::to_string),
            all => {
                let most = all.iter().filter_map(|took| took.anonymous).max();
                let memory = most.map_or("-".to_string(), |bytes| format!("{:.0}", bytes as f64 / 1e6));
                [format!("{:.3}", median(all.iter().map(|took| took.seconds))), memory]
            }
        };
        let of_pairs = self.other.iter().zip(&self.own);
        let ratios: Vec<f64> = of_pairs.map(|(other, own)| other.seconds / own.seconds).collect();
        let [middle, least, most] = match ratios.as_slice() {
            [] => ["-", "-", "-"].map(str::to_string),
            all => {
                let [least, most] =
                    [f64::min, f64::max].map(|pick| all.iter().copied().reduce(pick).unwrap_or(f64::NAN));
                [median(all.iter().copied()), least, most].map(|ratio| format!("{ratio:.2}"))
            }
        };
        let ([own, memory], [other, others]) = (took(&self.own), took(&self.other));
        [own, memory, other, others, middle, least, most]
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What the numbers depend on.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu, load) = (read("/proc/cpuinfo"), read("/proc/loadavg"));
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    format!(
        "{}, {} cores, load average {} at the end",
        name.unwrap_or("cpu unknown"),
        std::thread::available_parallelism().map_or(1, usize::from),
        load.split_whitespace().next().unwrap_or("unknown")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_config_says_what_runs_and_beside_what() {
        let of = |document: Value| Settings::of(&document).unwrap();
        let settings = of(json!({"runs": ["cuda bf16", "flex"], "beside": "old/loupe"}));
        assert_eq!(settings.runs, [("cuda".to_string(), Dtype::Bf16), ("flex".to_string(), Dtype::F32)]);
        assert_eq!(settings.beside, Beside::Loupe("old/loupe".into()));
        assert_eq!(of(json!({"beside": null})).beside, Beside::Nothing);
        for wrong in [
            json!({"run": []}),
            json!({"runs": ["cpu"]}),
            json!({"runs": ["flex i64"]}),
            json!({"python": 3}),
            json!({"python": "p", "beside": null}),
            json!({"tokens": 64}),
        ] {
            assert!(Settings::of(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_ratio_is_of_the_two_of_a_pair() {
        let took = |seconds| Took { seconds, anonymous: Some(3_000_000) };
        // By the medians it would be 2.
        let (own, other) = ([1.0, 2.0, 4.0].map(took).to_vec(), [3.0, 4.0, 20.0].map(took).to_vec());
        let measured = Measured { own, other, failure: None };
        assert_eq!(measured.cells(), ["2.000", "3", "4.000", "3", "3.00", "2.00", "5.00"].map(str::to_string));
    }
}
