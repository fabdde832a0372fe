//! Stages whose values would be too large to hold whole, computed in parts.
//!
//! The scores of 4,096 tokens are 0.5 GB a layer in 2B's shape ([N, T, S] in f32), each value of its MLP 0.15 GB
//! ([T, F]). Where nobody asked to see them, scores to context run one head at a time and the MLP a block of tokens at
//! a time, by the same operations: in these stages neither heads nor tokens mix, so every number is the
//! sum that it was.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::backend::Backend;
use loupe_spec::{Kind, Node, Probe};

use crate::step::{Along, Parts, Step, in_order};
use crate::{Model, ModelError};

/// Folds stages into the one that they lead to wherever a value between is larger than `limit` bytes and all stay between:
/// neither in `seen`, which someone wants to see or has given, nor an input of any other stage.
pub(crate) fn fold<B: Backend>(
    model: &Model<'_, B>,
    steps: &mut BTreeMap<Probe, Step>,
    seen: &BTreeSet<Probe>,
    tokens: usize,
) -> Result<(), ModelError> {
    let (graph, element) = (model.graph, model.device_dtype.size());
    let limit = model.limits.whole_bytes.min(model.max_tensor_bytes.unwrap_or(usize::MAX));
    // A wrong formula of attention's products may share heads in another way: it sees all of them.
    let sees_all_heads = |kind| matches!(kind, Kind::Scores | Kind::Context);
    let is_kept = |probe: Probe, along: Along| {
        along.is_kept_by(probe.kind()) && (model.formulas_at(probe).is_empty() || !sees_all_heads(probe.kind()))
    };
    let ends: Vec<Probe> = steps.keys().copied().filter(|probe| Along::of(*probe).is_none()).collect();
    for last in ends {
        let Some((along, between)) = between(steps, last) else { continue };
        let inside = |probe: &Probe| *probe == last || between.contains(probe);
        let used_outside =
            |probe: &Probe| steps.values().any(|s| !inside(&s.node.probe) && s.node.inputs.contains(probe));
        let bytes = |probe: &Probe| graph.shape(*probe, tokens).into_iter().fold(element, usize::saturating_mul);
        let largest = between.iter().map(bytes).max().unwrap_or(0);
        let stays_between = |probe: &Probe| steps.contains_key(probe) && !seen.contains(probe) && !used_outside(probe);
        let may_be_cut = between.iter().chain([&last]).all(|probe| is_kept(*probe, along));
        if largest <= limit || !may_be_cut || !between.iter().all(stays_between) {
            continue;
        }
        let members: Vec<Step> = between.iter().chain([&last]).filter_map(|probe| steps.remove(probe)).collect();
        let inputs = members.iter().flat_map(|step| step.node.inputs.clone()).filter(|input| !inside(input));
        let inputs: Vec<Probe> = inputs.collect::<BTreeSet<_>>().into_iter().collect();
        let (whole, each) = match along {
            Along::Heads => (graph.config().num_attention_heads, 1),
            Along::Tokens => (tokens, (limit / (largest / tokens).max(1)).max(1)),
        };
        if let Some(end) = members.last() {
            let node = Node { inputs, ..end.node.clone() };
            let parts = Some(Parts { along, whole, each, steps: in_order(members)? });
            steps.insert(last, Step { node, reads: Vec::new(), parts });
        }
    }
    Ok(())
}

/// The values that lead to `last` and could be computed in parts with it: those that it is computed from, those that they
/// are computed from, and so on.
fn between(steps: &BTreeMap<Probe, Step>, last: Probe) -> Option<(Along, BTreeSet<Probe>)> {
    let inputs = |probe: Probe| steps.get(&probe).map(|step| step.node.inputs.as_slice()).unwrap_or_default();
    let along = inputs(last).iter().find_map(|input| Along::of(*input))?;
    let (mut found, mut open) = (BTreeSet::new(), vec![last]);
    while let Some(probe) = open.pop() {
        let of_these = inputs(probe).iter().filter(|input| Along::of(**input) == Some(along));
        open.extend(of_these.filter(|input| found.insert(**input)));
    }
    Some((along, found))
}
