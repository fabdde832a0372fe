//! How much memory a run will take, before it takes any.

use std::collections::BTreeSet;

use burn::tensor::backend::Backend;
use loupe_spec::{Kind, Probe};

use crate::step::{Step, last_use};
use crate::{Model, ModelError};

/// An operation holds so many values of its result's size besides: softmax, the greediest, its exponentials and the mask
/// as numbers.
const BESIDES: usize = 2;

impl<B: Backend> Model<'_, B> {
    /// Refuses `runs` side by side over `tokens` where the values that someone wants to see, which are kept, and those
    /// that are alive at the same time, take more than there is. Weights are not counted: they come in chunks.
    pub(crate) fn check_memory(
        &self,
        steps: &[Step],
        given: &BTreeSet<Probe>,
        wanted: &BTreeSet<Probe>,
        runs: usize,
        tokens: usize,
    ) -> Result<(), ModelError> {
        let kept = wanted.iter().fold(0usize, |sum, probe| sum.saturating_add(self.bytes(*probe, tokens)));
        let alive = if self.on_host { self.most_alive(steps, given, tokens) } else { 0 };
        let bytes = kept.saturating_add(alive).saturating_mul(runs);
        if bytes <= self.limits.memory_bytes {
            return Ok(());
        }
        let all = wanted.iter().copied().chain(steps.iter().map(|step| step.node.probe));
        let largest = all.max_by_key(|probe| self.bytes(*probe, tokens)).unwrap_or(Probe::TOKEN_IDS);
        let (free, largest_bytes) = (self.limits.memory_bytes, self.bytes(largest, tokens));
        Err(ModelError::Memory { bytes, free, tokens, largest, largest_bytes })
    }

    /// The bytes of all values that are alive at once, at their most.
    fn most_alive(&self, steps: &[Step], given: &BTreeSet<Probe>, tokens: usize) -> usize {
        let last_use = last_use(steps);
        let bytes = |probe: &Probe| self.bytes(*probe, tokens);
        let mut alive = given.iter().fold(0usize, |sum, probe| sum.saturating_add(bytes(probe)));
        let mut most = alive;
        for (at, step) in steps.iter().enumerate() {
            let own = bytes(&step.node.probe);
            let inner = step.parts.as_ref().map_or(own, |parts| {
                let largest = parts.steps.iter().map(|inner| parts.share(bytes(&inner.node.probe))).max();
                largest.unwrap_or(0).saturating_mul(2)
            });
            most = most.max(alive.saturating_add(own).saturating_add(inner.saturating_mul(BESIDES)));
            let done = step.node.inputs.iter().filter(|input| last_use.get(input) == Some(&at)).map(bytes);
            alive = done.fold(alive, usize::saturating_sub);
            if last_use.contains_key(&step.node.probe) && !given.contains(&step.node.probe) {
                alive = alive.saturating_add(own);
            }
        }
        most
    }

    /// What a value of `probe` takes.
    fn bytes(&self, probe: Probe, tokens: usize) -> usize {
        let size = match probe.kind() {
            Kind::TokenIds => size_of::<usize>(),
            Kind::Mask => size_of::<bool>(),
            _ => self.device_dtype.size(),
        };
        self.graph.shape(probe, tokens).into_iter().fold(size, usize::saturating_mul)
    }
}
