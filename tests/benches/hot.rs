//! The pieces in which a run spends its time, each beside plain code of the same size in the same process: what is printed
//! is the ratio of the two, which says on any machine whether a piece has become slower.
//!
//! `cargo test --release --workspace --bench hot` (under `cargo bench` all of loupe-engine would be compiled again). The shapes are 2B's, cut to one layer and a small vocabulary. Stages are run through
//! loupe-engine like everything else, so that burn is not compiled again; their inputs and outputs are copied on the way.
//! Medians are taken here and not by criterion: it turns on a feature of ciborium, which cubecl shares, and all of burn
//! would be built a second time.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use loupe_checkpoint::{Checkpoint, Rows, Tensors, write_random};
use loupe_engine::{Limits, Spec, TraceJob, trace};
use loupe_spec::{Config, Dtype, Graph, HostTensor, Trace, Values};
use loupe_tests::at;

/// T
const TOKENS: usize = 256;
/// Of a matrix, as many as the model asks for at a time.
const ROWS: usize = 1820;
const SHAPE: &str = r#"{"model_type": "gemma2", "vocab_size": 256, "hidden_size": 2304, "intermediate_size": 9216,
    "num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}"#;

/// Each is run so often; the median counts.
const TIMES: usize = 15;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    write_random(SHAPE, &folder.path().join("model"), 1, 5, &mut |_, _| {}).unwrap();
    let checkpoint = Checkpoint::open(folder.path().join("model").to_str().unwrap(), None).unwrap();
    let tensors = checkpoint.tensors().unwrap();
    let bench = Bench { graph: checkpoint.graph(), config: checkpoint.config(), tensors: &tensors };
    let heads = bench.config.num_attention_heads * bench.config.head_dim;
    let copy = |width: usize| {
        let values = vec![1.0_f32; TOKENS * width];
        move || black_box(&values).clone()
    };
    let chunk = vec![1.0_f32; ROWS * bench.config.hidden_size];
    compare("conversion", || bench.convert(), "a copy of what it makes", || black_box(&chunk).clone());
    compare("norm", bench.norm(), "a copy of its values", copy(bench.config.hidden_size));
    compare("rope", bench.rope(), "a copy of its values", copy(heads));
    compare("attention", bench.attention(), "q_proj", bench.projection());
}

/// Prints how much longer `piece` takes than `plain`.
fn compare<A, B>(name: &str, piece: impl FnMut() -> A, beside: &str, plain: impl FnMut() -> B) {
    let (piece, plain) = (median(piece), median(plain));
    println!("{name:<12} {:8.2} times {beside} ({:.3} ms, {:.3} ms)", piece / plain, piece * 1e3, plain * 1e3);
}

/// Seconds, after one run to warm up.
fn median<T>(mut f: impl FnMut() -> T) -> f64 {
    black_box(f());
    let mut times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let started = Instant::now();
            black_box(f());
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[TIMES / 2]
}

struct Bench<'a> {
    graph: &'a Graph,
    config: &'a Config,
    tensors: &'a Tensors,
}

impl Bench<'_> {
    /// A chunk of a projection from bf16 to f32.
    fn convert(&self) -> HostTensor {
        let gate = "model.layers.0.mlp.gate_proj.weight".parse().unwrap();
        self.tensors.read(gate, Rows::Range(0..ROWS), Dtype::F32).unwrap()
    }

    fn norm(&self) -> impl FnMut() -> HostTensor {
        self.stage(vec![("input", self.hidden())], "input_layernorm")
    }

    fn rope(&self) -> impl FnMut() -> HostTensor {
        self.stage(vec![("self_attn.q_proj", self.heads(self.config.num_attention_heads))], "self_attn.q_rope")
    }

    /// Scores to context.
    fn attention(&self) -> impl FnMut() -> HostTensor {
        let (n, k) = (self.config.num_attention_heads, self.config.num_key_value_heads);
        let inputs = vec![
            ("self_attn.q_rope", self.heads(n)),
            ("self_attn.k_rope", self.heads(k)),
            ("self_attn.v_proj", self.heads(k)),
        ];
        self.stage(inputs, "self_attn.context")
    }

    fn projection(&self) -> impl FnMut() -> HostTensor {
        self.stage(vec![("input_layernorm", self.hidden())], "self_attn.q_proj")
    }

    fn hidden(&self) -> Vec<usize> {
        vec![TOKENS, self.config.hidden_size]
    }

    fn heads(&self, count: usize) -> Vec<usize> {
        vec![TOKENS, count, self.config.head_dim]
    }

    /// `wanted` of layer 0, computed from `inputs` of these shapes.
    fn stage(&self, inputs: Vec<(&str, Vec<usize>)>, wanted: &str) -> impl FnMut() -> HostTensor {
        let spec = Spec { dtype: Dtype::F32, ..loupe_engine::referee() };
        let wanted = at(0, wanted);
        let given: Trace = inputs.into_iter().map(|(stage, shape)| (at(0, stage), made_up(shape))).collect();
        move || {
            let job = TraceJob {
                graph: self.graph,
                tensors: self.tensors,
                positions: (0..TOKENS).collect(),
                given: given.clone(),
                wanted: BTreeSet::from([wanted]),
                mistakes: &[],
                dtype: Dtype::F32,
                limits: Limits::default(),
                progress: None,
            };
            trace(&spec, job).unwrap().values.remove(&wanted).unwrap()
        }
    }
}

fn made_up(shape: Vec<usize>) -> HostTensor {
    let values = (0..shape.iter().product()).map(|i: usize| (0.37 * i as f32).sin()).collect();
    HostTensor { shape, values: Values::F32(values) }
}
