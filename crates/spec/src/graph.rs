//! A forward pass as data: what each value is computed from, by which operation, with which tensor, in which shape.
//!
//! A node is a function of its inputs and its tensor, nothing else (positions and the mask's shape follow from the token
//! count). That makes any segment between recorded values runnable alone, which is what the verdict stands on.

use std::collections::BTreeMap;

use crate::{Axis, Config, Kind, Op, Probe, Weight};

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
pub(crate) type Dims = Vec<Vec<Axis>>;

/// Every value of a forward pass, each after its inputs, and every tensor, each at its first use. [`gemma2`](crate::gemma2())
/// records it; an edited one keeps the order of the right one.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) config: Config,
    pub(crate) nodes: Vec<Node>,
    pub(crate) at: BTreeMap<Probe, usize>,
    pub(crate) weights: Vec<Weight>,
    pub(crate) dims: BTreeMap<Weight, Dims>,
    /// The layer that is being recorded.
    pub(crate) layer: Option<usize>,
}

impl Graph {
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
    /// The input of which a token's row takes in the rows of other tokens, too: attention, and nothing else, mixes them.
    pub fn input_of_other_tokens(&self) -> Option<Probe> {
        match Kind::from(self.op) {
            Kind::Scores | Kind::Context => self.inputs.get(1).copied(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Parameter, gemma2};

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
