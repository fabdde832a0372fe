//! The judge's questions, answered by the model on the CPU in f64.

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_compare::{Replay, ReplayError, Replayer, Trace};
use loupe_engine::{ReplayJob, replay};
use loupe_spec::{Config, Mistake};

/// One checkpoint over a prompt of so many tokens.
pub struct CheckpointReplayer<'a> {
    /// Its config.json.
    pub checkpoint: &'a Checkpoint,
    /// Its weights.
    pub tensors: &'a Tensors,
    /// T
    pub tokens: usize,
}

impl Replayer for CheckpointReplayer<'_> {
    fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn replay(&self, question: Replay<'_>) -> Result<Trace, ReplayError> {
        answer(self.checkpoint.config(), self.tensors, self.tokens, question)
    }

    fn mistakes(&self) -> &'static [Mistake] {
        loupe_engine::mistakes()
    }
}

/// `question` over so many tokens.
pub(crate) fn answer(
    config: &Config,
    tensors: &Tensors,
    tokens: usize,
    question: Replay<'_>,
) -> Result<Trace, ReplayError> {
    let job = ReplayJob {
        config,
        tensors,
        positions: (0..tokens).collect(),
        given: question.given,
        wanted: question.wanted.clone(),
        mistakes: question.mistakes,
        simulation: question.simulation,
    };
    replay(job).map_err(|error| ReplayError(error.to_string()))
}
