//! How much memory a run will take, before it takes any.

use std::collections::BTreeSet;
use std::fmt;

use burn::tensor::backend::Backend;
use loupe_spec::{Kind, Probe};

use crate::model::last_use;
use crate::plan::Step;
use crate::{Model, ModelError};

/// An operation holds so many values of its result's size besides: softmax, the greediest, its exponentials and the mask
/// as numbers.
const BESIDES: usize = 2;

/// A number of bytes, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let (size, unit) = match self.0 {
            0..0x10_0000 => (bytes / 1024.0, "KiB"),
            0x10_0000..0x4000_0000 => (bytes / (1u64 << 20) as f64, "MiB"),
            _ => (bytes / (1u64 << 30) as f64, "GiB"),
        };
        write!(f, "{size:.1} {unit}")
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_units_that_people_read() {
        let of = |bytes: usize| Bytes(bytes).to_string();
        assert_eq!([of(512), of(3 << 20), of(5 << 29)], ["0.5 KiB", "3.0 MiB", "2.5 GiB"]);
    }
}
