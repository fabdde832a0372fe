//! Running the steps that a question needs.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::backend::Backend;
use loupe_spec::Probe;

use crate::ops::attention::repeat_kv;
use crate::step::{Along, Parts, Step, all_reads, last_use};
use crate::value::{DeviceTrace, SomeRows, Value};
use crate::{Model, ModelError, ObserverError, Reads, Run};

/// Sees each wanted value as soon as it exists, and of which run it is.
pub type Observe<'a, B> = dyn FnMut(usize, Probe, &Value<B>) -> Result<(), ObserverError> + 'a;

/// Is handed the value of every step in every run.
type Each<'a, B> = dyn FnMut(usize, Probe, &Value<B>) -> Result<(), ModelError> + 'a;

impl<B: Backend> Model<'_, B> {
    /// Computes the probes in `wanted` from the values that each of `runs` is given, and nothing that they do not need.
    /// All are given the same probes.
    ///
    /// A probe that is both given and wanted is computed afresh from its inputs, while the stages after it use the given
    /// value: that isolates each stage, so that an error shows where it arises and not where it is inherited.
    ///
    /// `positions` are the prompt's (0, 1, 2, … for a prompt from its start) and fix T. `observe` sees each wanted
    /// value as soon as it exists, in computing order. A value is dropped after its last use. The runs go in step: a
    /// chunk of a matrix is read once, used by each of them and dropped.
    ///
    /// # Errors
    /// A tensor that cannot be read, a token outside the vocabulary, something wanted that is not given and does not
    /// follow from what is, or what `observe` says.
    pub fn run(
        &self,
        positions: &[usize],
        runs: Vec<Run<B>>,
        wanted: &BTreeSet<Probe>,
        observe: &mut Observe<'_, B>,
    ) -> Result<(), ModelError> {
        let probes = |values: fn(&Run<B>) -> &DeviceTrace<B>| -> BTreeSet<Probe> {
            runs.first().map(|run| values(run).keys().copied().collect()).unwrap_or_default()
        };
        let (given, in_part) = (probes(|run| &run.values), probes(|run| &run.rows.values));
        let seen = wanted.iter().chain(&in_part).copied().collect();
        let steps = self.plan(&given, wanted, &seen, positions.len())?;
        self.check_sizes(&steps, positions.len())?;
        self.check_memory(&steps, &given, wanted, runs.len(), positions.len())?;
        let mut reads = self.weights.read(all_reads(&steps));
        for (at, run) in runs.iter().enumerate() {
            if let Some(ids) = run.values.get(&Probe::TOKEN_IDS).filter(|_| wanted.contains(&Probe::TOKEN_IDS)) {
                observe(at, Probe::TOKEN_IDS, ids).map_err(ModelError::Observer)?;
            }
        }
        self.steps(&steps, runs, positions, &mut reads, &mut |run, probe, value| match wanted.contains(&probe) {
            true => observe(run, probe, value).map_err(ModelError::Observer),
            false => Ok(()),
        })
    }

    /// Computes `steps` in order, each with its part of `reads`, and hands each value to `each`. A value is dropped after its
    /// last use.
    fn steps(
        &self,
        steps: &[Step],
        mut runs: Vec<Run<B>>,
        positions: &[usize],
        reads: &mut Reads<'_, B>,
        each: &mut Each<'_, B>,
    ) -> Result<(), ModelError> {
        let last_use = last_use(steps);
        for (at, step) in steps.iter().enumerate() {
            let (probe, inputs) = (step.node.probe, &step.node.inputs);
            let values = match &step.parts {
                None => self.evaluate(step, &runs, positions, reads)?,
                Some(parts) => in_parts(self, step, parts, &runs, positions, reads)?,
            };
            for (own, (run, value)) in runs.iter_mut().zip(values).enumerate() {
                each(own, probe, &value)?;
                for input in inputs.iter().filter(|input| last_use.get(input) == Some(&at)) {
                    run.values.remove(input);
                }
                if last_use.contains_key(&probe) && !run.values.contains_key(&probe) {
                    run.values.insert(probe, run.rows.put_into(probe, value)?);
                }
            }
        }
        Ok(())
    }
}

/// The value of a folded step in each of `runs`: each part computed from its slice of the inputs and dropped down to its
/// result.
fn in_parts<B: Backend>(
    model: &Model<'_, B>,
    step: &Step,
    parts: &Parts,
    runs: &[Run<B>],
    positions: &[usize],
    reads: &mut Reads<'_, B>,
) -> Result<Vec<Value<B>>, ModelError> {
    let probe = step.node.probe;
    let mut inputs: Vec<DeviceTrace<B>> = vec![BTreeMap::new(); runs.len()];
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
        let part = |(run, inputs): (&Run<B>, &DeviceTrace<B>)| Run {
            numerics: run.numerics.clone(),
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
