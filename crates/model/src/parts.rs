//! Stages whose values would be too large to hold whole, computed in parts.
//!
//! The scores of 4,096 tokens are 0.5 GB a layer in 2B's shape ([N, T, S] in f32), each value of its MLP 0.15 GB
//! ([T, F]). Where nobody asked to see them, scores to context run one head at a time and the MLP a block of tokens at
//! a time, by the same operations: in these stages neither heads nor tokens mix, so every number is the
//! sum that it was.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::backend::Backend;
use loupe_spec::{Axis, Kind, Node, Probe};
use loupe_tensor::Tensor;

use crate::model::Run;
use crate::ops::attention::repeat_kv;
use crate::plan::{Step, in_order};
use crate::value::{SomeRows, Value, Values};
use crate::{Model, ModelError, Reads};

/// How several steps are computed as one.
#[derive(Debug)]
pub(crate) struct Parts {
    along: Along,
    /// How many heads, or tokens; and how many of them a part has.
    whole: usize,
    each: usize,
    /// The stages of one part.
    pub steps: Vec<Step>,
}

impl Parts {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.whole.div_ceil(self.each)
    }

    /// What a value of `bytes` has in each.
    pub fn share(&self, bytes: usize) -> usize {
        (bytes / self.whole).saturating_mul(self.each)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    /// q, k, v and context are [T, heads, H].
    Heads,
    /// The MLP's values are [T, width].
    Tokens,
}

impl Along {
    /// The way to compute a value in parts that may be too large to hold, and is no end of its own.
    fn of(probe: Probe) -> Option<Along> {
        match probe.axes() {
            [Axis::N, Axis::T, Axis::S] => Some(Along::Heads),
            [Axis::T, Axis::F] => Some(Along::Tokens),
            _ => None,
        }
    }

    /// Whether a part of the result of `kind` comes from that part of its inputs alone.
    fn is_kept_by(self, kind: Kind) -> bool {
        match self {
            Along::Heads => matches!(kind, Kind::Scores | Kind::Softcap | Kind::Softmax | Kind::Context),
            Along::Tokens => matches!(kind, Kind::Linear | Kind::Gelu | Kind::Multiply),
        }
    }

    /// The value of which `parts` are the parts, in order.
    fn join<B: Backend>(self, parts: Vec<Value<B>>) -> Value<B> {
        let (mut twos, mut threes) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Value::Rank2(x) => twos.push(x),
                Value::Rank3(x) => threes.push(x),
                Value::Ids(_) | Value::Mask(_) => {}
            }
        }
        match self {
            Along::Heads => Tensor::cat(threes, 1).into(),
            Along::Tokens => Tensor::cat(twos, 0).into(),
        }
    }
}

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

/// The value of a folded step in each of `runs`: each part computed from its slice of the inputs and dropped down to its
/// result.
pub(crate) fn compute<B: Backend>(
    model: &Model<'_, B>,
    step: &Step,
    parts: &Parts,
    runs: &[Run<B>],
    positions: &[usize],
    reads: &mut Reads<'_, B>,
) -> Result<Vec<Value<B>>, ModelError> {
    let probe = step.node.probe;
    let mut inputs: Vec<Values<B>> = vec![BTreeMap::new(); runs.len()];
    for (run, inputs) in runs.iter().zip(&mut inputs) {
        for (input, value) in step.node.inputs.iter().zip(run.inputs(&step.node)?) {
            inputs.insert(*input, shared_heads(parts, value));
        }
    }
    let mut computed: Vec<Vec<Value<B>>> = vec![Vec::new(); runs.len()];
    for start in (0..parts.whole).step_by(parts.each) {
        let length = parts.each.min(parts.whole - start);
        let slice = |value: &Value<B>| match parts.along {
            Along::Heads => value.clone().map(|x| x, |x| x.narrow(1, start, length)),
            Along::Tokens => value.clone().map(|x| x.narrow(0, start, length), |x| x.narrow(0, start, length)),
        };
        let part = |(run, inputs): (&Run<B>, &Values<B>)| Run {
            precision: run.precision.clone(),
            values: inputs.iter().map(|(probe, value)| (*probe, slice(value))).collect(),
            rows: SomeRows::none(),
        };
        let part = runs.iter().zip(&inputs).map(part).collect();
        let positions = match parts.along {
            Along::Heads => positions,
            Along::Tokens => positions.get(start..start + length).unwrap_or_default(),
        };
        model.steps(&parts.steps, part, positions, reads, &mut |run, own, value| {
            if let Some(computed) = computed.get_mut(run).filter(|_| own == probe) {
                computed.push(value.clone());
            }
            Ok(())
        })?;
    }
    Ok(computed.into_iter().map(|values| parts.along.join(values)).collect())
}

/// Along heads, k and v are repeated before they are cut.
fn shared_heads<B: Backend>(parts: &Parts, value: Value<B>) -> Value<B> {
    match (parts.along, value) {
        (Along::Heads, Value::Rank3(x)) => {
            let groups = parts.whole / x.dims()[1];
            repeat_kv(x, groups).into()
        }
        (_, value) => value,
    }
}
