//! Which stages a question needs, in which order, and what they read of the weights.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::backend::Backend;
use loupe_spec::{Kind, Node, Probe};

use crate::parts;
use crate::step::{Parts, Step, in_order};
use crate::{Model, ModelError, Read, Wrong};

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
        let observed = |probe: &Probe| *probe == Probe::TOKEN_IDS && given.contains(probe);
        let mut open: Vec<Probe> = wanted.iter().copied().filter(|probe| !observed(probe)).collect();
        while let Some(probe) = open.pop() {
            if steps.contains_key(&probe) {
                continue;
            }
            let node = self.graph.node(probe).ok_or_else(|| self.no_such(probe))?.clone();
            for input in node.inputs.iter().filter(|input| !given.contains(input)) {
                if *input == Probe::TOKEN_IDS {
                    return Err(ModelError::Missing { probe, missing: *input });
                }
                open.push(*input);
            }
            if probe == Probe::TOKEN_IDS {
                return Err(ModelError::Missing { probe, missing: probe });
            }
            steps.insert(probe, Step { reads: self.reads(&node), node, parts: None });
        }
        let seen = seen.union(given).copied().collect();
        parts::fold(self, &mut steps, &seen, tokens)?;
        in_order(steps.into_values().collect())
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
            parts.iter().flat_map(|parts| &parts.steps).try_for_each(|inner| check(inner.node.probe, parts))?;
            check(step.node.probe, None)?;
        }
        Ok(())
    }

    /// What `node` takes of the weights: a norm's weight at once, a matrix in row chunks of equal size or one row apart. (A
    /// small one at the end might get another kernel, which sums in another order.)
    fn reads(&self, node: &Node) -> Vec<Read> {
        let Some(weight) = node.weight.filter(|_| Kind::from(node.op) != Kind::Embed) else { return Vec::new() };
        let of = self.graph.weight_shape(weight);
        let rows = of.first().copied().unwrap_or(0);
        let is_whole = self.formulas_at(node.probe).iter().any(|wrong| matches!(wrong, Wrong::Whole(_)));
        let count = match of.as_slice() {
            [rows, columns] if !(rows == columns && is_whole) => {
                let bytes = self.limits.chunk_bytes.min(self.max_tensor_bytes.unwrap_or(usize::MAX));
                rows.div_ceil((bytes / (columns * self.device_dtype.size()).max(1)).max(1))
            }
            _ => 1,
        };
        let read = |at: usize| Read { weight, rows: at * rows / count..(at + 1) * rows / count, of: of.clone() };
        (0..count).map(read).collect()
    }
}
