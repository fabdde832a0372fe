//! The questions that are timed.

use loupe_spec::{Graph, Weight};
use miette::{Result, bail};
use serde_json::{Map, Value, json};

/// "The color of the sky is" in Gemma's vocabulary, and the peers' prompt.
const PROMPT: [usize; 7] = [2, 651, 2881, 576, 573, 8203, 603];

/// The checks, with what issue 5 of the project requires of flex in f32: seconds at 2B's shape on two cores.
pub const CHECKS: [(&str, f64); 6] =
    [("rope", 0.05), ("weights", 0.10), ("embed", 1.0), ("attn", 1.0), ("layer-out", 2.5), ("trace", 5.0)];

/// One check over one prompt.
#[derive(Clone)]
pub struct Case {
    pub check: String,
    /// The check's own keys.
    keys: Map<String, Value>,
    /// How many numbers the tensors have that it cannot do without.
    pub elements: usize,
    /// Whether they go through a matmul, or are only read.
    pub multiplies: bool,
    pub tokens: usize,
}

impl Case {
    pub fn of(check: &str, graph: &Graph) -> Result<Case> {
        let config = graph.config();
        let of = |is: &dyn Fn(Weight) -> bool| graph.weights().filter(|weight| is(*weight)).collect::<Vec<Weight>>();
        let first = |weight: Weight| weight.layer() == Some(0);
        let ids: Vec<usize> = PROMPT.iter().map(|id| id % config.vocab_size).collect();
        let prompt = json!({"token_ids": ids});
        let (keys, weights, multiplies) = match check {
            "rope" => (json!({"pos": 6, "dim": config.head_dim, "theta": config.rope_theta}), vec![], false),
            "weights" => (
                json!({"layer": 0, "proj": "q"}),
                of(&|weight| first(weight) && weight.path().ends_with(".q_proj")),
                false,
            ),
            "embed" => (prompt, of(&first), true),
            "attn" => {
                let attention = of(&|weight| first(weight) && weight.path().starts_with("self_attn."));
                (with(prompt, json!({"layer": 0})), attention, true)
            }
            "layer-out" => return Ok(Case::layer_out(graph, PROMPT.len())),
            "trace" => (prompt, in_layers(graph).chain([Weight::head(config)]).collect(), true),
            unknown => {
                let names = CHECKS.map(|(name, _)| name).join(", ");
                bail!("there is no check \"{unknown}\" to time; there are {names}")
            }
        };
        let keys = keys.as_object().cloned().unwrap_or_default();
        Ok(Case { check: check.to_string(), keys, elements: count(weights, graph), multiplies, tokens: PROMPT.len() })
    }

    /// The first, a middle and the last layer's output of a prompt of `tokens` tokens.
    pub fn layer_out(graph: &Graph, tokens: usize) -> Case {
        let config = graph.config();
        let last = config.num_hidden_layers - 1;
        let more = (PROMPT.len()..tokens).map(|at| 3 + at * 7919 % (config.vocab_size - 3));
        let ids: Vec<usize> = PROMPT.iter().map(|id| id % config.vocab_size).chain(more).take(tokens).collect();
        let keys = json!({"token_ids": ids, "layers": [0, last.div_ceil(2) - 1, last], "token": -1});
        let keys = keys.as_object().cloned().unwrap_or_default();
        let elements = count(in_layers(graph), graph);
        Case { check: "layer-out".to_string(), keys, elements, multiplies: true, tokens }
    }

    /// The config of `loupe`, the backend excepted.
    pub fn config(&self, model: &str) -> Map<String, Value> {
        let mut config = self.keys.clone();
        config.insert("check".into(), self.check.as_str().into());
        config.insert("model".into(), model.into());
        config
    }

    /// Seconds that the project requires of flex in f32 at 2B's shape.
    pub fn required(&self) -> Option<f64> {
        CHECKS.iter().find(|(name, _)| *name == self.check).map(|(_, seconds)| *seconds)
    }
}

fn count(weights: impl IntoIterator<Item = Weight>, graph: &Graph) -> usize {
    weights.into_iter().map(|weight| graph.weight_shape(weight).iter().product::<usize>()).sum()
}

fn in_layers(graph: &Graph) -> impl Iterator<Item = Weight> {
    graph.weights().filter(|weight| weight.layer().is_some())
}

fn with(mut keys: Value, more: Value) -> Value {
    if let (Some(keys), Value::Object(more)) = (keys.as_object_mut(), more) {
        keys.extend(more);
    }
    keys
}
