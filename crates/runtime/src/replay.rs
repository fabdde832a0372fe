//! Recomputing stages from recorded inputs, exactly or in a simulated precision.

use std::sync::Arc;

use burn::tensor::backend::Backend;
use loupe_backends::{Opened, Task, on_referee};
use loupe_checkpoint::Tensors;
use loupe_model::{Limits, Numerics, Run, SomeRows, Weights};
use loupe_spec::{
    Dtype, Given, Graph, HostTensor, Mistake, Probe, Replay, ReplayError, Replayer, Rounding, Simulation, Trace,
    WeightForm,
};
use rayon::prelude::*;

use crate::formed::Formed;
use crate::host::from_value;
use crate::plant::{Planted, mistakes};
use crate::simulate::Simulated;
use crate::trace::{model, values_on, within};
use crate::{Progress, RuntimeError, Watch, free_memory};

/// Whoever answers questions about one model over one prompt: on the CPU in f64, whatever the recorded values came from.
#[derive(Clone, Copy, Debug)]
pub struct Referee<'a> {
    /// The model.
    pub graph: &'a Graph,
    /// The weights.
    pub tensors: &'a Tensors,
    /// T
    pub tokens: usize,
    /// Ids of mistakes that are not to be named.
    pub without: &'a [String],
    /// How much is held at a time.
    pub limits: Limits,
    /// Is told how far it is.
    pub watch: Option<&'a dyn Watch>,
}

impl<'a> Referee<'a> {
    /// Of the model of `graph` and `tensors` over `tokens` tokens; nobody is told how far it is.
    pub fn new(graph: &'a Graph, tensors: &'a Tensors, tokens: usize) -> Referee<'a> {
        Referee { graph, tensors, tokens, without: &[], limits: Limits::default(), watch: None }
    }

    /// Answers `questions`. Those that ask for the same stages of the same weights go in step, and each matrix is read once for
    /// all.
    fn answers(&self, questions: &[Replay<'_>]) -> Result<Vec<Trace>, ReplayError> {
        let tell = |taken, all| {
            if let Some(watch) = self.watch {
                watch.runs(taken, all);
            }
        };
        let progress = self.watch.map(|_| Progress(&tell));
        let answers = on_referee(Replays { referee: self, questions, progress }).map_err(RuntimeError::from).flatten();
        answers.map_err(|error| ReplayError(error.to_string()))
    }

    /// Whether `tensor` has a row for each token.
    fn is_whole(&self, probe: Probe, tensor: &HostTensor) -> bool {
        tensor.shape.get(probe.token_axis()).is_none_or(|rows| *rows == self.tokens)
    }

    /// What was recorded of every token, or of some only.
    fn recorded<'t>(&self, given: Given<'t>, whole: bool) -> impl Iterator<Item = (&'t Probe, &'t HostTensor)> {
        given.trace.iter().filter(move |(probe, tensor)| self.is_whole(**probe, tensor) == whole)
    }

    /// Whether both compute the same stages from the same probes with the same weights.
    fn go_in_step(&self, one: &Replay<'_>, other: &Replay<'_>) -> bool {
        // Weights that are drawn at random differ from one replay to the next.
        let drawn = |replay: &Replay<'_>| {
            matches!(replay.simulation.precision.weights, WeightForm::Blocks { .. })
                && replay.simulation.rounding != Rounding::Exact
        };
        let same_weights = one.simulation.precision.weights == other.simulation.precision.weights
            && one.simulation.precision.storage == other.simulation.precision.storage
            && !drawn(one)
            && !drawn(other);
        let in_part =
            |replay: &Replay<'_>| self.recorded(replay.given, false).map(|(probe, _)| *probe).collect::<Vec<_>>();
        same_weights
            && one.given.trace.keys().eq(other.given.trace.keys())
            && one.given.rows == other.given.rows
            && in_part(one) == in_part(other)
            && one.wanted == other.wanted
            && one.mistakes == other.mistakes
    }

    /// Answers `questions`, which go in step, over `weights`, in `memory` bytes.
    fn in_step<B: Backend>(
        &self,
        questions: &[Replay<'_>],
        backend: &Opened<B>,
        weights: &dyn Weights<B>,
        memory: usize,
    ) -> Result<Vec<Trace>, RuntimeError> {
        let mut done = vec![Trace::new(); questions.len()];
        let Some(first) = questions.first() else { return Ok(done) };
        let run = |Replay { given, simulation, .. }: &Replay<'_>| {
            let arithmetic = Simulated::<B>::new(*simulation, backend.matmul);
            let numerics = Numerics::simulated(simulation.precision.storage, Dtype::F64, Arc::new(arithmetic));
            let [whole, in_part] =
                [true, false].map(|whole| values_on(backend, self.recorded(*given, whole), Dtype::F64));
            Ok(Run { numerics, values: whole?, rows: SomeRows { tokens: given.rows.to_vec(), values: in_part? } })
        };
        let runs = questions.iter().map(run).collect::<Result<_, RuntimeError>>()?;
        let planted = Planted::new(first.mistakes, self.graph);
        let model = model(backend, &planted, weights, Dtype::F64, within(self.limits, memory));
        let positions: Vec<usize> = (0..self.tokens).collect();
        model.run(&positions, runs, first.wanted, &mut |run, probe, value| {
            if let Some(done) = done.get_mut(run) {
                done.insert(probe, from_value(value));
            }
            Ok(())
        })?;
        Ok(done)
    }
}

impl Replayer for Referee<'_> {
    fn graph(&self) -> &Graph {
        self.graph
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn replay(&self, question: Replay<'_>) -> Result<Trace, ReplayError> {
        Ok(self.answers(&[question])?.pop().unwrap_or_default())
    }

    fn replay_all(&self, questions: &[Replay<'_>]) -> Result<Vec<Trace>, ReplayError> {
        self.answers(questions)
    }

    fn begins(&self, what: &str, work: usize) {
        if let Some(watch) = self.watch {
            watch.begins(what, work);
        }
    }

    fn part(&self, work: usize) {
        if let Some(watch) = self.watch {
            watch.part(work);
        }
    }

    fn weights_dtype(&self) -> Dtype {
        self.tensors.widest()
    }

    fn mistakes(&self) -> Vec<&'static Mistake> {
        // Those of the prompt are looked for in the token ids, before anything is judged.
        let of_the_model = mistakes().iter().filter(|mistake| !(mistake.at)(Probe::TOKEN_IDS));
        of_the_model.filter(|mistake| !self.without.iter().any(|id| id == mistake.id)).collect()
    }
}

struct Replays<'a, 'b> {
    referee: &'b Referee<'a>,
    questions: &'b [Replay<'b>],
    progress: Option<Progress<'b>>,
}

impl Task for Replays<'_, '_> {
    type Output = Result<Vec<Trace>, RuntimeError>;

    fn run<B: Backend>(self, backend: Opened<B>) -> Self::Output {
        let Replays { referee, questions, progress } = self;
        let groups: Vec<&[Replay<'_>]> = questions.chunk_by(|one, other| referee.go_in_step(one, other)).collect();
        // They go side by side: the first speaks for all.
        let share = free_memory() / groups.len().max(1);
        let run = |(at, questions): (usize, &&[Replay<'_>])| {
            let simulation = questions.first().map_or(Simulation::exact(), |first| first.simulation);
            let progress = progress.filter(|_| at == 0);
            let weights = Formed { tensors: referee.tensors, simulation, device: &backend.device, progress };
            referee.in_step(questions, &backend, &weights, share)
        };
        let done: Vec<Vec<Trace>> = groups.par_iter().enumerate().map(run).collect::<Result<_, RuntimeError>>()?;
        Ok(done.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use loupe_checkpoint::Checkpoint;
    use loupe_model::{Read, Reads, WeightError};
    use loupe_spec::{Precision, Weight};
    use loupe_tensor::Tensor;

    use super::*;

    /// Notes what it is asked for.
    struct Noted<'a, B: Backend> {
        own: Formed<'a, B>,
        asked: Mutex<Vec<Read>>,
    }

    impl<B: Backend> Weights<B> for Noted<'_, B> {
        fn read(&self, reads: Vec<Read>) -> Reads<'_, B> {
            self.asked.lock().unwrap().extend_from_slice(&reads);
            self.own.read(reads)
        }

        fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError> {
            self.own.gather(weight, indices)
        }
    }

    /// Every row that the questions, which go in step, ask for, in order.
    struct Asked<'a, 'b>(&'b Referee<'a>, &'b [Replay<'b>]);

    impl Task for Asked<'_, '_> {
        type Output = Vec<(Weight, usize)>;

        fn run<B: Backend>(self, backend: Opened<B>) -> Self::Output {
            let Asked(referee, questions) = self;
            let (tensors, simulation) = (referee.tensors, questions[0].simulation);
            let own = Formed { tensors, simulation, device: &backend.device, progress: None };
            let weights = Noted { own, asked: Mutex::new(Vec::new()) };
            referee.in_step(questions, &backend, &weights, usize::MAX).unwrap();
            let asked = weights.asked.into_inner().unwrap();
            asked.into_iter().flat_map(|read| read.rows.map(move |row| (read.weight, row))).collect()
        }
    }

    /// All of a forward pass over three tokens, in each of `roundings`.
    fn with_questions<T>(roundings: &[Rounding], then: impl FnOnce(&Referee<'_>, &[Replay<'_>]) -> T) -> T {
        let checkpoint = Checkpoint::open("builtin:tiny", None).unwrap();
        let tensors = checkpoint.tensors().unwrap();
        let ids = HostTensor { shape: vec![3], values: loupe_spec::Values::I64(vec![2, 5, 7]) };
        let (given, wanted) =
            (Trace::from([(Probe::TOKEN_IDS, ids)]), BTreeSet::from(["logits".parse::<Probe>().unwrap()]));
        let limits = Limits { chunk_bytes: 5000, ..Limits::default() };
        let referee = Referee { limits, ..Referee::new(checkpoint.graph(), &tensors, 3) };
        let question = |rounding: &Rounding| {
            let simulation = Precision::plain(Dtype::F32).simulation(*rounding);
            Replay { given: Given::whole(&given), wanted: &wanted, mistakes: &[], simulation }
        };
        then(&referee, &roundings.iter().map(question).collect::<Vec<_>>())
    }

    #[test]
    fn several_replays_read_each_row_of_each_tensor_once() {
        let checkpoint = Checkpoint::open("builtin:tiny", None).unwrap();
        let graph = checkpoint.graph();
        let asked = with_questions(&Rounding::NOISE, |referee, all| on_referee(Asked(referee, all)).unwrap());
        let once: BTreeSet<(Weight, usize)> = asked.iter().copied().collect();
        let rows = graph.weights().flat_map(|weight| (0..graph.weight_shape(weight)[0]).map(move |row| (weight, row)));
        assert_eq!(once, rows.collect());
        assert_eq!(asked.len(), once.len(), "some row was read again");
    }

    #[test]
    fn replays_in_step_compute_what_each_computes_alone() {
        with_questions(&[Rounding::Exact, Rounding::EveryStage, Rounding::Stochastic(3)], |referee, all| {
            let together = referee.replay_all(all).unwrap();
            for (question, together) in all.iter().zip(&together) {
                assert_eq!(&referee.replay(*question).unwrap(), together, "{:?}", question.simulation.rounding);
            }
            assert_ne!(together[0], together[1]);
            assert_ne!(together[1], together[2]);
        });
    }

    #[test]
    fn weights_drawn_at_random_are_no_replays_but_their_own() {
        with_questions(&Rounding::NOISE, |referee, all| {
            assert!(referee.go_in_step(&all[0], &all[1]));
            let mut all = all.to_vec();
            all.iter_mut().for_each(|question| question.simulation.precision.weights = WeightForm::Blocks { bits: 4 });
            assert!(!referee.go_in_step(&all[0], &all[1]));
            let together = referee.replay_all(&all).unwrap();
            assert!(all.iter().zip(&together).all(|(one, trace)| &referee.replay(*one).unwrap() == trace));
        });
    }
}
