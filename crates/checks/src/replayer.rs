//! The judge's questions, answered by the model on the CPU in f64.

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_compare::{Replay, ReplayError, Replayer, Trace};
use loupe_engine::{ReplayJob, replay, replay_all};
use loupe_spec::{Config, Dtype, Mistake, Probe};

/// One checkpoint over a prompt of so many tokens.
pub struct CheckpointReplayer<'a> {
    /// Its config.json.
    pub checkpoint: &'a Checkpoint,
    /// Its weights.
    pub tensors: &'a Tensors,
    /// T
    pub tokens: usize,
    /// Ids of mistakes that are not to be named.
    pub without: &'a [String],
}

impl CheckpointReplayer<'_> {
    fn job<'a>(&'a self, question: Replay<'a>) -> ReplayJob<'a> {
        ReplayJob {
            config: self.checkpoint.config(),
            tensors: self.tensors,
            positions: (0..self.tokens).collect(),
            given: question.given,
            wanted: question.wanted.clone(),
            mistakes: question.mistakes,
            simulation: question.simulation,
        }
    }
}

impl Replayer for CheckpointReplayer<'_> {
    fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn replay(&self, question: Replay<'_>) -> Result<Trace, ReplayError> {
        replay(self.job(question)).map_err(|error| ReplayError(error.to_string()))
    }

    fn replay_all(&self, questions: &[Replay<'_>]) -> Result<Vec<Trace>, ReplayError> {
        let jobs = questions.iter().map(|question| self.job(*question)).collect();
        replay_all(jobs).map_err(|error| ReplayError(error.to_string()))
    }

    fn weights_dtype(&self) -> Dtype {
        self.tensors.widest()
    }

    fn mistakes(&self) -> Vec<&'static Mistake> {
        // Those of the prompt are looked for in the token ids, before anything is judged.
        let of_the_model = loupe_engine::mistakes().iter().filter(|mistake| !(mistake.at)(Probe::TokenIds));
        of_the_model.filter(|mistake| !self.without.iter().any(|id| id == mistake.id)).collect()
    }
}
