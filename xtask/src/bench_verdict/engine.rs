//! Another engine: Gemma 2 in plain loops over f32, its arithmetic a parameter. It is what right code in other precisions
//! is made with, and shares nothing with the model that judges but names and shapes.

use std::collections::BTreeMap;

use loupe_checkpoint::{Checkpoint, Rows};
use loupe_spec::{Config, Dtype, Graph, HostTensor, Probe, Trace, Values, Weight};
use miette::{Result, miette};

use super::arithmetic::Arithmetic;
use super::recording::Recording;

/// A matrix, row by row: a row a token, or an output of a projection.
type Matrix = Vec<Vec<f32>>;

/// A checkpoint in f32.
pub struct Engine {
    graph: Graph,
    weights: BTreeMap<Weight, Matrix>,
}

impl Engine {
    /// Reads every weight.
    pub fn open(model: &str) -> Result<Engine> {
        let open = || {
            let checkpoint = Checkpoint::open(model, None)?;
            let tensors = checkpoint.tensors()?;
            let mut weights = BTreeMap::new();
            for weight in checkpoint.graph().weights() {
                let tensor = tensors.read(weight, Rows::All, Dtype::F64)?;
                let columns = tensor.shape.last().copied().unwrap_or(1);
                let values: Vec<f32> = tensor.values.to_f64().into_iter().map(|x| x as f32).collect();
                weights.insert(weight, values.chunks(columns).map(<[f32]>::to_vec).collect());
            }
            Ok(Engine { graph: checkpoint.graph().clone(), weights })
        };
        open().map_err(|error: loupe_checkpoint::CheckpointError| miette!("{error}"))
    }

    /// The full trace of a forward pass, computed as `arithmetic` says. No report: it is another engine's dump.
    pub fn run(&self, token_ids: &[usize], arithmetic: Arithmetic) -> Recording {
        let stored = |rows: &Matrix| {
            let columns = rows.first().map_or(1, Vec::len);
            let values = arithmetic.weights.of(&rows.concat(), columns, rows.len() > 1);
            values.chunks(columns).map(|row| row.iter().map(|x| arithmetic.store(*x)).collect()).collect()
        };
        let weights = self.weights.iter().map(|(weight, rows)| (*weight, stored(rows))).collect();
        let pass = Pass {
            graph: &self.graph,
            config: self.graph.config(),
            weights,
            arithmetic,
            token_ids,
            recorded: BTreeMap::new(),
        };
        Recording { report: None, tensors: pass.forward() }
    }
}

/// What Loupe calls a value of this engine.
fn probe(layer: Option<usize>, path: &str) -> Probe {
    Probe::of(layer, path).unwrap_or_else(|| unreachable!("{path} is the name of no probe"))
}

/// One forward pass.
struct Pass<'a> {
    graph: &'a Graph,
    config: &'a Config,
    weights: BTreeMap<Weight, Matrix>,
    arithmetic: Arithmetic,
    token_ids: &'a [usize],
    recorded: Trace,
}

impl Pass<'_> {
    fn forward(mut self) -> Trace {
        let ids = self.token_ids;
        let values = Values::I64(ids.iter().map(|id| *id as i64).collect());
        self.recorded.insert(Probe::TOKEN_IDS, HostTensor { shape: vec![ids.len()], values });
        let raw = ids.iter().map(|id| self.weights[&Weight::EMBED_TOKENS][*id].clone()).collect();
        let raw = self.keep(probe(None, "embed.raw"), raw);
        let scale = self.arithmetic.store((self.config.hidden_size as f64).sqrt() as f32);
        let mut stream = self.keep(probe(None, "embed.scaled"), map(&raw, |x| x * scale));
        for layer in 0..self.config.num_hidden_layers {
            stream = self.layer(layer, stream);
        }
        let normed = self.norm(probe(None, "norm"), &stream);
        let raw = self.project(probe(None, "logits.raw"), &normed);
        let cap = self.config.final_logit_softcapping;
        let capped = self.cap(&raw, cap);
        self.keep(probe(None, "logits"), capped);
        self.recorded
    }

    fn layer(&mut self, layer: usize, stream: Matrix) -> Matrix {
        let at = |path| probe(Some(layer), path);
        let stream = self.keep(at("input"), stream);
        let normed = self.norm(at("input_layernorm"), &stream);
        let context = self.attention(layer, &normed);
        let joined = self.project(at("self_attn.o_proj"), &context);
        let joined = self.norm(at("post_attention_layernorm"), &joined);
        let stream = self.keep(at("residual_attn"), zip(&stream, &joined, |a, b| a + b));

        let normed = self.norm(at("pre_feedforward_layernorm"), &stream);
        let gate = self.project(at("mlp.gate_proj"), &normed);
        let up = self.project(at("mlp.up_proj"), &normed);
        let act = map(&gate, |x| self.gelu(x));
        let act = self.keep(at("mlp.act"), act);
        let gated = self.keep(at("mlp.gated"), zip(&act, &up, |a, b| a * b));
        let joined = self.project(at("mlp.down_proj"), &gated);
        let joined = self.norm(at("post_feedforward_layernorm"), &joined);
        self.keep(at("output"), zip(&stream, &joined, |a, b| a + b))
    }

    /// Context [T, N * H] of the normed stream.
    fn attention(&mut self, layer: usize, normed: &Matrix) -> Matrix {
        let at = |path| probe(Some(layer), path);
        let (config, arithmetic, tokens) = (self.config, self.arithmetic, normed.len());
        let (n, h) = (config.num_attention_heads, config.head_dim);
        let q = self.project(at("self_attn.q_proj"), normed);
        let k = self.project(at("self_attn.k_proj"), normed);
        let v = self.project(at("self_attn.v_proj"), normed);
        let q = self.keep(at("self_attn.q_rope"), self.rotated(&q));
        let k = self.keep(at("self_attn.k_rope"), self.rotated(&k));
        // Head n of the queries reads head n div (N / K) of keys and values.
        // Query heads that share a key head.
        let groups = config.num_attention_heads / config.num_key_value_heads;
        let lanes = |head: usize| head / groups * h..(head / groups + 1) * h;
        let scale = config.query_pre_attn_scalar.powf(-0.5) as f32;
        let score = |row: usize, key: usize| {
            let (head, query) = (row / tokens, row % tokens);
            let (q, k) = (&q[query][head * h..(head + 1) * h], &k[key][lanes(head)]);
            arithmetic.dot(q.iter().copied(), k.iter().copied()) * scale
        };
        let scores = (0..n * tokens).map(|row| (0..tokens).map(|key| score(row, key)).collect()).collect();
        let scores = self.keep(at("self_attn.scores"), scores);
        let capped = self.cap(&scores, config.attn_logit_softcapping);
        let capped = self.keep(at("self_attn.scores_capped"), capped);
        let window = config.window(layer).unwrap_or(usize::MAX);
        let sees = |query: usize, key: usize| key <= query && query - key < window;
        let mask = (0..tokens * tokens).map(|at| u8::from(sees(at / tokens, at % tokens))).collect();
        let mask = HostTensor { shape: vec![tokens, tokens], values: Values::U8(mask) };
        self.recorded.insert(at("self_attn.mask"), mask);
        let softmax = |(row, scores): (usize, &Vec<f32>)| {
            let seen = |key: usize| sees(row % tokens, key);
            let most = (0..tokens).filter(|key| seen(*key)).map(|key| scores[key]).fold(f32::MIN, f32::max);
            let exps: Vec<f32> =
                (0..tokens).map(|key| if seen(key) { arithmetic.exp(scores[key] - most) } else { 0.0 }).collect();
            let total: f32 = exps.iter().sum();
            exps.iter().map(|exp| exp / total).collect()
        };
        let probs = self.keep(at("self_attn.probs"), capped.iter().enumerate().map(softmax).collect());
        let mixed = |query: usize, lane: usize| {
            let (head, of) = (lane / h, lanes(lane / h).start + lane % h);
            arithmetic.dot(probs[head * tokens + query].iter().copied(), v.iter().map(|v| v[of]))
        };
        let context = (0..tokens).map(|query| (0..n * h).map(|lane| mixed(query, lane)).collect()).collect();
        self.keep(at("self_attn.context"), context)
    }

    /// Rounds `rows` to what the engine keeps and records them.
    fn keep(&mut self, probe: Probe, rows: Matrix) -> Matrix {
        let rows = map(&rows, |x| self.arithmetic.store(x));
        let values = Values::F32(rows.concat()).to_dtype(self.arithmetic.storage);
        let shape = self.graph.shape(probe, self.token_ids.len());
        self.recorded.insert(probe, HostTensor { shape, values });
        rows
    }

    /// x / sqrt(mean(x^2) + eps) * (1 + w)
    fn norm(&mut self, probe: Probe, rows: &Matrix) -> Matrix {
        let weight: &[f32] = self.graph.weight(probe).map_or(&[], |weight| &self.weights[&weight][0]);
        let eps = self.config.rms_norm_eps as f32;
        let normed = |row: &Vec<f32>| {
            let mean = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
            let scale = 1.0 / (mean + eps).sqrt();
            row.iter().zip(weight).map(|(x, w)| x * scale * (1.0 + w)).collect()
        };
        let rows = rows.iter().map(normed).collect();
        self.keep(probe, rows)
    }

    /// x W^T
    fn project(&mut self, probe: Probe, rows: &Matrix) -> Matrix {
        let Some(weight) = self.graph.weight(probe).and_then(|weight| self.weights.get(&weight)) else {
            return Matrix::new();
        };
        let dot = |x: &Vec<f32>, w: &Vec<f32>| self.arithmetic.dot(x.iter().copied(), w.iter().copied());
        let rows = rows.iter().map(|x| weight.iter().map(|w| dot(x, w)).collect()).collect();
        self.keep(probe, rows)
    }

    /// Lane i with lane i + H/2 of each head, by the angle position / theta^(2i / H).
    fn rotated(&self, rows: &Matrix) -> Matrix {
        let h = self.config.head_dim;
        let inv_freq = |i: usize| 1.0 / (self.config.rope_theta as f32).powf(2.0 * i as f32 / h as f32);
        let rotate = |(position, row): (usize, &Vec<f32>)| {
            let mut out = row.clone();
            for head in (0..row.len()).step_by(h) {
                for i in 0..h / 2 {
                    let (sin, cos) = self.arithmetic.sin_cos(position as f32 * inv_freq(i));
                    let (a, b) = (row[head + i], row[head + i + h / 2]);
                    out[head + i] = a * cos - b * sin;
                    out[head + i + h / 2] = b * cos + a * sin;
                }
            }
            out
        };
        rows.iter().enumerate().map(rotate).collect()
    }

    /// cap * tanh(x / cap)
    fn cap(&self, rows: &Matrix, cap: Option<f64>) -> Matrix {
        cap.map_or_else(|| rows.clone(), |cap| map(rows, |x| self.arithmetic.tanh(x / cap as f32) * cap as f32))
    }

    /// The tanh approximation.
    fn gelu(&self, x: f32) -> f32 {
        let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
        0.5 * x * (1.0 + self.arithmetic.tanh(inner))
    }
}

fn map(rows: &Matrix, f: impl Fn(f32) -> f32) -> Matrix {
    rows.iter().map(|row| row.iter().map(|x| f(*x)).collect()).collect()
}

fn zip(a: &Matrix, b: &Matrix, f: impl Fn(f32, f32) -> f32) -> Matrix {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()).collect()
}

/// Every value rounded to `decimals`, as a log prints it.
pub fn printed(recording: &mut Recording, decimals: i32) {
    let unit = 10f64.powi(decimals);
    for tensor in recording.tensors.values_mut() {
        if let Values::F32(values) = &mut tensor.values {
            values.iter_mut().for_each(|x| *x = ((f64::from(*x) * unit).round() / unit) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::bench_verdict::arithmetic::{PLAIN, Sum, Weights};

    fn relative(a: &HostTensor, b: &HostTensor) -> f64 {
        let (a, b) = (a.values.to_f64(), b.values.to_f64());
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied()).max(1e-30)
    }

    /// The largest relative error of any tensor against transformers' own trace.
    fn worst(arithmetic: Arithmetic, extension: &str) -> f64 {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        let mut worst = 0.0f64;
        for name in ["parity", "sharded", "layer_types", "mini"] {
            let home = fixtures.join(name);
            let golden = Recording::read_dump(&home.join(format!("golden-{extension}.safetensors"))).unwrap();
            let ids: Vec<usize> =
                golden.token_ids().unwrap().values.to_f64().into_iter().map(|id| id as usize).collect();
            let run = Engine::open(home.to_str().unwrap()).unwrap().run(&ids, arithmetic);
            assert_eq!(run.tensors.keys().collect::<Vec<_>>(), golden.tensors.keys().collect::<Vec<_>>());
            for (probe, expected) in &golden.tensors {
                assert_eq!(run.tensors[probe].shape, expected.shape, "{probe}");
                worst = worst.max(relative(&run.tensors[probe], expected));
            }
        }
        worst
    }

    #[test]
    fn it_computes_what_transformers_does() {
        let f32 = worst(PLAIN, "f32");
        assert!(f32 < 2e-6, "{f32:e}");
        let bf16 = worst(Arithmetic { storage: Dtype::Bf16, ..PLAIN }, "bf16");
        assert!(bf16 < 6e-2 && bf16 > 1e-4, "{bf16:e}");
    }

    #[test]
    fn each_arithmetic_differs_as_much_as_it_should() {
        for (arithmetic, least, most) in [
            (Arithmetic { tf32: true, ..PLAIN }, 1e-4, 1e-2),
            (Arithmetic { sum: Sum::F16(1), storage: Dtype::F16, ..PLAIN }, 1e-4, 5e-2),
            (Arithmetic { weights: Weights::Rounded(Dtype::Bf16), ..PLAIN }, 1e-3, 1e-1),
            (Arithmetic { weights: Weights::Q8_0, ..PLAIN }, 1e-3, 2e-1),
            (Arithmetic { weights: Weights::Q4K, ..PLAIN }, 1e-2, 2.0),
        ] {
            let off = worst(arithmetic, "f32");
            assert!(off > least && off < most, "{arithmetic:?}: {off:e}");
        }
    }

    #[test]
    fn printed_values_have_so_many_decimals() {
        let tensor = HostTensor { shape: vec![1], values: Values::F32(vec![0.123_456_7]) };
        let mut recording = Recording { report: None, tensors: BTreeMap::from([(probe(None, "norm"), tensor)]) };
        printed(&mut recording, 4);
        assert_eq!(recording.tensors[&probe(None, "norm")].values, Values::F32(vec![0.1235]));
    }
}
