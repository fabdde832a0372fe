//! A stage to compute, and several that are computed as one.

use std::collections::BTreeMap;

use burn::tensor::backend::Backend;
use loupe_spec::{Axis, Kind, Node, Probe};
use loupe_tensor::Tensor;

use crate::value::Value;
use crate::{ModelError, Read};

/// One stage to compute.
#[derive(Debug)]
pub(crate) struct Step {
    /// What it is.
    pub node: Node,
    /// What it takes of the weights, in this order. (Not the embedding's rows: they are a few, read at once.)
    pub reads: Vec<Read>,
    /// Where it and the stages before it are computed in parts: those stages, itself at the end.
    pub parts: Option<Parts>,
}

impl Step {
    /// Everything that it takes of the weights.
    fn all_reads(&self) -> Vec<Read> {
        match &self.parts {
            Some(parts) => (0..parts.count()).flat_map(|_| all_reads(&parts.steps)).collect(),
            None => self.reads.clone(),
        }
    }
}

/// Everything that `steps` take of the weights, in order.
pub(crate) fn all_reads(steps: &[Step]) -> Vec<Read> {
    steps.iter().flat_map(Step::all_reads).collect()
}

/// How several steps are computed as one.
#[derive(Debug)]
pub(crate) struct Parts {
    /// What is cut.
    pub along: Along,
    /// How many heads, or tokens.
    pub whole: usize,
    /// And how many of them a part has.
    pub each: usize,
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

/// The axis that parts are cut along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    /// q, k, v and context are [T, heads, H].
    Heads,
    /// The MLP's values are [T, width].
    Tokens,
}

impl Along {
    /// The way to compute a value in parts that may be too large to hold, and is no end of its own.
    pub fn of(probe: Probe) -> Option<Along> {
        match probe.axes() {
            [Axis::N, Axis::T, Axis::S] => Some(Along::Heads),
            [Axis::T, Axis::F] => Some(Along::Tokens),
            _ => None,
        }
    }

    /// Whether a part of the result of `kind` comes from that part of its inputs alone.
    pub fn is_kept_by(self, kind: Kind) -> bool {
        match self {
            Along::Heads => matches!(kind, Kind::Scores | Kind::Softcap | Kind::Softmax | Kind::Context),
            Along::Tokens => matches!(kind, Kind::Linear | Kind::Gelu | Kind::Multiply),
        }
    }

    /// The value of which `parts` are the parts, in order.
    pub fn join<B: Backend>(self, parts: Vec<Value<B>>) -> Value<B> {
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

/// `steps`, each after those that it needs; of several that could come next, the first.
///
/// # Errors
/// A stage that is computed from itself.
pub(crate) fn in_order(steps: Vec<Step>) -> Result<Vec<Step>, ModelError> {
    let mut open: BTreeMap<Probe, Step> = steps.into_iter().map(|step| (step.node.probe, step)).collect();
    let mut ordered = Vec::new();
    while let Some((first, _)) = open.first_key_value() {
        let is_ready = |step: &Step| !step.node.inputs.iter().any(|input| open.contains_key(input));
        let Some(next) = open.values().find(|step| is_ready(step)).map(|step| step.node.probe) else {
            return Err(ModelError::Circular(*first));
        };
        ordered.extend(open.remove(&next));
    }
    Ok(ordered)
}

/// The last of `steps` that uses each value.
pub(crate) fn last_use(steps: &[Step]) -> BTreeMap<Probe, usize> {
    steps.iter().enumerate().flat_map(|(at, step)| step.node.inputs.iter().map(move |input| (*input, at))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use loupe_spec::Op;

    use super::*;

    fn order(inputs: &[(Probe, &[Probe])]) -> Result<Vec<Probe>, ModelError> {
        let step = |(probe, inputs): &(Probe, &[Probe])| {
            let node = Node { probe: *probe, op: Op::Same, inputs: inputs.to_vec(), weight: None, shape: Vec::new() };
            Step { node, reads: Vec::new(), parts: None }
        };
        Ok(in_order(inputs.iter().map(step).collect())?.into_iter().map(|step| step.node.probe).collect())
    }

    /// An edit of the inputs may lead to a stage that comes later in the right model.
    #[test]
    fn a_stage_comes_after_its_inputs_whatever_their_names() {
        let [raw, scaled, norm]: [Probe; 3] = ["embed.raw", "embed.scaled", "norm"].map(|name| name.parse().unwrap());
        assert_eq!(order(&[(scaled, &[raw]), (norm, &[scaled]), (raw, &[])]).unwrap(), [raw, scaled, norm]);
        assert_eq!(order(&[(raw, &[norm]), (scaled, &[]), (norm, &[scaled])]).unwrap(), [scaled, norm, raw]);
        assert!(matches!(order(&[(raw, &[]), (scaled, &[norm]), (norm, &[scaled])]), Err(ModelError::Circular(_))));
    }
}
