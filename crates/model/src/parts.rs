//! Stages whose values would be too large to hold whole, computed in parts.
//!
//! The scores of 4,096 tokens are 0.5 GB a layer in 2B's shape ([N, T, S] in f32), each value of its MLP 0.15 GB
//! ([T, F]). Where nobody asked to see them, scores to context run one head at a time and the MLP a block of tokens at
//! a time, by the same operations of the table: in these stages neither heads nor tokens mix, so every number is the
//! sum that it was.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::backend::Backend;
use loupe_spec::{Config, Probe, Stage};
use loupe_tensor::Tensor;

use crate::model::Run;
use crate::plan::Step;
use crate::value::{SomeRows, Value, Values};
use crate::{Model, ModelError};

/// How several steps are computed as one.
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Along {
    /// q, k, v and context are [T, heads, H].
    Heads,
    /// The MLP's values are [T, width].
    Tokens,
}

impl Along {
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

/// Stages that can be computed in parts, the last of which leaves a value of moderate size.
const RUNS: [(Along, &[Stage], Stage); 2] = [
    (Along::Heads, &[Stage::Scores, Stage::ScoresCapped, Stage::Probs], Stage::Context),
    (Along::Tokens, &[Stage::GateProj, Stage::UpProj, Stage::Act, Stage::Gated], Stage::DownProj),
];

/// Folds stages into the last of their run wherever a value between is larger than `limit` bytes and stays between:
/// neither in `seen`, which someone wants to see or has given, nor an input of any other stage.
pub(crate) fn fold(
    steps: &mut BTreeMap<Probe, Step>,
    config: &Config,
    seen: &BTreeSet<Probe>,
    tokens: usize,
    element: usize,
    limit: usize,
) {
    for layer in 0..config.num_hidden_layers {
        for (along, between, last) in RUNS {
            let between: Vec<Probe> = between.iter().map(|stage| Probe::Layer(layer, *stage)).collect();
            let last = Probe::Layer(layer, last);
            let inside = |probe: &Probe| *probe == last || between.contains(probe);
            let used_outside = |probe: &Probe| steps.values().any(|s| !inside(&s.probe) && s.inputs.contains(probe));
            let bytes = |probe: &Probe| probe.shape(config, tokens).into_iter().fold(element, usize::saturating_mul);
            let largest = between.iter().map(bytes).max().unwrap_or(0);
            let stays_between =
                |probe: &Probe| steps.contains_key(probe) && !seen.contains(probe) && !used_outside(probe);
            if largest <= limit || !steps.contains_key(&last) || !between.iter().all(stays_between) {
                continue;
            }
            let members: Vec<Step> = between.iter().chain([&last]).filter_map(|probe| steps.remove(probe)).collect();
            let mut inputs: Vec<Probe> = members.iter().flat_map(|s| s.inputs.clone()).filter(|p| !inside(p)).collect();
            inputs.sort_unstable();
            inputs.dedup();
            let (whole, each) = match along {
                Along::Heads => (config.num_attention_heads, 1),
                Along::Tokens => (tokens, (limit / (largest / tokens).max(1)).max(1)),
            };
            let parts = Some(Parts { along, whole, each, steps: members });
            steps.insert(last, Step { probe: last, inputs, parts });
        }
    }
}

/// The value of a folded step in each of `runs`: each part computed from its slice of the inputs and dropped down to its
/// result.
pub(crate) fn compute<B: Backend>(
    model: &Model<'_, B>,
    step: &Step,
    parts: &Parts,
    runs: &[Run<B>],
    positions: &[usize],
) -> Result<Vec<Value<B>>, ModelError> {
    let mut inputs: Vec<Values<B>> = vec![BTreeMap::new(); runs.len()];
    for (run, inputs) in runs.iter().zip(&mut inputs) {
        for input in &step.inputs {
            let value = run.values.get(input).ok_or(ModelError::Missing { probe: step.probe, missing: *input })?;
            inputs.insert(*input, shared_heads(model, parts, *input, value)?);
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
        model.steps(&parts.steps, part, positions, &mut |run, probe, value| {
            if let Some(computed) = computed.get_mut(run).filter(|_| probe == step.probe) {
                computed.push(value.clone());
            }
            Ok(())
        })?;
    }
    Ok(computed.into_iter().map(|values| parts.along.join(values)).collect())
}

/// Along heads, k and v are repeated before they are cut, by the entry of the stage that would repeat them.
fn shared_heads<B: Backend>(
    model: &Model<'_, B>,
    parts: &Parts,
    input: Probe,
    value: &Value<B>,
) -> Result<Value<B>, ModelError> {
    let user = parts.steps.iter().find(|step| step.inputs.contains(&input));
    match (parts.along, value, user) {
        (Along::Heads, Value::Rank3(x), Some(user)) => {
            let groups = parts.whole / x.dims()[1];
            Ok((model.operations(user.probe)?.repeat_kv)(x.clone(), groups).into())
        }
        _ => Ok(value.clone()),
    }
}
