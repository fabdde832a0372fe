//! Right code in other precisions and forms: nothing here may be called a mistake.

use std::path::{Path, PathBuf};

use loupe_spec::{Config, Dtype, HostTensor, Probe, Stage, Values};
use miette::{Result, miette};
use serde_json::{Map, Value, json};

use super::Bench;
use super::random::Random;
use super::recording::{Extent, Recording, write_dump};
use super::runner::{Run, pool};
use super::score::Said;

/// One variant and what the judge says of it.
#[derive(Clone, Debug)]
pub struct Benign {
    pub kind: String,
    /// Checkpoint and number.
    pub name: String,
    pub said: Said,
}

impl Benign {
    /// Whether right code was called wrong.
    pub fn false_alarm(&self) -> bool {
        !matches!(self.said.code, 0 | 4)
    }

    pub fn line(&self) -> String {
        let what = if self.false_alarm() { "false alarm" } else { "benign but inconclusive" };
        format!("{what}: {} {}: {}", self.kind, self.name, self.said.line())
    }
}

/// A kind of variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A full trace as a backend makes it.
    Plain(&'static str, Dtype),
    /// A run's layer outputs or logits alone, in one of several dtypes.
    Cut(Extent),
    /// Every third tensor or so, whichever.
    Sparse,
    /// Each value of each stage off by at most one unit in the last place.
    Ulp,
    /// Caps, activation, probabilities, RoPE and logits off by at most two: another vendor's tanh, exp, sin and cos.
    Library,
    /// A run in this dtype, saved as f32 by an engine that does not say so.
    Widened(Dtype),
    /// A dump with the tensors in any order, with a batch axis, with the heads side by side, or with both.
    Layout { batch: bool, flat: bool },
    /// f32 with weights rounded to this dtype, judged with the weights as they are.
    Weights(Dtype),
}

const KINDS: [Kind; 18] = [
    Kind::Plain("ndarray", Dtype::F32),
    Kind::Plain("ndarray", Dtype::F64),
    Kind::Plain("flex", Dtype::F32),
    Kind::Plain("flex", Dtype::F64),
    Kind::Plain("flex", Dtype::Bf16),
    Kind::Plain("flex", Dtype::F16),
    Kind::Plain("wgpu", Dtype::F32),
    Kind::Cut(Extent::Layers),
    Kind::Cut(Extent::Logits),
    Kind::Sparse,
    Kind::Ulp,
    Kind::Library,
    Kind::Widened(Dtype::Bf16),
    Kind::Widened(Dtype::F16),
    Kind::Layout { batch: true, flat: false },
    Kind::Layout { batch: false, flat: true },
    Kind::Layout { batch: true, flat: true },
    Kind::Weights(Dtype::Bf16),
];
/// What [`Kind::Cut`] and [`Kind::Sparse`] are cut from.
const SOURCES: [(&str, Dtype); 5] = [
    ("flex", Dtype::F32),
    ("flex", Dtype::Bf16),
    ("flex", Dtype::F16),
    ("ndarray", Dtype::F32),
    ("ndarray", Dtype::F64),
];

impl Kind {
    fn name(self) -> String {
        match self {
            Kind::Plain(backend, dtype) => format!("{backend} {dtype}"),
            Kind::Cut(extent) => format!("{} alone", extent.name()),
            Kind::Sparse => "a third of the tensors".to_string(),
            Kind::Ulp => "f32, every stage off by 1 ulp".to_string(),
            Kind::Library => "f32, libraries off by 2 ulp".to_string(),
            Kind::Widened(dtype) => format!("{dtype} saved as f32"),
            Kind::Layout { batch, flat } => {
                let parts = [(batch, "batch axis"), (flat, "flat heads"), (true, "shuffled")];
                parts.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect::<Vec<_>>().join(", ")
            }
            Kind::Weights(dtype) => format!("weights rounded to {dtype}"),
        }
    }

    /// Whether it can be made of `model` here.
    fn applies(self, bench: &Bench, model: &str) -> bool {
        match self {
            // Too slow to start for hundreds of runs, so it is there only where it was asked for.
            Kind::Plain("wgpu", _) => bench.settings.backends.iter().any(|backend| backend == "wgpu"),
            // The other checkpoints hold bf16 already, or are in several files.
            Kind::Weights(_) => model.ends_with("parity") || model.ends_with("mini") || model.ends_with("layer_types"),
            _ => true,
        }
    }

    fn run(self, random: &mut Random) -> (&'static str, Dtype) {
        match self {
            Kind::Plain(backend, dtype) => (backend, dtype),
            Kind::Cut(_) | Kind::Sparse => SOURCES[random.below(SOURCES.len())],
            Kind::Widened(dtype) => ("flex", dtype),
            Kind::Ulp | Kind::Library | Kind::Layout { .. } | Kind::Weights(_) => ("flex", Dtype::F32),
        }
    }
}

/// At least as many variants as the settings ask for, every kind as often as every other.
pub fn run(bench: &Bench) -> Result<Vec<Benign>> {
    let models = &bench.settings.checkpoints;
    let applying = KINDS.iter().map(|kind| models.iter().filter(|model| kind.applies(bench, model)).count());
    let kinds = applying.filter(|models| *models > 0).count();
    if kinds == 0 {
        return Ok(Vec::new());
    }
    let each = bench.settings.benign.div_ceil(kinds);
    let mut all = Vec::new();
    for model in models {
        let folder = bench.folder(&["benign", model])?;
        let config = bench.config(model)?;
        let mut jobs: Vec<(Kind, usize)> = Vec::new();
        for kind in KINDS.into_iter().filter(|kind| kind.applies(bench, model)) {
            let of_it: Vec<&String> = models.iter().filter(|model| kind.applies(bench, model)).collect();
            let at = of_it.iter().position(|known| *known == model).unwrap_or(0);
            jobs.extend((at..each).step_by(of_it.len()).map(|number| (kind, number)));
        }
        // So that each judging process has its share of the slow kinds.
        Random::of(model).shuffle(&mut jobs);
        let made = pool(&jobs, |(kind, number)| make(bench, model, &config, (*kind, *number), &folder));
        let paths = made.into_iter().collect::<Result<Vec<PathBuf>>>()?;
        let keys = Map::from_iter([("model".to_string(), Value::from(model.as_str()))]);
        let verdicts = bench.runner.judge(&paths, &keys, &folder);
        for ((kind, number), verdict) in jobs.into_iter().zip(verdicts) {
            let said = Said::of_answer(verdict);
            all.push(Benign { kind: kind.name(), name: format!("{model} #{number}"), said });
        }
        bench.clear(&folder);
    }
    Ok(all)
}

fn make(bench: &Bench, model: &str, config: &Config, (kind, number): (Kind, usize), folder: &Path) -> Result<PathBuf> {
    let name = format!("{}-{number}", kind.name()).replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let mut random = Random::of(&format!("{model} {name}"));
    let (backend, dtype) = kind.run(&mut random);
    let tokens = 2 + random.below(14);
    let token_ids = random.prompt(tokens, config.vocab_size);
    let mut run = Run { model: model.to_string(), backend: backend.to_string(), dtype, token_ids };
    if let Kind::Weights(dtype) = kind {
        run.model = rounded(model, dtype, &folder.join(format!("{name}-weights")))?;
    }
    let recording = super::planted::right(bench, &run, &folder.join(&name))?;
    let prefix = folder.join(format!("{name}-made"));
    let dump = |recording: Recording| Recording { report: None, ..recording }.write(&prefix);
    match kind {
        Kind::Plain(..) => recording.write(&prefix),
        Kind::Cut(extent) => recording.cut(|probe| extent.holds(probe)).write(&prefix),
        Kind::Sparse => {
            let kept: Vec<Probe> = recording.tensors.keys().copied().filter(|_| random.below(3) == 0).collect();
            recording
                .cut(|probe| probe == Probe::TokenIds || probe == Probe::Logits || kept.contains(&probe))
                .write(&prefix)
        }
        Kind::Ulp => moved(recording, &mut random, 1, |probe| {
            !matches!(probe, Probe::TokenIds | Probe::EmbedRaw | Probe::Layer(_, Stage::Mask | Stage::Input))
        })
        .write(&prefix),
        Kind::Library => moved(recording, &mut random, 2, |probe| {
            let stages = [Stage::QRope, Stage::KRope, Stage::ScoresCapped, Stage::Probs, Stage::Act];
            probe == Probe::Logits || matches!(probe, Probe::Layer(_, stage) if stages.contains(&stage))
        })
        .write(&prefix),
        Kind::Widened(_) => {
            let mut recording = recording;
            for tensor in recording.tensors.values_mut().filter(|tensor| tensor.values.dtype().size() == 2) {
                tensor.values = tensor.values.to_dtype(Dtype::F32);
            }
            dump(recording)
        }
        Kind::Layout { batch, flat } => {
            let laid_out =
                |(probe, tensor): (&Probe, &HostTensor)| (probe.to_string(), laid_out(*probe, tensor, batch, flat));
            let mut tensors: Vec<(String, HostTensor)> = recording.tensors.iter().map(laid_out).collect();
            random.shuffle(&mut tensors);
            write_dump(&tensors, &prefix)
        }
        Kind::Weights(_) => dump(recording),
    }
}

/// Every value of the stages that `which` picks, moved by up to `most` units in the last place. A layer's input stays
/// the copy of the output before it that it is.
fn moved(mut recording: Recording, random: &mut Random, most: usize, which: impl Fn(Probe) -> bool) -> Recording {
    let mut stream = None;
    for (probe, tensor) in &mut recording.tensors {
        if let (Probe::Layer(_, Stage::Input), Some(before)) = (probe, stream.take()) {
            *tensor = before;
            continue;
        }
        if let (true, Values::F32(values)) = (which(*probe), &mut tensor.values) {
            for value in values.iter_mut().filter(|value| **value != 0.0) {
                let by = random.below(2 * most + 1) as i32 - most as i32;
                *value = f32::from_bits(value.to_bits().saturating_add_signed(by));
            }
        }
        if matches!(probe, Probe::EmbedScaled | Probe::Layer(_, Stage::Output)) {
            stream = Some(tensor.clone());
        }
    }
    recording
}

/// With a batch axis; heads side by side.
fn laid_out(probe: Probe, tensor: &HostTensor, batch: bool, flat: bool) -> HostTensor {
    let heads = [Stage::QProj, Stage::KProj, Stage::VProj, Stage::QRope, Stage::KRope, Stage::Context];
    let mut shape = tensor.shape.clone();
    if let (Probe::Layer(_, stage), [tokens, heads_axis, lanes]) = (probe, tensor.shape.as_slice())
        && flat
        && heads.contains(&stage)
    {
        shape = vec![*tokens, heads_axis * lanes];
    }
    if batch && probe != Probe::TokenIds && !matches!(probe, Probe::Layer(_, Stage::Mask)) {
        shape.insert(0, 1);
    }
    HostTensor { shape, values: tensor.values.clone() }
}

/// A copy of the checkpoint with its weights rounded.
fn rounded(model: &str, dtype: Dtype, folder: &Path) -> Result<String> {
    let io = |error: std::io::Error| miette!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(io)?;
    std::fs::copy(Path::new(model).join("config.json"), folder.join("config.json")).map_err(io)?;
    let path = Path::new(model).join("model.safetensors");
    let file = loupe_report::read_safetensors(&path).map_err(|error| miette!("{error}"))?;
    let mut tensors = Vec::new();
    for name in file.names() {
        let tensor = file.get(&name).map_err(|error| miette!("{error}"))?;
        let values = tensor.values.to_dtype(dtype).to_dtype(Dtype::F32);
        tensors.push((name, HostTensor { values, ..tensor }));
    }
    write_dump(&tensors, &folder.join("model"))?;
    folder.to_str().map(str::to_string).ok_or_else(|| miette!("{} is no UTF-8", folder.display()))
}

/// The variants as JSON, those that are not simply fine.
pub fn json(benign: &Benign) -> Value {
    json!({"kind": benign.kind, "name": benign.name, "verdict": benign.said.word, "said": benign.said.line()})
}
