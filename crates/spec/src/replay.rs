//! What whoever judges values asks of a model: some of them again, from others. What runs the model answers.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Dtype, Edit, Graph, HostTensor, Mistake, Probe, Simulation};

/// Values by probe.
pub type Trace = BTreeMap<Probe, HostTensor>;

/// What a replay could not do.
#[derive(Debug, thiserror::Error)]
#[error("a stage could not be recomputed: {0}")]
pub struct ReplayError(pub String);

/// What was recorded, and of which tokens.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The values.
    pub trace: &'a Trace,
    /// The tokens whose rows a tensor of `trace` holds that has not all T, in ascending order.
    pub rows: &'a [usize],
}

impl<'a> Given<'a> {
    /// Values of every token.
    pub fn whole(trace: &'a Trace) -> Given<'a> {
        Given { trace, rows: &[] }
    }
}

/// A question to the model.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// What was recorded. Rows of tokens that were not are computed, as the mistakes and the simulation have them.
    pub given: Given<'a>,
    /// What to compute: each from its nearest recorded ancestors, even where it was recorded itself.
    pub wanted: &'a BTreeSet<Probe>,
    /// Mistakes to plant.
    pub mistakes: &'a [Edit],
    /// How to round.
    pub simulation: Simulation,
}

/// Recomputes stages of one checkpoint over one prompt.
pub trait Replayer {
    /// The model.
    fn graph(&self) -> &Graph;
    /// T
    fn tokens(&self) -> usize;
    /// Answers.
    ///
    /// # Errors
    /// What the checkpoint or the model says.
    fn replay(&self, replay: Replay<'_>) -> Result<Trace, ReplayError>;
    /// Answers several questions, in their order. They are about the same stages, so that their weights may be read once.
    ///
    /// # Errors
    /// What the checkpoint or the model says.
    fn replay_all(&self, replays: &[Replay<'_>]) -> Result<Vec<Trace>, ReplayError> {
        replays.iter().map(|replay| self.replay(*replay)).collect()
    }
    /// Is told what the replays that follow are for. Parts of it are told as they begin, `work` in all, in any unit.
    fn begins(&self, _what: &str, _work: usize) {}
    /// Is told that a part of that begins, and that those before it are over.
    fn part(&self, _work: usize) {}
    /// The widest dtype in which the checkpoint stores weights.
    fn weights_dtype(&self) -> Dtype;
    /// The mistakes that may be planted in a replay and may be named: none where there is no catalogue.
    fn mistakes(&self) -> Vec<&'static Mistake>;
}
