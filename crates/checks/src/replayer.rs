//! The judge's questions, answered by the model on the CPU in f64.

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_compare::{Replay, ReplayError, Replayer, Trace};
use loupe_engine::{Limits, Progress, ReplayJob, replay, replay_all};
use loupe_spec::{Dtype, Graph, Mistake, Probe};

use crate::progress;

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

impl Replayer for CheckpointReplayer<'_> {
    fn graph(&self) -> &Graph {
        self.checkpoint.graph()
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn replay(&self, question: Replay<'_>) -> Result<Trace, ReplayError> {
        answer(self.checkpoint.graph(), self.tensors, self.tokens, question)
    }

    fn replay_all(&self, questions: &[Replay<'_>]) -> Result<Vec<Trace>, ReplayError> {
        let answers = progress::shown("noise", |progress| {
            let mut jobs = Vec::new();
            for question in questions {
                // They go side by side: the first speaks for all.
                let progress = jobs.is_empty().then_some(Progress(progress));
                let (graph, tokens) = (self.checkpoint.graph(), self.tokens);
                jobs.push(ReplayJob { progress, ..job(graph, self.tensors, tokens, *question) });
            }
            replay_all(&jobs)
        });
        answers.map_err(|error| ReplayError(error.to_string()))
    }

    fn weights_dtype(&self) -> Dtype {
        self.tensors.widest()
    }

    fn mistakes(&self) -> Vec<&'static Mistake> {
        // Those of the prompt are looked for in the token ids, before anything is judged.
        let of_the_model = loupe_engine::mistakes().iter().filter(|mistake| !(mistake.at)(Probe::TOKEN_IDS));
        of_the_model.filter(|mistake| !self.without.iter().any(|id| id == mistake.id)).collect()
    }
}

/// `question` over so many tokens.
pub(crate) fn answer(
    graph: &Graph,
    tensors: &Tensors,
    tokens: usize,
    question: Replay<'_>,
) -> Result<Trace, ReplayError> {
    // One bar for each question that takes so long; how many there will be, the judge finds out as it goes.
    let answer = progress::shown("replay", |progress| {
        replay(ReplayJob { progress: Some(Progress(progress)), ..job(graph, tensors, tokens, question) })
    });
    answer.map_err(|error| ReplayError(error.to_string()))
}

fn job<'a>(graph: &'a Graph, tensors: &'a Tensors, tokens: usize, question: Replay<'a>) -> ReplayJob<'a> {
    ReplayJob {
        graph,
        tensors,
        positions: (0..tokens).collect(),
        given: question.given.trace,
        rows: question.given.rows,
        wanted: question.wanted.clone(),
        mistakes: question.mistakes,
        simulation: question.simulation,
        limits: Limits::default(),
        progress: None,
    }
}
