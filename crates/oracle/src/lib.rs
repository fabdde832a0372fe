//! Gemma 2 once more, in plain loops over `Vec`s: no tensors, no library, nothing shared with the model that it tests. Read
//! it from top to bottom.
//!
//! Formulas are those of Hugging Face's `modeling_gemma2.py`. Where mathematics leaves open how a number is computed (the
//! order of a sum, whose tanh, what is rounded when it is kept) [`Kernels`] decide.

#![forbid(unsafe_code)]

mod number;

use std::collections::BTreeMap;

pub use number::{Exact, Kernels, Number};

/// Rows of numbers: a row for each token, or for each output of a projection.
pub type Matrix<F> = Vec<Vec<F>>;

/// What config.json says, under its names.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Config {
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub query_pre_attn_scalar: f64,
    pub attn_logit_softcapping: Option<f64>,
    pub final_logit_softcapping: Option<f64>,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    /// How many tokens each layer sees, itself included; `None`: all before it.
    pub windows: Vec<Option<usize>>,
}

/// A checkpoint: tensors by the names of its files, a norm's vector as a matrix of one row.
pub struct Model<F> {
    /// Its numbers.
    pub config: Config,
    /// `model.layers.0.self_attn.q_proj.weight` and the like. Without `lm_head.weight` the embeddings are the head.
    pub weights: BTreeMap<String, Matrix<F>>,
}

/// Every value of a forward pass, in computing order: its name, as Loupe's traces have it, and its rows. Scores and
/// probabilities [N, T, S] have N * T rows; a mask is 1 where a query sees a key and 0 where it does not.
pub type Trace<F> = Vec<(String, Matrix<F>)>;

impl<F: Number> Model<F> {
    /// Runs the prompt `token_ids`. Each is below the number of embeddings, and all tensors are there: the model is made
    /// of a checkpoint that was read.
    pub fn forward(&self, token_ids: &[usize], kernels: &impl Kernels<F>) -> Trace<F> {
        let mut pass = Pass { model: self, kernels, values: Trace::new() };
        pass.run(token_ids);
        pass.values
    }
}

struct Pass<'a, F, A> {
    model: &'a Model<F>,
    kernels: &'a A,
    values: Trace<F>,
}

impl<F: Number, A: Kernels<F>> Pass<'_, F, A> {
    fn run(&mut self, token_ids: &[usize]) {
        let config = &self.model.config;
        let embeddings = self.weight("model.embed_tokens");
        let raw = self.keep("embed.raw", token_ids.iter().map(|id| embeddings[*id].clone()).collect());
        let scale = self.kernels.store(F::of((config.hidden_size as f64).sqrt()));
        let mut x = self.keep("embed.scaled", map(&raw, |x| x * scale));
        for layer in 0..config.num_hidden_layers {
            x = self.layer(layer, &x);
        }
        let x = self.norm("norm", "model.norm", &x);
        let tied = !self.model.weights.contains_key("lm_head.weight");
        let raw = self.linear("logits.raw", if tied { "model.embed_tokens" } else { "lm_head" }, &x);
        self.keep("logits", softcap(&raw, config.final_logit_softcapping, self.kernels));
    }

    /// x + norm(attention(norm(x))), then x + norm(mlp(norm(x))).
    fn layer(&mut self, layer: usize, x: &Matrix<F>) -> Matrix<F> {
        let at = |path: &str| format!("layers.{layer}.{path}");
        let weight = |path: &str| format!("model.layers.{layer}.{path}");
        let x = self.keep(&at("input"), x.clone());
        let h = self.norm(&at("input_layernorm"), &weight("input_layernorm"), &x);
        let h = self.attention(layer, &h);
        let h = self.linear(&at("self_attn.o_proj"), &weight("self_attn.o_proj"), &h);
        let h = self.norm(&at("post_attention_layernorm"), &weight("post_attention_layernorm"), &h);
        let x = self.keep(&at("residual_attn"), zip(&x, &h, |a, b| a + b));

        let h = self.norm(&at("pre_feedforward_layernorm"), &weight("pre_feedforward_layernorm"), &x);
        let gate = self.linear(&at("mlp.gate_proj"), &weight("mlp.gate_proj"), &h);
        let up = self.linear(&at("mlp.up_proj"), &weight("mlp.up_proj"), &h);
        let act = self.keep(&at("mlp.act"), gelu(&gate, self.kernels));
        let gated = self.keep(&at("mlp.gated"), zip(&act, &up, |a, b| a * b));
        let h = self.linear(&at("mlp.down_proj"), &weight("mlp.down_proj"), &gated);
        let h = self.norm(&at("post_feedforward_layernorm"), &weight("post_feedforward_layernorm"), &h);
        self.keep(&at("output"), zip(&x, &h, |a, b| a + b))
    }

    /// What each token takes in of those that it sees: [T, N * H].
    fn attention(&mut self, layer: usize, h: &Matrix<F>) -> Matrix<F> {
        let (config, kernels) = (&self.model.config, self.kernels);
        let at = |path: &str| format!("layers.{layer}.self_attn.{path}");
        let weight = |path: &str| format!("model.layers.{layer}.self_attn.{path}");
        let q = self.linear(&at("q_proj"), &weight("q_proj"), h);
        let k = self.linear(&at("k_proj"), &weight("k_proj"), h);
        let v = self.linear(&at("v_proj"), &weight("v_proj"), h);
        let positions: Vec<usize> = (0..h.len()).collect();
        let rotated = |x: &Matrix<F>| rope(x, &positions, config.head_dim, config.rope_theta, kernels);
        let q = self.keep(&at("q_rope"), rotated(&q));
        let k = self.keep(&at("k_rope"), rotated(&k));
        let scores = self.keep(&at("scores"), scores(&q, &k, config, kernels));
        let capped = self.keep(&at("scores_capped"), softcap(&scores, config.attn_logit_softcapping, kernels));
        let seen = mask(h.len(), config.windows[layer]);
        let one = |seen: &bool| F::of(f64::from(u8::from(*seen)));
        self.keep(&at("mask"), seen.iter().map(|row| row.iter().map(one).collect()).collect());
        let probs = self.keep(&at("probs"), softmax(&capped, &seen, kernels));
        self.keep(&at("context"), context(&probs, &v, config, kernels))
    }

    /// Rounds `rows` to what the engine keeps, and records them.
    fn keep(&mut self, name: &str, rows: Matrix<F>) -> Matrix<F> {
        let rows = map(&rows, |x| self.kernels.store(x));
        self.values.push((name.to_string(), rows.clone()));
        rows
    }

    fn norm(&mut self, name: &str, weight: &str, x: &Matrix<F>) -> Matrix<F> {
        let normed = rms_norm(x, &self.weight(weight)[0], self.model.config.rms_norm_eps);
        self.keep(name, normed)
    }

    fn linear(&mut self, name: &str, weight: &str, x: &Matrix<F>) -> Matrix<F> {
        let projected = linear(x, self.weight(weight), self.kernels);
        self.keep(name, projected)
    }

    fn weight(&self, module: &str) -> &Matrix<F> {
        &self.model.weights[&format!("{module}.weight")]
    }
}

/// `x / sqrt(mean(x^2) + eps) * (1 + w)`, of each row.
pub fn rms_norm<F: Number>(x: &Matrix<F>, weight: &[F], eps: f64) -> Matrix<F> {
    let mut out = Matrix::new();
    for row in x {
        let mean = row.iter().map(|x| *x * *x).sum::<F>() / F::of(row.len() as f64);
        let scale = F::of(1.0) / (mean + F::of(eps)).sqrt();
        out.push(row.iter().zip(weight).map(|(x, w)| *x * scale * (F::of(1.0) + *w)).collect());
    }
    out
}

/// `x W^T`: each row of `x` with each row of `weight`.
pub fn linear<F: Number>(x: &Matrix<F>, weight: &Matrix<F>, kernels: &impl Kernels<F>) -> Matrix<F> {
    let dot = |x: &Vec<F>, w: &Vec<F>| kernels.dot(x.iter().copied(), w.iter().copied());
    x.iter().map(|x| weight.iter().map(|w| dot(x, w)).collect()).collect()
}

/// Of each head, lane i with lane i + H/2, by the angle `position / theta^(2i / H)`.
pub fn rope<F: Number>(
    x: &Matrix<F>,
    positions: &[usize],
    head_dim: usize,
    theta: f64,
    kernels: &impl Kernels<F>,
) -> Matrix<F> {
    let half = head_dim / 2;
    let mut out = x.clone();
    for (row, position) in out.iter_mut().zip(positions) {
        for head in (0..row.len()).step_by(head_dim) {
            for i in 0..half {
                let exponent = F::of(2.0) * F::of(i as f64) / F::of(head_dim as f64);
                let inv_freq = F::of(1.0) / F::of(theta).powf(exponent);
                let (sin, cos) = kernels.sin_cos(F::of(*position as f64) * inv_freq);
                let (a, b) = (row[head + i], row[head + i + half]);
                row[head + i] = a * cos - b * sin;
                row[head + i + half] = b * cos + a * sin;
            }
        }
    }
    out
}

/// `q k / sqrt(query_pre_attn_scalar)`: a row for each head and query, a column for each key. N / K heads share a key head.
fn scores<F: Number>(q: &Matrix<F>, k: &Matrix<F>, config: &Config, kernels: &impl Kernels<F>) -> Matrix<F> {
    let h = config.head_dim;
    let scale = F::of(config.query_pre_attn_scalar.powf(-0.5));
    let mut out = Matrix::new();
    for head in 0..config.num_attention_heads {
        let shared = head / (config.num_attention_heads / config.num_key_value_heads);
        for q in q {
            let q = &q[head * h..(head + 1) * h];
            let key = |k: &Vec<F>| kernels.dot(q.iter().copied(), k[shared * h..(shared + 1) * h].iter().copied());
            out.push(k.iter().map(|k| key(k) * scale).collect());
        }
    }
    out
}

/// `cap * tanh(x / cap)`; without a cap `x`.
pub fn softcap<F: Number>(x: &Matrix<F>, cap: Option<f64>, kernels: &impl Kernels<F>) -> Matrix<F> {
    let Some(cap) = cap.map(F::of) else { return x.clone() };
    map(x, |x| kernels.tanh(x / cap) * cap)
}

/// Which keys each query sees: those before it and itself, the last `window` of them.
pub fn mask(tokens: usize, window: Option<usize>) -> Vec<Vec<bool>> {
    let sees = |query: usize, key: usize| key <= query && window.is_none_or(|window| query - key < window);
    (0..tokens).map(|query| (0..tokens).map(|key| sees(query, key)).collect()).collect()
}

/// `exp(x) / sum of exp(x)` over the keys that a query sees, 0 elsewhere. Rows of `seen` are queries, and come again for
/// each head.
pub fn softmax<F: Number>(scores: &Matrix<F>, seen: &[Vec<bool>], kernels: &impl Kernels<F>) -> Matrix<F> {
    let mut out = Matrix::new();
    for (row, scores) in scores.iter().enumerate() {
        let seen = &seen[row % seen.len()];
        let visible = scores.iter().zip(seen).filter(|(_, seen)| **seen).map(|(score, _)| *score);
        let most = visible.fold(F::of(f64::from(f32::MIN)), |most, x| if x > most { x } else { most });
        let exp = |(score, seen): (&F, &bool)| if *seen { kernels.exp(*score - most) } else { F::of(0.0) };
        let exps: Vec<F> = scores.iter().zip(seen).map(exp).collect();
        let total = exps.iter().copied().sum::<F>();
        out.push(exps.iter().map(|exp| *exp / total).collect());
    }
    out
}

/// The values of all keys, by their probabilities; heads side by side.
fn context<F: Number>(probs: &Matrix<F>, v: &Matrix<F>, config: &Config, kernels: &impl Kernels<F>) -> Matrix<F> {
    let (h, tokens) = (config.head_dim, v.len());
    let mut out = Matrix::new();
    for query in 0..tokens {
        let mut row = Vec::new();
        for head in 0..config.num_attention_heads {
            let shared = head / (config.num_attention_heads / config.num_key_value_heads);
            let probs = &probs[head * tokens + query];
            let lane = |i: usize| kernels.dot(probs.iter().copied(), v.iter().map(|v| v[shared * h + i]));
            row.extend((0..h).map(lane));
        }
        out.push(row);
    }
    out
}

/// The tanh approximation: `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
pub fn gelu<F: Number>(x: &Matrix<F>, kernels: &impl Kernels<F>) -> Matrix<F> {
    let scale = (F::of(2.0) / F::of(std::f64::consts::PI)).sqrt();
    let gelu = |x: F| {
        let inner = scale * (x + F::of(0.044_715) * x * x * x);
        F::of(0.5) * x * (F::of(1.0) + kernels.tanh(inner))
    };
    map(x, gelu)
}

fn map<F: Number>(rows: &Matrix<F>, f: impl Fn(F) -> F) -> Matrix<F> {
    rows.iter().map(|row| row.iter().map(|x| f(*x)).collect()).collect()
}

fn zip<F: Number>(a: &Matrix<F>, b: &Matrix<F>, f: impl Fn(F, F) -> F) -> Matrix<F> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()).collect()
}
