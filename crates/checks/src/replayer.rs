//! The judge's questions, answered by the model on the CPU in f64.

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_compare::{Replay, ReplayError, Replayer, Trace};
use loupe_engine::{Progress, ReplayJob, replay};
use loupe_spec::{Config, Mistake};

use crate::progress;

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
        // One bar for each question that takes so long; how many there will be, the judge finds out as it goes.
        let answer = progress::shown("replay", |progress| {
            replay(ReplayJob {
                config: self.checkpoint.config(),
                tensors: self.tensors,
                positions: (0..self.tokens).collect(),
                given: question.given,
                wanted: question.wanted.clone(),
                mistakes: question.mistakes,
                simulation: question.simulation,
                progress: Some(Progress(progress)),
            })
        });
        answer.map_err(|error| ReplayError(error.to_string()))
    }

    fn mistakes(&self) -> &'static [Mistake] {
        loupe_engine::mistakes()
    }
}
