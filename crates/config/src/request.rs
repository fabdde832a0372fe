//! What a config asks for, as plain data.

use std::fmt;
use std::path::{Path, PathBuf};

use loupe_spec::{Arithmetic, Dtype, NameEntry, Policy};
use serde_json::Value;

use crate::CheckName;

/// The names that `backend` may have. Which of them were built in, and work here, is the backends' to say.
pub const BACKENDS: [&str; 4] = ["flex", "ndarray", "wgpu", "cuda"];

/// One `loupe` run.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What to do, with its own keys.
    pub check: Check,
    /// Whether the document has no `check` key, so that its keys decided which is meant.
    pub inferred: bool,
    /// Where and how to do it.
    pub common: Common,
    /// The document as written, for the report.
    pub document: Value,
}

/// The keys that say where and how a check runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// One of [`BACKENDS`]; "flex" where left out.
    pub backend: String,
    /// Which device of the backend; `None` is its default one.
    pub device: Option<Device>,
    /// What to compute in: one of [`Dtype::FLOATS`], f32 where left out.
    pub dtype: Dtype,
    /// Whether f32 matmuls may round their operands.
    pub precision: MatmulPrecision,
    /// Path prefix of the report (`<output>.json`, `<output>.safetensors`) or the folder that `export` writes.
    pub output: Option<PathBuf>,
    /// Ids of the mistakes to plant in the model; the catalogue says whether they exist.
    pub mistakes: Vec<String>,
}

impl Default for Common {
    fn default() -> Common {
        Common {
            backend: BACKENDS[0].to_string(),
            device: None,
            dtype: Dtype::F32,
            precision: MatmulPrecision::Strict,
            output: None,
            mistakes: Vec::new(),
        }
    }
}

/// A device of a backend, as that backend understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// Such as "cpu" or "discrete:0".
    Name(String),
    /// Such as the ordinal of a CUDA device.
    Index(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Name(name) => f.pad(name),
            Device::Index(index) => f.pad(&index.to_string()),
        }
    }
}

/// What f32 means in a matmul.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatmulPrecision {
    /// f32 all through.
    #[default]
    Strict,
    /// Operands rounded to TF32's 10 mantissa bits.
    Tf32,
}

impl MatmulPrecision {
    /// The name in configs and reports.
    pub fn name(self) -> &'static str {
        match self {
            MatmulPrecision::Strict => "strict",
            MatmulPrecision::Tf32 => "tf32",
        }
    }
}

/// A checkpoint: a folder, a hub id or `builtin:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRef {
    /// As written under `model`.
    pub id: String,
    /// Branch, tag or commit on the hub; its main branch where left out.
    pub revision: Option<String>,
}

/// What the model reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Text for the checkpoint's tokenizer, special tokens added by it. Not empty.
    Prompt(String),
    /// Ids that go in as they are. Not empty.
    TokenIds(Vec<usize>),
}

/// A check and the keys that are its own.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the fields are the config's keys; docs/reference/configs.md has the tables
pub enum Check {
    /// The embedding and its scale.
    Embed { model: ModelRef, input: Input },
    /// One layer's attention, step by step.
    Attn { model: ModelRef, input: Input, layer: usize },
    /// Tensors of the checkpoint, as stored and as the backend gives them back.
    Weights { model: ModelRef, target: Target, against: Option<PathBuf> },
    /// Rotary embedding at one position. `dim` is even and above 0, `theta` finite and above 0.
    Rope { model: ModelRef, pos: usize, dim: usize, theta: f64 },
    /// Outputs of layers at one token; a negative `token` counts from the end.
    LayerOut { model: ModelRef, input: Input, layers: Vec<usize>, token: i64 },
    /// Every probe point, or those of `layers` and `probes`: names of probe points, or patterns with `*`; or those of `emit`.
    Trace { model: ModelRef, input: Input, layers: Option<Vec<usize>>, probes: Option<Vec<String>>, emit: Option<Emit> },
    /// Judges reports and dumps.
    Compare(Compare),
    /// Holds the numbers of a saved verdict against other tolerances.
    Rejudge(Rejudge),
    /// Says which probe point each tensor of a candidate is taken for; the model says how many layers there are.
    Names { candidate: PathBuf, model: Option<ModelRef>, names: Vec<NameEntry> },
    /// Says what a mistake of the catalogue is; without `id`, all of them.
    Explain { id: Option<String> },
    /// Writes the checkpoint as a Hugging Face folder.
    Export { model: ModelRef, output: PathBuf },
}

impl Check {
    /// Which check this is.
    pub fn name(&self) -> CheckName {
        match self {
            Check::Embed { .. } => CheckName::Embed,
            Check::Attn { .. } => CheckName::Attn,
            Check::Weights { .. } => CheckName::Weights,
            Check::Rope { .. } => CheckName::Rope,
            Check::LayerOut { .. } => CheckName::LayerOut,
            Check::Trace { .. } => CheckName::Trace,
            Check::Compare(_) => CheckName::Compare,
            Check::Rejudge(_) => CheckName::Rejudge,
            Check::Names { .. } => CheckName::Names,
            Check::Explain { .. } => CheckName::Explain,
            Check::Export { .. } => CheckName::Export,
        }
    }

    /// How a verdict is said, of a check that has one.
    pub fn formats(&self) -> &[Format] {
        match self {
            Check::Compare(compare) => &compare.format,
            Check::Rejudge(rejudge) => &rejudge.format,
            _ => &[],
        }
    }
}

/// Which tensors `weights` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `layer` and `proj`.
    LayerProj {
        /// From 0.
        layer: usize,
        /// Which of the layer's tensors.
        proj: Proj,
    },
    /// `tensor`: a full name of the checkpoint.
    Tensor(String),
}

/// A form in which another tool takes a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// What Doppler's `boundary source-pack` reads.
    DopplerBoundaries,
}

impl Emit {
    /// Every form.
    pub const ALL: [Emit; 1] = [Emit::DopplerBoundaries];

    /// The name in configs, which is the schema's own.
    pub fn name(self) -> &'static str {
        match self {
            Emit::DopplerBoundaries => "doppler.boundary-provider-capture/v1",
        }
    }
}

/// The short names of a layer's tensors that `proj` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the name it has
pub enum Proj {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
    /// The layer's four norms.
    Norms,
    /// Every tensor of the layer.
    All,
}

impl Proj {
    /// Every value, in the order a forward pass uses them.
    pub const ALL: [Proj; 9] =
        [Proj::Q, Proj::K, Proj::V, Proj::O, Proj::Gate, Proj::Up, Proj::Down, Proj::Norms, Proj::All];

    /// The name in configs.
    pub fn name(self) -> &'static str {
        match self {
            Proj::Q => "q",
            Proj::K => "k",
            Proj::V => "v",
            Proj::O => "o",
            Proj::Gate => "gate",
            Proj::Up => "up",
            Proj::Down => "down",
            Proj::Norms => "norms",
            Proj::All => "all",
        }
    }
}

/// What `compare` judges, against what.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    /// Reports, dumps or numbers; at least one. `candidate` is short for a list of one.
    pub candidates: Vec<CandidateRef>,
    /// What they should be.
    pub reference: Reference,
    /// For a candidate with names of its own: which probe points they are.
    pub names: Vec<NameEntry>,
    /// What the candidate was computed in, where its file does not say.
    pub candidate_dtype: Option<ComputedIn>,
    /// Which prompt positions the candidate's rows are; `None`: all, in order.
    pub positions: Option<Vec<usize>>,
    /// Ids of mistakes that are not to be named: `"policy": {"without": [..]}`.
    pub without: Vec<String>,
    /// Tolerances that are said beside the verdict; nothing twice.
    pub policies: Vec<Policy>,
    /// How to say the verdict; text where left out. Not empty, nothing twice.
    pub format: Vec<Format>,
    /// Whether to write inputs that show the mistakes which this one hides, below `output`.
    pub stimulus: bool,
}

/// A saved verdict, and the tolerances that its numbers are held against.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejudge {
    /// The verdict's file.
    pub verdict: PathBuf,
    /// At least one; nothing twice.
    pub policies: Vec<Policy>,
    /// As of [`Compare`].
    pub format: Vec<Format>,
}

/// Where a candidate's numbers are.
#[derive(Clone, Debug, PartialEq)]
pub enum CandidateRef {
    /// In a file or a folder.
    Path(PathBuf),
    /// In the config itself.
    Typed(Vec<Typed>),
}

impl CandidateRef {
    /// Its path, if it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            CandidateRef::Path(path) => Some(path),
            CandidateRef::Typed(_) => None,
        }
    }
}

/// Some numbers of a tensor, as a person typed them.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// The tensor.
    pub name: String,
    /// The token; a negative one counts from the end.
    pub token: i64,
    /// The lane of the first number.
    pub from: usize,
    /// The numbers as written: how many digits there are says how far they can be trusted.
    pub numbers: Vec<String>,
}

/// What an engine computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComputedIn {
    /// Results of this type; what else is lost is read off the values.
    Dtype(Dtype),
    /// An arithmetic that loses more than storing its results does.
    Arithmetic(Arithmetic),
}

impl ComputedIn {
    /// The name in configs.
    pub fn name(self) -> &'static str {
        match self {
            ComputedIn::Dtype(dtype) => dtype.name(),
            ComputedIn::Arithmetic(arithmetic) => arithmetic.name(),
        }
    }
}

/// The right side of a comparison: a run that Loupe makes, a saved report, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Left out: the saved report's, or the candidate report's own.
    pub model: Option<ModelRef>,
    /// Left out: the token ids that the candidate recorded.
    pub input: Option<Input>,
    /// A saved report. It names its own model and token ids; where both are given they must agree.
    pub report: Option<PathBuf>,
}

/// How a verdict is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the name it has
pub enum Format {
    Text,
    Json,
    Junit,
    Html,
    Markdown,
}

impl Format {
    /// The name in configs.
    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
            Format::Junit => "junit",
            Format::Html => "html",
            Format::Markdown => "markdown",
        }
    }
}
