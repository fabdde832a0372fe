//! A forward pass as data: what each value is computed from, by which operation, with which tensor, in which shape.
//!
//! A node is a function of its inputs and its tensor, nothing else (positions and the mask's shape follow from the token
//! count). That makes any segment between recorded values runnable alone, which is what the verdict stands on.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use strum::EnumDiscriminants;

use crate::{Config, Parameter, Probe, Weight, gemma2};

/// An axis of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Tokens: of scores and masks the queries.
    T,
    /// Tokens as keys.
    S,
    /// `hidden_size`
    D,
    /// `intermediate_size`
    F,
    /// `vocab_size`
    V,
    /// Heads of the queries.
    N,
    /// Heads of keys and values.
    K,
    /// `head_dim`
    H,
}

impl Axis {
    /// How one place along it is called, and several, in a value that has the axes `beside`: tokens are queries where keys
    /// are an axis, too.
    pub fn called(self, beside: &[Axis]) -> [&'static str; 2] {
        match self {
            Axis::T if beside.contains(&Axis::S) => ["query", "queries"],
            Axis::T => ["token", "tokens"],
            Axis::S => ["key", "keys"],
            Axis::N | Axis::K => ["head", "heads"],
            Axis::V => ["id", "ids"],
            Axis::D | Axis::F | Axis::H => ["lane", "lanes"],
        }
    }

    /// How long it is for a prompt of `tokens` tokens.
    pub fn len(self, config: &Config, tokens: usize) -> usize {
        match self {
            Axis::T | Axis::S => tokens,
            Axis::D => config.hidden_size,
            Axis::F => config.intermediate_size,
            Axis::V => config.vocab_size,
            Axis::N => config.num_attention_heads,
            Axis::K => config.num_key_value_heads,
            Axis::H => config.head_dim,
        }
    }
}

/// What a node computes, with the number that its formula holds. [`Kind`] is which operation it is, without the number.
#[derive(Clone, Copy, Debug, PartialEq, EnumDiscriminants)]
#[strum_discriminants(name(Kind), doc = "Which operation a value is the result of.")]
pub enum Op {
    /// Where everything starts.
    TokenIds,
    /// Rows of the embedding table.
    Embed,
    /// Times this.
    Scale(f64),
    /// RMSNorm, with a weight `1 + w`.
    RmsNorm {
        /// Added to the mean square.
        eps: f64,
    },
    /// A projection without bias.
    Linear,
    /// The rotation of the halves of each head by its position.
    Rope {
        /// Base of the frequencies.
        theta: f64,
    },
    /// Queries times keys.
    Scores {
        /// Times this.
        scale: f64,
    },
    /// `cap * tanh(x / cap)`
    Softcap {
        /// `None` leaves the values.
        cap: Option<f64>,
    },
    /// Which keys a query may attend to.
    Mask {
        /// The last so many, the query's own included; `None`: all before it.
        window: Option<usize>,
    },
    /// Softmax over the visible keys.
    Softmax,
    /// Probabilities times values.
    Context,
    /// The activation.
    Gelu,
    /// Elementwise product.
    Multiply,
    /// Elementwise sum.
    Add,
    /// The same value under another name.
    Same,
}

/// A value of the forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub probe: Probe,
    /// What computes it.
    pub op: Op,
    /// What it is computed from, in the order in which its formula names them.
    pub inputs: Vec<Probe>,
    /// The tensor of the checkpoint that it is computed with.
    pub weight: Option<Weight>,
    /// Its axes.
    pub shape: Vec<Axis>,
}

/// The dimensions of a tensor of the checkpoint, the output's before the input's: each is the product of some axes.
type Dims = Vec<Vec<Axis>>;

/// Every value of a forward pass, each after its inputs, and every tensor, each at its first use. [`gemma2`](crate::gemma2())
/// records it; an edited one keeps the order of the right one.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    config: Config,
    nodes: Vec<Node>,
    at: BTreeMap<Probe, usize>,
    weights: Vec<Weight>,
    dims: BTreeMap<Weight, Dims>,
    /// The layer that is being recorded.
    layer: Option<usize>,
}

impl Graph {
    /// A model of one layer, the smallest there is: what names alone say is the same in every model.
    pub(crate) fn of_names() -> &'static Graph {
        static GRAPH: LazyLock<Graph> = LazyLock::new(|| gemma2(&Config::of_one_layer()));
        &GRAPH
    }

    /// The config.json that it was recorded of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every value, each after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The value called `probe`.
    pub fn node(&self, probe: Probe) -> Option<&Node> {
        self.at.get(&probe).map(|at| &self.nodes[*at])
    }

    /// The name of every value, each after those of its inputs.
    pub fn probes(&self) -> impl DoubleEndedIterator<Item = Probe> + ExactSizeIterator {
        self.nodes.iter().map(|node| node.probe)
    }

    /// What `probe` is computed from, in the order in which its formula names them; nothing where there is no such value.
    pub fn inputs(&self, probe: Probe) -> &[Probe] {
        self.node(probe).map(|node| node.inputs.as_slice()).unwrap_or_default()
    }

    /// The tensor of the checkpoint that `probe` is computed with.
    pub fn weight(&self, probe: Probe) -> Option<Weight> {
        self.node(probe)?.weight
    }

    /// The shape of `probe` for a prompt of `tokens` tokens.
    pub fn shape(&self, probe: Probe, tokens: usize) -> Vec<usize> {
        let axes = self.node(probe).map(|node| node.shape.as_slice()).unwrap_or_default();
        axes.iter().map(|axis| axis.len(&self.config, tokens)).collect()
    }

    /// The value that `parameter` has where it first stands; `None` where a cap is off.
    pub fn value(&self, parameter: Parameter) -> Option<f64> {
        self.nodes.iter().find(|node| parameter.is_at(node.probe))?.op.number()
    }

    /// Changes the nodes of `sites`.
    pub(crate) fn change(&mut self, sites: &[Probe], mut edit: impl FnMut(&mut Node)) {
        for site in sites {
            if let Some(node) = self.at.get(site).and_then(|at| self.nodes.get_mut(*at)) {
                edit(node);
            }
        }
    }

    /// Every tensor that the checkpoint must hold, in the order of their first use.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = Weight> {
        self.weights.iter().copied()
    }

    /// The shape of `weight` in the checkpoint: [out, in] of a projection (torch's `nn.Linear` layout), [D] of a norm, [V, D]
    /// of a table. Nothing where there is no such tensor.
    pub fn weight_shape(&self, weight: Weight) -> Vec<usize> {
        let length = |axes: &Vec<Axis>| axes.iter().map(|axis| axis.len(&self.config, 0)).product();
        self.dims.get(&weight).map(|dims| dims.iter().map(length).collect()).unwrap_or_default()
    }
}

impl Node {
    /// Computes it from what is called so in the same layer, or outside of all.
    pub fn set_inputs(&mut self, paths: &[&str]) {
        self.inputs = paths.iter().filter_map(|path| self.probe.beside(path)).collect();
    }

    /// The input of which a token's row takes in the rows of other tokens, too: attention, and nothing else, mixes them.
    pub fn input_of_other_tokens(&self) -> Option<Probe> {
        match Kind::from(self.op) {
            Kind::Scores | Kind::Context => self.inputs.get(1).copied(),
            _ => None,
        }
    }
}

impl Op {
    /// The same with `value` in the place of its [`Parameter`], if it holds one; an infinite cap is none.
    pub fn with(self, value: f64) -> Op {
        match self {
            Op::Scale(_) => Op::Scale(value),
            Op::RmsNorm { .. } => Op::RmsNorm { eps: value },
            Op::Rope { .. } => Op::Rope { theta: value },
            Op::Scores { .. } => Op::Scores { scale: value },
            Op::Softcap { .. } => Op::Softcap { cap: Some(value).filter(|cap| cap.is_finite()) },
            other => other,
        }
    }

    /// The number in its formula, where that is a [`Parameter`]; `None`: there is none, or a cap is off.
    pub fn number(self) -> Option<f64> {
        match self {
            Op::Scale(by) => Some(by),
            Op::RmsNorm { eps } => Some(eps),
            Op::Rope { theta } => Some(theta),
            Op::Scores { scale } => Some(scale),
            Op::Softcap { cap } => cap,
            Op::TokenIds | Op::Embed | Op::Linear | Op::Mask { .. } | Op::Softmax | Op::Context => None,
            Op::Gelu | Op::Multiply | Op::Add | Op::Same => None,
        }
    }
}

/// Recording.
impl Graph {
    /// Of nothing yet.
    pub(crate) fn new(config: &Config) -> Graph {
        let (nodes, at, weights, dims) = (Vec::new(), BTreeMap::new(), Vec::new(), BTreeMap::new());
        Graph { config: config.clone(), nodes, at, weights, dims, layer: None }
    }

    /// What `record` adds is of layer `layer`.
    pub(crate) fn layer(&mut self, layer: usize, record: impl FnOnce(&mut Graph) -> Probe) -> Probe {
        self.layer = Some(layer);
        let last = record(self);
        self.layer = None;
        last
    }

    pub(crate) fn token_ids(&mut self) -> Probe {
        self.add_node("token_ids", Op::TokenIds, vec![], None, vec![Axis::T])
    }

    pub(crate) fn embed(&mut self, path: &'static str, ids: Probe, table: Weight) -> Probe {
        self.read(table, vec![vec![Axis::V], vec![Axis::D]]);
        self.add_node(path, Op::Embed, vec![ids], Some(table), vec![Axis::T, Axis::D])
    }

    pub(crate) fn scale(&mut self, path: &'static str, x: Probe, by: f64) -> Probe {
        self.alike(path, Op::Scale(by), vec![x])
    }

    pub(crate) fn rms_norm(&mut self, path: &'static str, x: Probe, eps: f64) -> Probe {
        let shape = self.axes(x);
        let weight = self.own_weight(path, vec![shape[1..].to_vec()]);
        self.add_node(path, Op::RmsNorm { eps }, vec![x], Some(weight), shape)
    }

    /// [T, …] → [T, `out`]
    pub(crate) fn linear(&mut self, path: &'static str, x: Probe, out: &[Axis]) -> Probe {
        let inner = self.axes(x)[1..].to_vec();
        let weight = self.own_weight(path, vec![out.to_vec(), inner]);
        let shape = [&[Axis::T], out].concat();
        self.add_node(path, Op::Linear, vec![x], Some(weight), shape)
    }

    /// [T, D] → [T, V]
    pub(crate) fn head(&mut self, path: &'static str, x: Probe, table: Weight) -> Probe {
        self.read(table, vec![vec![Axis::V], vec![Axis::D]]);
        self.add_node(path, Op::Linear, vec![x], Some(table), vec![Axis::T, Axis::V])
    }

    pub(crate) fn rope(&mut self, path: &'static str, x: Probe, theta: f64) -> Probe {
        self.alike(path, Op::Rope { theta }, vec![x])
    }

    /// q [T, N, H] and k [T, K, H] → [N, T, S]
    pub(crate) fn scores(&mut self, path: &'static str, q: Probe, k: Probe, scale: f64) -> Probe {
        self.add_node(path, Op::Scores { scale }, vec![q, k], None, vec![Axis::N, Axis::T, Axis::S])
    }

    pub(crate) fn softcap(&mut self, path: &'static str, x: Probe, cap: Option<f64>) -> Probe {
        self.alike(path, Op::Softcap { cap }, vec![x])
    }

    /// → [T, S]
    pub(crate) fn mask(&mut self, path: &'static str, window: Option<usize>) -> Probe {
        self.add_node(path, Op::Mask { window }, vec![], None, vec![Axis::T, Axis::S])
    }

    pub(crate) fn softmax(&mut self, path: &'static str, scores: Probe, mask: Probe) -> Probe {
        self.alike(path, Op::Softmax, vec![scores, mask])
    }

    /// p [N, T, S] and v [T, K, H] → [T, N, H]
    pub(crate) fn context(&mut self, path: &'static str, p: Probe, v: Probe) -> Probe {
        self.add_node(path, Op::Context, vec![p, v], None, vec![Axis::T, Axis::N, Axis::H])
    }

    pub(crate) fn gelu(&mut self, path: &'static str, x: Probe) -> Probe {
        self.alike(path, Op::Gelu, vec![x])
    }

    pub(crate) fn multiply(&mut self, path: &'static str, x: Probe, y: Probe) -> Probe {
        self.alike(path, Op::Multiply, vec![x, y])
    }

    pub(crate) fn add(&mut self, path: &'static str, x: Probe, y: Probe) -> Probe {
        self.alike(path, Op::Add, vec![x, y])
    }

    pub(crate) fn same(&mut self, path: &'static str, x: Probe) -> Probe {
        self.alike(path, Op::Same, vec![x])
    }

    /// A value of the shape of its first input.
    fn alike(&mut self, path: &'static str, op: Op, inputs: Vec<Probe>) -> Probe {
        let shape = inputs.first().map(|first| self.axes(*first)).unwrap_or_default();
        self.add_node(path, op, inputs, None, shape)
    }

    fn axes(&self, probe: Probe) -> Vec<Axis> {
        self.node(probe).map(|node| node.shape.clone()).unwrap_or_default()
    }

    fn add_node(
        &mut self,
        path: &'static str,
        op: Op,
        inputs: Vec<Probe>,
        weight: Option<Weight>,
        shape: Vec<Axis>,
    ) -> Probe {
        let probe = Probe::recorded(self.layer, path, self.nodes.last().map(|node| node.probe));
        self.at.insert(probe, self.nodes.len());
        self.nodes.push(Node { probe, op, inputs, weight, shape });
        probe
    }

    /// The tensor of the same path.
    fn own_weight(&mut self, path: &'static str, dims: Dims) -> Weight {
        let weight = Weight::recorded(self.layer, path);
        self.read(weight, dims);
        weight
    }

    fn read(&mut self, weight: Weight, dims: Dims) {
        if self.dims.insert(weight, dims).is_none() {
            self.weights.push(weight);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    fn config(tied: bool) -> Config {
        Config::from_json(&format!(
            r#"{{"model_type":"gemma2","vocab_size":8,"hidden_size":6,"intermediate_size":5,"num_hidden_layers":2,
                "num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"tie_word_embeddings":{tied}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn every_value_comes_once_and_after_its_inputs() {
        let graph = gemma2(&config(true));
        let mut before = BTreeSet::new();
        for node in graph.nodes() {
            assert!(node.inputs.iter().all(|input| before.contains(input)), "{} before {:?}", node.probe, node.inputs);
            assert!(before.insert(node.probe), "{} twice", node.probe);
        }
        // Of two stages that may come next, the plan of a run takes the first.
        assert!(graph.nodes().is_sorted_by_key(|node| node.probe));
    }

    #[test]
    fn an_untied_head_is_a_tensor_of_its_own() {
        let (tied, untied) = (config(true), config(false));
        let weights = |config: &Config| gemma2(config).weights().collect::<Vec<_>>();
        assert_eq!(weights(&untied), [weights(&tied), vec![Weight::LM_HEAD]].concat());
        let graph = gemma2(&untied);
        let shapes: Vec<_> = graph.weights().map(|weight| graph.weight_shape(weight)).collect();
        // embed_tokens; the norm, q, k, v and o of a layer, its norms and its MLP.
        let layer: [&[usize]; 11] =
            [&[6], &[8, 6], &[4, 6], &[4, 6], &[6, 8], &[6], &[6], &[5, 6], &[5, 6], &[6, 5], &[6]];
        let right = [&[&[8usize, 6][..]], &layer[..], &layer[..], &[&[6][..], &[8, 6][..]]].concat();
        assert_eq!(shapes, right);
    }

    /// What is asked of a name alone is answered as the graph of any config answers it.
    #[test]
    fn a_name_knows_its_operation_and_its_axes() {
        let graph = gemma2(&config(false));
        for node in graph.nodes() {
            assert_eq!((node.probe.kind(), node.probe.axes()), (Kind::from(node.op), node.shape.as_slice()));
        }
    }

    #[test]
    fn each_parameter_has_the_value_that_config_json_gives_it() {
        let graph = gemma2(&config(true));
        let values = Parameter::ALL.map(|parameter| graph.value(parameter));
        assert_eq!(values, [Some(6f64.sqrt()), Some(1e-6), Some(1e4), Some(256f64.powf(-0.5)), Some(50.0), Some(30.0)]);
        for probe in graph.probes() {
            let at = Parameter::ALL.into_iter().filter(|parameter| parameter.is_at(probe));
            assert_eq!(at.count(), usize::from(graph.node(probe).unwrap().op.number().is_some()), "{probe}");
        }
    }
}
