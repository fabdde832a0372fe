//! What the tests share: checkpoints with what transformers computed of them, runs, and the measure of a difference.
//!
//! Helpers panic with the whole reason: a test that cannot run has failed.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic)]

pub mod judged;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use loupe_backends::offers;
use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_config::{BACKENDS, MatmulPrecision};
use loupe_report::read_safetensors;
use loupe_runtime::{BackendError, Limits, RuntimeError, Spec, TraceJob, edits, rotate, rotations, trace};
use loupe_spec::{Config, Dtype, Graph, HostTensor, Probe, Values};

pub use loupe_spec::Trace;

/// Every checkpoint with goldens: the folders in tests/fixtures, and the model inside the program.
pub const CASES: [&str; 5] = ["parity", "sharded", "layer_types", "mini", "builtin"];

/// The backends that compute in f64: the yardstick of replays and twins.
pub const F64: [&str; 2] = ["ndarray", "flex"];

/// Limits that nothing reaches: no matrix in chunks, no value in parts, nothing read ahead.
pub const WHOLE: Limits = Limits {
    chunk_bytes: usize::MAX,
    whole_bytes: usize::MAX,
    ahead_from_elements: usize::MAX,
    memory_bytes: usize::MAX,
};
/// The lowest limits: each matrix row by row, each value head by head or token by token where nobody asks to see it, all
/// read ahead.
pub const LOWEST: Limits = Limits { chunk_bytes: 1, whole_bytes: 1, ahead_from_elements: 0, memory_bytes: usize::MAX };

/// The probe called `name`.
pub fn probe(name: &str) -> Probe {
    name.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The probe called `path` in `layer`.
pub fn at(layer: usize, path: &str) -> Probe {
    probe(&format!("layers.{layer}.{path}"))
}

/// A path below tests/fixtures.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// A checkpoint, its prompt, and what transformers makes of it.
pub struct Case {
    /// One of [`CASES`].
    pub name: &'static str,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its tensors.
    pub tensors: Tensors,
    /// transformers' run in f32.
    pub f32: Trace,
    /// transformers' run in bf16.
    pub bf16: Trace,
    /// How much runs hold at a time.
    pub limits: Limits,
}

/// Every case.
pub fn cases() -> impl Iterator<Item = Case> {
    CASES.into_iter().map(Case::open)
}

impl Case {
    /// The case called `name`.
    pub fn open(name: &'static str) -> Case {
        let folder = fixture(name);
        let model = if name == "builtin" { "builtin:tiny" } else { folder.to_str().expect("a path in UTF-8") };
        let checkpoint = Checkpoint::open(model, None).unwrap_or_else(|error| panic!("{error}"));
        let tensors = checkpoint.tensors().unwrap_or_else(|error| panic!("{error}"));
        let golden = |dtype: &str| read_trace(&folder.join(format!("golden-{dtype}.safetensors")));
        Case { name, f32: golden("f32"), bf16: golden("bf16"), checkpoint, tensors, limits: Limits::default() }
    }

    /// config.json
    pub fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    /// The model.
    pub fn graph(&self) -> &Graph {
        self.checkpoint.graph()
    }

    /// Every probe point.
    pub fn probes(&self) -> BTreeSet<Probe> {
        self.graph().probes().collect()
    }

    /// The forward pass over the goldens' prompt.
    pub fn forward(&self, backend: &str, dtype: Dtype, wanted: BTreeSet<Probe>, mistakes: &[String]) -> Trace {
        let given = self.f32.iter().filter(|(probe, _)| **probe == Probe::TOKEN_IDS);
        let given = given.map(|(probe, ids)| (*probe, ids.clone())).collect();
        self.run(backend, dtype, given, wanted, mistakes).unwrap_or_else(|error| panic!("{backend} {dtype}: {error}"))
    }

    /// `wanted` from `given`, over positions 0 to the golden's last.
    ///
    /// # Errors
    /// As [`trace`].
    pub fn run(
        &self,
        backend: &str,
        dtype: Dtype,
        given: Trace,
        wanted: BTreeSet<Probe>,
        mistakes: &[String],
    ) -> Result<Trace, RuntimeError> {
        let tokens = self.f32.get(&Probe::TOKEN_IDS).map_or(0, |ids| ids.values.len());
        self.run_at((0..tokens).collect(), backend, dtype, given, wanted, mistakes)
    }

    /// `wanted` from `given`, over `positions`.
    ///
    /// # Errors
    /// As [`trace`].
    pub fn run_at(
        &self,
        positions: Vec<usize>,
        backend: &str,
        dtype: Dtype,
        given: Trace,
        wanted: BTreeSet<Probe>,
        mistakes: &[String],
    ) -> Result<Trace, RuntimeError> {
        let (graph, tensors, limits) = (self.graph(), &self.tensors, self.limits);
        let mistakes = &edits(mistakes, graph)?;
        let job = TraceJob { graph, tensors, positions, given, wanted, mistakes, dtype, limits, progress: None };
        trace(&spec(backend, dtype), job).map(|recorded| recorded.values)
    }
}

/// A golden: every tensor of the file, under the probe point that it names.
pub fn read_trace(path: &Path) -> Trace {
    let file = read_safetensors(path).unwrap_or_else(|error| panic!("{error}"));
    let read = |name: String| {
        let tensor = file.get(&name).unwrap_or_else(|error| panic!("{error}"));
        (name.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display())), tensor)
    };
    file.names().into_iter().map(read).collect()
}

/// `backend` in `dtype`, strict, on its default device.
pub fn spec(backend: &str, dtype: Dtype) -> Spec {
    Spec { backend: backend.to_string(), device: None, dtype, precision: MatmulPrecision::Strict }
}

/// Every backend with every dtype that it offers.
pub fn offered() -> impl Iterator<Item = (&'static str, Dtype)> {
    let all = BACKENDS.into_iter().flat_map(|backend| Dtype::FLOATS.map(|dtype| (backend, dtype)));
    all.filter(|(backend, dtype)| offers(backend, *dtype))
}

/// Whether `backend` can run `dtype` here. Absence is said on the terminal, past the test harness's capture; for a
/// backend that the environment variable `LOUPE_REQUIRE` names (`LOUPE_REQUIRE=wgpu,cuda`) it is a failure.
pub fn present(backend: &str, dtype: Dtype) -> bool {
    let required = std::env::var("LOUPE_REQUIRE").unwrap_or_default();
    let required: Vec<&str> = required.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = required.iter().find(|name| !BACKENDS.contains(name)) {
        panic!("LOUPE_REQUIRE names \"{unknown}\", which is no backend; there are {}", BACKENDS.join(", "));
    }
    match rotate(&spec(backend, dtype), &[1.0, 0.0], &rotations(&[0], 2, 1e4, Dtype::F32)) {
        Ok(_) => true,
        Err(RuntimeError::Backend(error @ BackendError::Absent { .. })) => {
            assert!(!required.contains(&backend), "LOUPE_REQUIRE: {error}");
            // Not eprintln: libtest would keep it to itself.
            let _ = writeln!(std::io::stderr(), "NOT TESTED on {backend} {dtype}: {error}");
            false
        }
        Err(error) => panic!("{backend} {dtype}: {error}"),
    }
}

/// `|got - want| / |want|` in the Euclidean norm: 0 where both are equal, infinite where there is any NaN, and where
/// `want` is 0 and `got` is not.
///
/// # Panics
/// Where the shapes differ.
pub fn relative_l2(got: &HostTensor, want: &HostTensor) -> f64 {
    assert_eq!(got.shape, want.shape, "shapes differ");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let (got, want) = (got.values.to_f64(), want.values.to_f64());
    let difference = norm(&mut got.iter().zip(&want).map(|(a, b)| a - b));
    let error = if difference == 0.0 { 0.0 } else { difference / norm(&mut want.iter().copied()) };
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Whether both hold the same bits: `==` would take -0 for 0.
pub fn same_bits(a: &HostTensor, b: &HostTensor) -> bool {
    a.shape == b.shape && a.values.dtype() == b.values.dtype() && a.values.to_le_bytes() == b.values.to_le_bytes()
}

/// The relative L2 error of every float probe of `want`, in computing order.
///
/// # Panics
/// Where `got` lacks one, or where ids or masks differ at all.
pub fn errors(got: &Trace, want: &Trace) -> BTreeMap<Probe, f64> {
    let mut errors = BTreeMap::new();
    for (probe, want) in want {
        let got = got.get(probe).unwrap_or_else(|| panic!("{probe} was not computed"));
        match want.values.dtype() {
            Dtype::I64 | Dtype::U8 => assert!(same_bits(got, want), "{probe} differs:\n{got:?}\n{want:?}"),
            _ => drop(errors.insert(*probe, relative_l2(got, want))),
        }
    }
    errors
}

/// The probe with the largest value.
pub fn worst(values: &BTreeMap<Probe, f64>) -> (Probe, f64) {
    let largest = values.iter().max_by(|a, b| a.1.total_cmp(b.1));
    largest.map(|(probe, value)| (*probe, *value)).expect("at least one probe")
}

/// A float64 tensor.
pub fn f64s(shape: &[usize], values: Vec<f64>) -> HostTensor {
    HostTensor { shape: shape.to_vec(), values: Values::F64(values) }
}
