//! A checkpoint with some ingredients changed, and a prompt for it: nothing is on disk yet.

use std::collections::{BTreeMap, BTreeSet};

use loupe_checkpoint::{Change, Checkpoint, RowSelection, Tensors};
use loupe_runtime::{Referee, Watch};
use loupe_spec::{Config, Dtype, Given, Graph, HostTensor, Probe, Replay, Replayer, Simulation, Trace, Values, Weight};
use serde_json::{Value, json};

use crate::StimulusError;
use crate::ingredient::Ingredient;
use crate::reach::layers_in_reach;

/// Tokens of a prompt that goes past the positions which bf16 counts.
const LATE: usize = 300;
/// Tokens of a prompt that a window can be shorter than.
const WINDOWED: usize = 8;
/// A longer prompt is cut: what it shows beyond, a short one with a small window shows too.
const LONGEST: usize = 320;
/// Rows of the embedding table read at a time.
const ROWS: usize = 4096;
/// What a branch ends with: the projection before its norm.
const BRANCHES: [&str; 2] = ["self_attn.o_proj", "mlp.down_proj"];
/// What an absent cap becomes: those of every published Gemma 2.
const CAPS: [f64; 2] = [50.0, 30.0];

/// The checkpoint and prompt that were judged, and how large their values are.
pub struct Base<'a> {
    checkpoint: &'a Checkpoint,
    tensors: &'a Tensors,
    token_ids: &'a [usize],
    /// Is told how far it is.
    pub watch: Option<&'a dyn Watch>,
    /// Root mean squares, medians over layers: scores, and what o_proj and down_proj give.
    scores: f64,
    branches: [f64; 2],
    /// Estimated from the final norm's weight and the head's rows.
    logits: f64,
}

/// One way of changing it.
pub struct Variant {
    /// The ingredients, joined.
    pub name: String,
    /// The model.
    pub graph: Graph,
    /// The same as it is written.
    pub document: Value,
    /// The weights, as they would be read.
    pub tensors: Tensors,
    /// Whether any of them differs from the judged checkpoint's.
    pub reweighted: bool,
    /// The prompt.
    pub token_ids: Vec<usize>,
    /// What differs, a sentence each.
    pub changed: Vec<String>,
}

impl<'a> Base<'a> {
    /// Runs the layers in reach once, exactly, to see how large values are.
    pub fn measure(
        checkpoint: &'a Checkpoint,
        tensors: &'a Tensors,
        token_ids: &'a [usize],
        watch: Option<&'a dyn Watch>,
    ) -> Result<Base<'a>, StimulusError> {
        let config = checkpoint.config();
        let token_ids = &token_ids[..token_ids.len().min(LONGEST)];
        let layers = layers_in_reach(checkpoint.graph(), token_ids.len());
        let sizes = ["self_attn.scores", BRANCHES[0], BRANCHES[1]];
        let in_reach = checkpoint.graph().probes().filter(|probe| probe.layer().is_some_and(|layer| layer < layers));
        let wanted: BTreeSet<Probe> = in_reach.filter(|probe| sizes.contains(&probe.path())).collect();
        let ids = Values::I64(token_ids.iter().map(|id| *id as i64).collect());
        let given = Trace::from([(Probe::TOKEN_IDS, HostTensor { shape: vec![token_ids.len()], values: ids })]);
        let simulation = Simulation::exact();
        let question = Replay { given: Given::whole(&given), wanted: &wanted, mistakes: &[], simulation };
        let referee = Referee::new(checkpoint.graph(), tensors, token_ids.len());
        let referee = Referee { watch, ..referee };
        referee.begins("the sizes of values, for inputs that show more", 1);
        let run = referee.replay(question)?;
        let [scores, attention, mlp] = sizes.map(|path| {
            let of_layers = run.iter().filter(|(probe, _)| probe.path() == path);
            let mut sizes: Vec<f64> = of_layers.map(|(_, tensor)| rms(&tensor.values.to_f64())).collect();
            sizes.sort_by(f64::total_cmp);
            sizes.get(sizes.len() / 2).copied().unwrap_or(1.0)
        });
        let norm = tensors.read(Weight::NORM, RowSelection::All, Dtype::F32)?.values.to_f64();
        let norm: Vec<f64> = norm.into_iter().map(|w| 1.0 + w).collect();
        let some = RowSelection::Range(0..config.vocab_size.min(ROWS));
        let head = tensors.read(Weight::head(config), some, Dtype::F32)?.values.to_f64();
        // A sum of D products of independent values.
        let logits = (config.hidden_size as f64).sqrt() * rms(&norm) * rms(&head);
        Ok(Base { checkpoint, tensors, token_ids, watch, scores, branches: [attention, mlp], logits })
    }

    /// config.json of the judged checkpoint.
    pub fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    /// The checkpoint with `ingredients` changed.
    pub fn with(&self, ingredients: &BTreeSet<Ingredient>) -> Result<Variant, StimulusError> {
        let mut document: Value =
            serde_json::from_str(self.checkpoint.config_json()).map_err(StimulusError::ConfigJson)?;
        let (token_ids, mut changed) = self.prompt(ingredients)?;
        let mut weights = BTreeMap::new();
        let mut set = |key: &str, value: Value, from: String| {
            let to = value.to_string();
            if to != from {
                changed.push(format!("config.json: {key} {from} -> {to}"));
            }
            document[key] = value;
        };
        let config = self.config();
        let graph = self.checkpoint.graph();
        let of_each_layer = |path, change| {
            let own = graph.weights().filter(move |weight| weight.layer().is_some() && weight.path() == path);
            own.map(move |weight| (weight, change))
        };
        if token_ids.len() > config.max_position_embeddings {
            let from = config.max_position_embeddings.to_string();
            set("max_position_embeddings", json!(token_ids.len()), from);
        }
        let mut scaled = Vec::new();
        for ingredient in ingredients {
            match ingredient {
                Ingredient::Tokens | Ingredient::Late => {}
                Ingredient::Window => {
                    let window = (token_ids.len() / 2).clamp(2, WINDOWED / 2);
                    set("sliding_window", json!(window), config.sliding_window.to_string());
                }
                Ingredient::Scales => {
                    let from = config.query_pre_attn_scalar;
                    set("query_pre_attn_scalar", json!(another_scale(config)), from.to_string());
                }
                Ingredient::Norms => {
                    weights.extend(of_each_layer("post_attention_layernorm", Change::NormTimes(2.0)));
                    scaled.push("1 + post_attention_layernorm of every layer times 2".to_string());
                }
                Ingredient::Logits => {
                    let cap = config.final_logit_softcapping.unwrap_or(CAPS[1]);
                    if config.final_logit_softcapping.is_none() {
                        set("final_logit_softcapping", json!(cap), "null".to_string());
                    }
                    let factor = power_of_two(cap / self.logits).max(1.0);
                    weights.insert(Weight::NORM, Change::NormTimes(factor));
                    scaled.push(format!("1 + the final norm's weight times {factor}"));
                }
                Ingredient::Quiet => {
                    let eps = config.rms_norm_eps.max(1e-20).sqrt();
                    for (path, size) in BRANCHES.into_iter().zip(self.branches) {
                        let factor = power_of_two(eps / size).min(1.0);
                        weights.extend(of_each_layer(path, Change::Times(factor)));
                        let name = path.split('.').next_back().unwrap_or(path);
                        scaled.push(format!("{name} of every layer times 2^{}", factor.log2()));
                    }
                }
                Ingredient::Gain | Ingredient::Saturate => {
                    let cap = config.attn_logit_softcapping.unwrap_or(CAPS[0]);
                    if config.attn_logit_softcapping.is_none() {
                        set("attn_logit_softcapping", json!(cap), "null".to_string());
                    }
                    let reach = if *ingredient == Ingredient::Gain { 0.5 } else { 2.0 };
                    let factor = power_of_two(reach * cap / self.scores).max(1.0);
                    weights.extend(of_each_layer("self_attn.q_proj", Change::Times(factor)));
                    scaled.push(format!("q_proj of every layer times {factor}"));
                }
            }
        }
        changed.extend(scaled);
        let reweighted = !weights.is_empty();
        let config =
            Config::from_json(&document.to_string()).map_err(|source| StimulusError::Config(source.to_string()))?;
        let tensors = self.checkpoint.tensors()?.changed(weights);
        let name = ingredients.iter().map(|ingredient| ingredient.name()).collect::<Vec<_>>().join("-");
        Ok(Variant { name, graph: Graph::of(&config), document, tensors, reweighted, token_ids, changed })
    }

    /// The prompt that `ingredients` ask for, and what is new about it.
    fn prompt(&self, ingredients: &BTreeSet<Ingredient>) -> Result<(Vec<usize>, Vec<String>), StimulusError> {
        let mut changed = Vec::new();
        let mut ids = self.token_ids.to_vec();
        if ingredients.contains(&Ingredient::Tokens) {
            ids.truncate(1);
            ids.extend(self.smallest_rows(self.token_ids.len().clamp(4, 64) - 1)?);
            changed.push("token ids: the first, then those with the smallest embedding rows".to_string());
        }
        let at_least = if ingredients.contains(&Ingredient::Late) {
            LATE
        } else if ingredients.contains(&Ingredient::Window) {
            WINDOWED
        } else {
            0
        };
        if ids.len() < at_least {
            // The first stays first, <bos> as it is; the others come again and again, each round begun one later.
            let rest = if ids.len() > 1 { ids[1..].to_vec() } else { ids.clone() };
            let again = (0..at_least - 1).map(|i| rest[(i + i / rest.len()) % rest.len()]);
            ids = std::iter::once(ids[0]).chain(again).collect();
            changed.push(format!("token ids: repeated in varied order, {at_least} in all"));
        }
        Ok((ids, changed))
    }

    /// Ids of the `count` smallest rows of the embedding table that are not 0, where no epsilon could show.
    fn smallest_rows(&self, count: usize) -> Result<Vec<usize>, StimulusError> {
        let config = self.config();
        let mut rows: Vec<(f64, usize)> = Vec::new();
        for start in (0..config.vocab_size).step_by(ROWS) {
            let range = start..(start + ROWS).min(config.vocab_size);
            let values =
                self.tensors.read(Weight::EMBED_TOKENS, RowSelection::Range(range), Dtype::F32)?.values.to_f64();
            let sizes = values.chunks(config.hidden_size).map(rms).enumerate();
            rows.extend(sizes.filter(|(_, size)| *size > 0.0).map(|(at, size)| (size, start + at)));
            rows.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows.truncate(count);
        }
        Ok(rows.into_iter().map(|(_, id)| id).collect())
    }
}

impl Variant {
    /// Whoever answers questions about it; `watch` is told how far it is.
    pub fn referee<'v>(&'v self, watch: Option<&'v dyn Watch>) -> Referee<'v> {
        Referee { watch, ..Referee::new(&self.graph, &self.tensors, self.token_ids.len()) }
    }
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// The nearest: a factor that loses no bit of a weight. 1 of what is no size at all.
fn power_of_two(factor: f64) -> f64 {
    if factor.is_finite() && factor > 0.0 { factor.log2().round().clamp(-24.0, 24.0).exp2() } else { 1.0 }
}

/// A whole number at least a factor 1.4 from all that a port takes for `query_pre_attn_scalar`: head_dim,
/// hidden_size / heads, 1, and what the checkpoint itself says. Its square is that far too: to scale twice is to take the
/// square for it.
fn another_scale(config: &Config) -> u64 {
    let per_head = config.hidden_size as f64 / config.num_attention_heads as f64;
    let taken = [config.head_dim as f64, per_head, 1.0, config.query_pre_attn_scalar];
    let apart = |scale: f64| taken.iter().all(|taken| (scale / taken).ln().abs() > 1.4f64.ln());
    let far = |scale: &u64| apart(*scale as f64) && apart((*scale as f64).powi(2));
    let quarter = (config.query_pre_attn_scalar / 4.0).round().max(2.0) as u64;
    (quarter..).find(far).unwrap_or(quarter)
}
