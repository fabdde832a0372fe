//! Right code in other precisions and forms: nothing here may be called a mistake.

use std::path::{Path, PathBuf};

use loupe_spec::{Axis, Config, Dtype, HostTensor, Probe, Values};
use miette::Result;
use serde_json::{Map, Value, json};

use super::backends::Present;
use super::bench::Bench;
use super::engine::{Engine, printed};
use super::kernels::{Kernels, PLAIN, Sum, Weights};
use super::random::Random;
use super::recording::{Extent, Recording, write_dump};
use super::runner::{Run, pool};
use super::said::Said;

/// One variant and what the judge says of it.
#[derive(Clone, Debug)]
pub struct Benign {
    pub kind: String,
    /// Checkpoint and number.
    pub name: String,
    pub extent: Extent,
    /// Whether the verdict should say what differs: the weights do.
    pub wants_detail: bool,
    pub said: Said,
}

impl Benign {
    /// Whether right code was called wrong.
    pub fn false_alarm(&self) -> bool {
        !matches!(self.said.code, 0 | 4)
    }

    /// What fell short, in words; `None`: nothing.
    pub fn shortfall(&self) -> Option<&'static str> {
        match self {
            alarm if alarm.false_alarm() => Some("false alarm"),
            undecided if undecided.said.code == 4 => Some("benign but inconclusive"),
            bare if bare.wants_detail && bare.said.detail.is_none() => Some("benign without a detail"),
            _ => None,
        }
    }

    pub fn line(&self, shortfall: &str) -> String {
        format!("{shortfall}: {} {} {}: {}", self.kind, self.name, self.extent.name(), self.said.line())
    }

    pub fn json(&self) -> Value {
        json!({
            "kind": self.kind, "name": self.name, "recording": self.extent.name(), "verdict": self.said.word, "detail": self.said.detail,
            "shortfall": self.shortfall(), "said": self.said.line(),
        })
    }
}

/// A kind of variant.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A full trace as a backend makes it.
    Plain(&'static str, Dtype),
    /// A run's layer outputs or logits alone, in one of several dtypes.
    Cut(Extent),
    /// Every third tensor or so, whichever.
    Sparse,
    /// Each value of each stage off by at most one unit in the last place.
    Ulp,
    /// A run in this dtype, saved as f32 by an engine that does not say so.
    Widened(Dtype),
    /// A dump with the tensors in any order, with a batch axis, with the heads side by side, or with both.
    Layout { batch: bool, flat: bool },
    /// A run in bf16 or f16 with a cast elsewhere, which is a policy and no mistake.
    Casts,
    /// f32 values printed with four decimals.
    Printed,
    /// Another engine, with these kernels; of several, one after the other. All of it, layer outputs or logits.
    Engine(&'static str, &'static [Kernels]),
}

const F16: Kernels = Kernels { storage: Dtype::F16, ..PLAIN };

const KINDS: [Kind; 30] = [
    Kind::Plain("ndarray", Dtype::F32),
    Kind::Plain("ndarray", Dtype::F64),
    Kind::Plain("flex", Dtype::F32),
    Kind::Plain("flex", Dtype::F64),
    Kind::Plain("flex", Dtype::Bf16),
    Kind::Plain("flex", Dtype::F16),
    Kind::Plain("wgpu", Dtype::F32),
    Kind::Plain("cuda", Dtype::F32),
    Kind::Plain("cuda", Dtype::Bf16),
    Kind::Cut(Extent::Layers),
    Kind::Cut(Extent::Logits),
    Kind::Sparse,
    Kind::Ulp,
    Kind::Widened(Dtype::Bf16),
    Kind::Widened(Dtype::F16),
    Kind::Layout { batch: true, flat: false },
    Kind::Layout { batch: false, flat: true },
    Kind::Layout { batch: true, flat: true },
    Kind::Casts,
    Kind::Printed,
    Kind::Engine("TF32", &[Kernels { tf32: true, ..PLAIN }]),
    Kind::Engine(
        "other orders of summation",
        &[
            Kernels { sum: Sum::Forward, ..PLAIN },
            Kernels { sum: Sum::Backward, ..PLAIN },
            Kernels { sum: Sum::Lanes(4), ..PLAIN },
            Kernels { sum: Sum::Lanes(16), ..PLAIN },
            Kernels { sum: Sum::Pairwise, ..PLAIN },
            Kernels { sum: Sum::F64, ..PLAIN },
        ],
    ),
    Kind::Engine(
        "f16 accumulation",
        &[
            Kernels { sum: Sum::F16(16), ..F16 },
            Kernels { sum: Sum::F16(8), ..F16 },
            Kernels { sum: Sum::F16(4), ..F16 },
            Kernels { sum: Sum::F16(1), ..F16 },
        ],
    ),
    Kind::Engine(
        "tanh and exp a few ulp off",
        &[
            Kernels { tanh_ulps: 2, ..PLAIN },
            Kernels { tanh_ulps: 4, ..PLAIN },
            Kernels { fast_exp: true, ..PLAIN },
            Kernels { tanh_ulps: 4, fast_exp: true, ..PLAIN },
        ],
    ),
    Kind::Engine(
        "sin and cos a few ulp off",
        &[
            Kernels { sin_cos_ulps: 2, ..PLAIN },
            Kernels { sin_cos_ulps: 4, ..PLAIN },
            Kernels { sin_cos_ulps: 2, tanh_ulps: 2, fast_exp: true, ..PLAIN },
        ],
    ),
    Kind::Engine("one rounding a stage", &[Kernels { storage: Dtype::Bf16, ..PLAIN }, F16]),
    Kind::Engine("weights rounded to bf16", &[Kernels { weights: Weights::Rounded(Dtype::Bf16), ..PLAIN }]),
    Kind::Engine("weights rounded to f16", &[Kernels { weights: Weights::Rounded(Dtype::F16), ..PLAIN }]),
    Kind::Engine("weights in Q8_0", &[Kernels { weights: Weights::Q8_0, ..PLAIN }]),
    Kind::Engine("weights in Q4_K", &[Kernels { weights: Weights::Q4K, ..PLAIN }]),
];
/// What [`Kind::Cut`] and [`Kind::Sparse`] are cut from.
const SOURCES: [(&str, Dtype); 5] = [
    ("flex", Dtype::F32),
    ("flex", Dtype::Bf16),
    ("flex", Dtype::F16),
    ("ndarray", Dtype::F32),
    ("ndarray", Dtype::F64),
];
/// What [`Kind::Casts`] plants.
const POLICIES: [&str; 4] = ["norm_cast_first", "norm_weight_low", "embed_scale_rounded", "rope_low_precision"];
/// What of [`Kind::Engine`] and [`Kind::Printed`] is recorded, in turn.
const RECORDED: [Extent; 4] = [Extent::Full, Extent::Layers, Extent::Full, Extent::Logits];

impl Kind {
    fn name(self) -> String {
        match self {
            Kind::Plain(backend, dtype) => format!("{backend} {dtype}"),
            Kind::Cut(extent) => format!("{} alone", extent.name()),
            Kind::Sparse => "a third of the tensors".to_string(),
            Kind::Ulp => "f32, every stage off by 1 ulp".to_string(),
            Kind::Widened(dtype) => format!("{dtype} saved as f32"),
            Kind::Layout { batch, flat } => {
                let parts = [(batch, "batch axis"), (flat, "flat heads"), (true, "shuffled")];
                parts.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect::<Vec<_>>().join(", ")
            }
            Kind::Casts => "casts elsewhere".to_string(),
            Kind::Printed => "printed with 4 decimals".to_string(),
            Kind::Engine(name, _) => name.to_string(),
        }
    }

    /// Whether it can be made of `model` here.
    fn applies(self, present: &Present, model: &str) -> bool {
        let holds = |dtype| match dtype {
            Dtype::Bf16 => ["tiny", "sharded"].iter().any(|name| model.ends_with(name)),
            _ => ["tiny", "sharded", "layer_types"].iter().any(|name| model.ends_with(name)),
        };
        match self {
            Kind::Plain(backend @ ("wgpu" | "cuda"), _) => present.has(backend),
            // What the file holds in 16 bits is not moved by rounding to them.
            Kind::Engine(_, &[Kernels { weights: Weights::Rounded(dtype), .. }]) => !holds(dtype),
            _ => true,
        }
    }

    /// What of it is recorded in a checkpoint's variant number `turn`.
    fn extent(self, turn: usize) -> Extent {
        match self {
            Kind::Cut(extent) => extent,
            Kind::Printed | Kind::Engine(..) => RECORDED[turn % RECORDED.len()],
            _ => Extent::Full,
        }
    }

    fn changes_weights(self) -> bool {
        matches!(self, Kind::Engine(_, [Kernels { weights, .. }]) if *weights != Weights::AsTheyAre)
    }
}

/// A variant to be made.
#[derive(Clone, Copy)]
struct Job {
    kind: Kind,
    number: usize,
    extent: Extent,
}

/// At least as many variants as the settings ask for, every kind as often as every other.
pub fn run(bench: &Bench) -> Result<Vec<Benign>> {
    let models = &bench.settings.checkpoints;
    let applying = |kind: &Kind| models.iter().filter(|model| kind.applies(&bench.present, model)).count();
    let kinds = KINDS.iter().filter(|kind| applying(kind) > 0).count();
    if kinds == 0 {
        return Ok(Vec::new());
    }
    let each = bench.settings.benign.div_ceil(kinds);
    let mut all = Vec::new();
    for model in models {
        let folder = bench.folder(&["benign", model])?;
        let (config, engine) = (bench.config(model)?, Engine::open(model)?);
        let mut jobs: Vec<Job> = Vec::new();
        for kind in KINDS.into_iter().filter(|kind| kind.applies(&bench.present, model)) {
            let of_it: Vec<&String> = models.iter().filter(|model| kind.applies(&bench.present, model)).collect();
            let at = of_it.iter().position(|known| *known == model).unwrap_or(0);
            let numbers = (at..each).step_by(of_it.len()).enumerate();
            jobs.extend(numbers.map(|(turn, number)| Job { kind, number, extent: kind.extent(turn + at) }));
        }
        // So that each judging process has its share of the slow kinds.
        Random::of(model).shuffle(&mut jobs);
        let made = pool(&jobs, |job| make(bench, (model, &config, &engine), *job, &folder));
        let paths = made.into_iter().collect::<Result<Vec<PathBuf>>>()?;
        let keys = Map::from_iter([("model".to_string(), Value::from(model.as_str()))]);
        let verdicts = bench.runner.judge(&paths, &keys, &folder);
        for (Job { kind, number, extent }, verdict) in jobs.into_iter().zip(verdicts) {
            let said = Said::of_answer(verdict);
            let wants_detail = kind.changes_weights() && extent == Extent::Full;
            all.push(Benign { kind: kind.name(), name: format!("{model} #{number}"), extent, wants_detail, said });
        }
        bench.clear(&folder);
    }
    Ok(all)
}

fn make(bench: &Bench, (model, config, engine): (&str, &Config, &Engine), job: Job, folder: &Path) -> Result<PathBuf> {
    let Job { kind, number, extent } = job;
    let name = format!("{}-{number}", kind.name()).replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let mut random = Random::of(&format!("{model} {name}"));
    let tokens = 2 + random.below(14);
    let token_ids = random.prompt(tokens, config.vocab_size);
    let prefix = folder.join(format!("{name}-made"));
    let trace = |backend: &str, dtype: Dtype, mistakes: &[String]| {
        let run = Run { model: model.to_string(), backend: backend.to_string(), dtype, token_ids: token_ids.clone() };
        let prefix = folder.join(&name);
        bench.traced(&run, mistakes, &prefix)
    };
    let dump = |recording: Recording| Recording { report: None, ..recording }.write(&prefix);
    match kind {
        Kind::Plain(backend, dtype) => trace(backend, dtype, &[])?.write(&prefix),
        Kind::Cut(extent) => {
            let (backend, dtype) = SOURCES[random.below(SOURCES.len())];
            trace(backend, dtype, &[])?.cut(|probe| extent.holds(probe)).write(&prefix)
        }
        Kind::Sparse => {
            let (backend, dtype) = SOURCES[random.below(SOURCES.len())];
            let recording = trace(backend, dtype, &[])?;
            let kept: Vec<Probe> = recording.tensors.keys().copied().filter(|_| random.below(3) == 0).collect();
            recording
                .cut(|probe| matches!(probe.path(), "token_ids" | "logits") || kept.contains(&probe))
                .write(&prefix)
        }
        Kind::Ulp => moved(trace("flex", Dtype::F32, &[])?, &mut random, |probe| {
            !matches!(probe.path(), "token_ids" | "embed.raw" | "self_attn.mask" | "input")
        })
        .write(&prefix),
        Kind::Widened(dtype) => {
            let mut recording = trace("flex", dtype, &[])?;
            for tensor in recording.tensors.values_mut().filter(|tensor| tensor.values.dtype().size() == 2) {
                tensor.values = tensor.values.to_dtype(Dtype::F32);
            }
            dump(recording)
        }
        Kind::Layout { batch, flat } => {
            let recording = trace("flex", Dtype::F32, &[])?;
            let laid_out =
                |(probe, tensor): (&Probe, &HostTensor)| (probe.to_string(), laid_out(*probe, tensor, batch, flat));
            let mut tensors: Vec<(String, HostTensor)> = recording.tensors.iter().map(laid_out).collect();
            random.shuffle(&mut tensors);
            write_dump(&tensors, &prefix)
        }
        Kind::Casts => {
            let dtype = [Dtype::Bf16, Dtype::F16][random.below(2)];
            trace("flex", dtype, &[POLICIES[number % POLICIES.len()].to_string()])?.write(&prefix)
        }
        Kind::Printed => {
            let mut recording = trace("flex", Dtype::F32, &[])?.cut(|probe| extent.holds(probe));
            printed(&mut recording, 4);
            dump(recording)
        }
        Kind::Engine(_, kernels) => {
            // Not in step with what is recorded, so that each comes in every extent.
            let kernels = kernels[random.below(kernels.len())];
            engine.run(&token_ids, kernels).cut(|probe| extent.holds(probe)).write(&prefix)
        }
    }
}

/// Every value of the stages that `which` picks, moved by at most one unit in the last place. A layer's input stays the
/// copy of the output before it that it is.
fn moved(mut recording: Recording, random: &mut Random, which: impl Fn(Probe) -> bool) -> Recording {
    let mut stream = None;
    for (probe, tensor) in &mut recording.tensors {
        if let ("input", Some(before)) = (probe.path(), stream.take()) {
            *tensor = before;
            continue;
        }
        if let (true, Values::F32(values)) = (which(*probe), &mut tensor.values) {
            for value in values.iter_mut().filter(|value| **value != 0.0) {
                let by = random.below(3) as i32 - 1;
                *value = f32::from_bits(value.to_bits().saturating_add_signed(by));
            }
        }
        if matches!(probe.path(), "embed.scaled" | "output") {
            stream = Some(tensor.clone());
        }
    }
    recording
}

/// With a batch axis; heads side by side.
fn laid_out(probe: Probe, tensor: &HostTensor, batch: bool, flat: bool) -> HostTensor {
    let mut shape = tensor.shape.clone();
    if let ([Axis::T, Axis::N | Axis::K, Axis::H], [tokens, heads, lanes]) = (probe.axes(), tensor.shape.as_slice())
        && flat
    {
        shape = vec![*tokens, heads * lanes];
    }
    if batch && probe.is_computed() {
        shape.insert(0, 1);
    }
    HostTensor { shape, values: tensor.values.clone() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_kinds_are_enough_and_each_has_its_name() {
        let names: BTreeSet<String> = KINDS.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), KINDS.len());
        assert!(names.len() > 12);
    }

    #[test]
    fn right_code_may_be_undecided_and_never_wrong() {
        let of = |code: u8, wants_detail: bool, detail: Option<&str>| {
            let said = Said { code, detail: detail.map(str::to_string), ..Said::default() };
            Benign { kind: String::new(), name: String::new(), extent: Extent::Full, wants_detail, said }
        };
        assert_eq!(of(0, false, None).shortfall(), None);
        assert_eq!(of(0, true, Some("q4_k")).shortfall(), None);
        assert_eq!(of(0, true, None).shortfall(), Some("benign without a detail"));
        assert!(
            of(1, false, None).false_alarm() && of(3, false, None).false_alarm() && !of(4, false, None).false_alarm()
        );
    }
}
