//! Which stages a question needs, in which order, and what they will ask of the weights.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::backend::Backend;
use loupe_spec::Probe;

use crate::parts::{self, Parts};
use crate::{Chunk, Model, ModelError, Read};

/// One stage to compute.
pub(crate) struct Step {
    pub probe: Probe,
    pub inputs: Vec<Probe>,
    /// Where it and the stages before it are computed in parts: those stages, itself at the end.
    pub parts: Option<Parts>,
}

impl<B: Backend> Model<'_, B> {
    /// The stages to compute, each after its inputs. What is in `seen` is not folded into parts: its value must exist whole.
    pub(crate) fn plan(
        &self,
        given: &BTreeSet<Probe>,
        wanted: &BTreeSet<Probe>,
        seen: &BTreeSet<Probe>,
        tokens: usize,
    ) -> Result<Vec<Step>, ModelError> {
        let mut steps: BTreeMap<Probe, Step> = BTreeMap::new();
        let observed = |probe: &Probe| *probe == Probe::TokenIds && given.contains(probe);
        let mut open: Vec<Probe> = wanted.iter().copied().filter(|probe| !observed(probe)).collect();
        while let Some(probe) = open.pop() {
            if steps.contains_key(&probe) {
                continue;
            }
            let inputs = (self.operations(probe)?.inputs)(probe, self.graph);
            for input in inputs.iter().filter(|input| !given.contains(input)) {
                if *input == Probe::TokenIds {
                    return Err(ModelError::Missing { probe, missing: *input });
                }
                open.push(*input);
            }
            if probe == Probe::TokenIds {
                return Err(ModelError::Missing { probe, missing: probe });
            }
            steps.insert(probe, Step { probe, inputs, parts: None });
        }
        let seen = seen.union(given).copied().collect();
        let limit = self.limits.whole_bytes.min(self.max_tensor_bytes.unwrap_or(usize::MAX));
        parts::fold(&mut steps, self.graph, &seen, tokens, self.device_dtype.size(), limit)?;
        in_order(steps.into_values().collect())
    }

    /// What `steps` will ask of the weights, in order. (Not the embedding's rows: they are a few, read at once.)
    pub(crate) fn reads(&self, steps: &[Step]) -> Result<Vec<Read>, ModelError> {
        let mut reads = Vec::new();
        for step in steps {
            if let Some(parts) = &step.parts {
                let part = self.reads(&parts.steps)?;
                (0..parts.count()).for_each(|_| reads.extend_from_slice(&part));
            } else if step.probe != Probe::EmbedRaw && self.graph.weight(step.probe).is_some() {
                let weight = self.weight(step.probe)?;
                match self.graph.weight_shape(weight).len() {
                    1 => reads.push(Read { weight, rows: None }),
                    _ => reads.extend(self.chunks(step.probe)?.map(|chunk| Read { weight, rows: Some(chunk.rows) })),
                }
            }
        }
        Ok(reads)
    }

    pub(crate) fn check_sizes(&self, steps: &[Step], tokens: usize) -> Result<(), ModelError> {
        let limit = self.max_tensor_bytes.unwrap_or(usize::MAX);
        let check = |probe: Probe, parts: Option<&Parts>| {
            let elements = self.graph.shape(probe, tokens).into_iter().fold(1, usize::saturating_mul);
            let whole = elements.saturating_mul(self.device_dtype.size());
            let bytes = parts.map_or(whole, |parts| parts.share(whole));
            if bytes <= limit { Ok(()) } else { Err(ModelError::TooLarge { probe, bytes, tokens, limit }) }
        };
        for step in steps {
            let parts = step.parts.as_ref();
            parts.iter().flat_map(|parts| &parts.steps).try_for_each(|inner| check(inner.probe, parts))?;
            check(step.probe, None)?;
        }
        Ok(())
    }

    /// The row chunks in which the matrix of `probe` is asked for, of equal size or one row apart: a small one at the end
    /// might get another kernel, which sums in another order.
    pub(crate) fn chunks(&self, probe: Probe) -> Result<impl Iterator<Item = Chunk> + use<B>, ModelError> {
        let of = match self.graph.weight_shape(self.weight(probe)?).as_slice() {
            [rows, columns] => [*rows, *columns],
            _ => [0, 1],
        };
        let [rows, columns] = of;
        let bytes = self.limits.chunk_bytes.min(self.max_tensor_bytes.unwrap_or(usize::MAX));
        let most = (bytes / (columns * self.device_dtype.size()).max(1)).max(1);
        let count = if (self.operations(probe)?.whole)(of) { rows.min(1) } else { rows.div_ceil(most) };
        Ok((0..count).map(move |at| Chunk { rows: at * rows / count..(at + 1) * rows / count, of }))
    }
}

/// `steps`, each after those that it needs; of several that could come next, the first.
///
/// # Errors
/// A stage that is computed from itself.
pub(crate) fn in_order(steps: Vec<Step>) -> Result<Vec<Step>, ModelError> {
    let mut open: BTreeMap<Probe, Step> = steps.into_iter().map(|step| (step.probe, step)).collect();
    let mut ordered = Vec::new();
    while let Some((first, _)) = open.first_key_value() {
        let is_ready = |step: &Step| !step.inputs.iter().any(|input| open.contains_key(input));
        let Some(next) = open.values().find(|step| is_ready(step)).map(|step| step.probe) else {
            return Err(ModelError::Circular(*first));
        };
        ordered.extend(open.remove(&next));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn order(inputs: &[(Probe, &[Probe])]) -> Result<Vec<Probe>, ModelError> {
        let step = |(probe, inputs): &(Probe, &[Probe])| Step { probe: *probe, inputs: inputs.to_vec(), parts: None };
        Ok(in_order(inputs.iter().map(step).collect())?.into_iter().map(|step| step.probe).collect())
    }

    /// An edit of the inputs may lead to a stage that comes later in the right model.
    #[test]
    fn a_stage_comes_after_its_inputs_whatever_their_names() {
        let (raw, scaled, norm) = (Probe::EmbedRaw, Probe::EmbedScaled, Probe::Norm);
        assert_eq!(order(&[(scaled, &[raw]), (norm, &[scaled]), (raw, &[])]).unwrap(), [raw, scaled, norm]);
        assert_eq!(order(&[(raw, &[norm]), (scaled, &[]), (norm, &[scaled])]).unwrap(), [scaled, norm, raw]);
        assert!(matches!(order(&[(raw, &[]), (scaled, &[norm]), (norm, &[scaled])]), Err(ModelError::Circular(_))));
    }
}
