//! The pieces in which a run spends its time, each beside plain code of the same size in the same process: what is printed
//! is the ratio of the two, which says on any machine whether a piece has become slower.
//!
//! `cargo bench -p loupe-tests`. The shapes are 2B's, cut to one layer and a small vocabulary. Stages are run through
//! loupe-engine like everything else, so that burn is not compiled again; their inputs and outputs are copied on the way.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use loupe_checkpoint::{Checkpoint, Rows, Tensors, write_random};
use loupe_engine::{Spec, TraceJob, trace};
use loupe_spec::{Config, Dtype, HostTensor, LayerWeight, Probe, Stage, Values, Weight};

/// T
const TOKENS: usize = 256;
const SHAPE: &str = r#"{"model_type": "gemma2", "vocab_size": 256, "hidden_size": 2304, "intermediate_size": 9216,
    "num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}"#;

/// A piece and the plain code that it is held against.
const PAIRS: [(&str, &str); 4] =
    [("conversion", "copy"), ("norm", "copy_hidden"), ("rope", "copy_heads"), ("attention", "matmul")];

fn main() {
    let folder = tempfile::tempdir().unwrap();
    write_random(SHAPE, &folder.path().join("model"), 1, 5, &mut |_, _| {}).unwrap();
    let checkpoint = Checkpoint::open(folder.path().join("model").to_str().unwrap(), None).unwrap();
    let results = folder.path().join("criterion");
    let mut criterion = Criterion::default()
        .output_directory(&results)
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let bench = Bench { config: checkpoint.config(), tensors: &checkpoint.tensors().unwrap() };
    bench.conversion(&mut criterion);
    bench.stages(&mut criterion);
    criterion.final_summary();
    for (piece, plain) in PAIRS {
        if let (Some(piece_time), Some(plain_time)) = (median(&results, piece), median(&results, plain)) {
            println!("ratio {piece} / {plain}: {:.2}", piece_time / plain_time);
        }
    }
}

/// The median that criterion wrote, in nanoseconds; `None` where a filter left the piece out.
fn median(results: &Path, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(results.join(name).join("new/estimates.json")).ok()?;
    serde_json::from_str::<serde_json::Value>(&text).ok()?["median"]["point_estimate"].as_f64()
}

struct Bench<'a> {
    config: &'a Config,
    tensors: &'a Tensors,
}

impl Bench<'_> {
    /// A chunk of a projection from bf16 to f32, beside copying as many f32.
    fn conversion(&self, criterion: &mut Criterion) {
        let weight = Weight::Layer(0, LayerWeight::GateProj);
        let rows = 1820;
        criterion.bench_function("conversion", |bencher| {
            bencher.iter(|| self.tensors.read(weight, Rows::Range(0..rows), Dtype::F32).unwrap());
        });
        let values = vec![1.0_f32; rows * self.config.hidden_size];
        criterion.bench_function("copy", |bencher| bencher.iter(|| black_box(&values).clone()));
    }

    /// Norm and RoPE beside copies of their values; attention beside a projection.
    fn stages(&self, criterion: &mut Criterion) {
        let at = |stage| Probe::Layer(0, stage);
        let (d, n, k, h) = (self.config.hidden_size, self.config.num_attention_heads, 4, self.config.head_dim);
        let heads = |count| vec![TOKENS, count, h];
        let hidden = vec![TOKENS, d];
        self.stage(criterion, "norm", &[(at(Stage::Input), hidden.clone())], at(Stage::InputLayernorm));
        self.stage(criterion, "rope", &[(at(Stage::QProj), heads(n))], at(Stage::QRope));
        let inputs = [(at(Stage::QRope), heads(n)), (at(Stage::KRope), heads(k)), (at(Stage::VProj), heads(k))];
        self.stage(criterion, "attention", &inputs, at(Stage::Context));
        self.stage(criterion, "matmul", &[(at(Stage::InputLayernorm), hidden)], at(Stage::QProj));
        for (name, width) in [("copy_hidden", d), ("copy_heads", n * h)] {
            let values = vec![1.0_f32; TOKENS * width];
            criterion.bench_function(name, |bencher| bencher.iter(|| black_box(&values).clone()));
        }
    }

    fn stage(&self, criterion: &mut Criterion, name: &str, inputs: &[(Probe, Vec<usize>)], wanted: Probe) {
        let spec = Spec { dtype: Dtype::F32, ..loupe_engine::referee() };
        let given: BTreeMap<Probe, HostTensor> =
            inputs.iter().map(|(probe, shape)| (*probe, made_up(shape.clone()))).collect();
        let job = || TraceJob {
            config: self.config,
            tensors: self.tensors,
            positions: (0..TOKENS).collect(),
            given: given.clone(),
            wanted: BTreeSet::from([wanted]),
            mistakes: &[],
            dtype: Dtype::F32,
            progress: None,
        };
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(job, |job| trace(&spec, job).unwrap(), BatchSize::LargeInput);
        });
    }
}

fn made_up(shape: Vec<usize>) -> HostTensor {
    let values = (0..shape.iter().product()).map(|i: usize| (0.37 * i as f32).sin()).collect();
    HostTensor { shape, values: Values::F32(values) }
}
