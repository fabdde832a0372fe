//! Recording a graph: a line for each operation, its name, and what it is computed from.

use std::collections::BTreeMap;

use crate::graph::Dims;
use crate::{Axis, Config, Graph, Node, Op, Probe, Weight};

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

    /// The first of all.
    pub(crate) fn token_ids(&mut self) -> Probe {
        self.add_node(Probe::TOKEN_IDS.path(), Op::TokenIds, vec![], None, vec![Axis::T])
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
        let last = self.nodes.last().map(|node| node.probe);
        let probe = Probe::after(last, self.layer, path);
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
