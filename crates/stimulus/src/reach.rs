//! How much of a model is run: all of a small one, two layers of a large one.

use std::collections::BTreeSet;

use loupe_spec::{Graph, Probe};

/// Weights times tokens of a run that is cheap enough to be made for each mistake (a second or two in f64 on two
/// cores). Of a larger model the first two layers are run, a sliding and a full one.
const CHEAP: usize = 10_000_000_000;
/// The same of a run that takes milliseconds.
const A_MOMENT: usize = 100_000_000;
/// Logits beyond this many are not held in f64, six times over.
const MOST_LOGITS: usize = 10_000_000;

/// How many layers are run: all, or two where a run is too dear.
pub fn layers_in_reach(graph: &Graph, tokens: usize) -> usize {
    if cost(graph, tokens) <= CHEAP {
        graph.config().num_hidden_layers
    } else {
        graph.config().num_hidden_layers.min(2)
    }
}

/// Whether a stimulus may be designed though nobody asked for one.
pub fn is_cheap(graph: &Graph, tokens: usize) -> bool {
    cost(graph, tokens) <= A_MOMENT
}

/// Weights times tokens.
fn cost(graph: &Graph, tokens: usize) -> usize {
    let weights: usize = graph.weights().map(|weight| graph.weight_shape(weight).iter().product::<usize>()).sum();
    weights.saturating_mul(tokens)
}

/// The probes that are run.
pub fn within_reach(graph: &Graph, tokens: usize) -> BTreeSet<Probe> {
    let layers = layers_in_reach(graph, tokens);
    let all_layers = layers == graph.config().num_hidden_layers;
    let is_within = |probe: &Probe| match probe.layer() {
        Some(layer) => layer < layers,
        None if *probe == Probe::TOKEN_IDS => false,
        None if probe.is_embedding() => true,
        None => all_layers && (!probe.is_logits() || tokens * graph.config().vocab_size <= MOST_LOGITS),
    };
    graph.probes().filter(is_within).collect()
}
