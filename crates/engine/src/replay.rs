//! Recomputing stages from recorded inputs, exactly or in a simulated precision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burn::tensor::backend::Backend;
use loupe_backends::{Engine, Task, on_referee};
use loupe_checkpoint::Tensors;
use loupe_model::{Limits, Precision, Run, SomeRows, Weights};
use loupe_spec::{Dtype, Edit, Graph, HostTensor, Probe, Rounding, Simulation, WeightForm};
use rayon::prelude::*;

use crate::formed::Formed;
use crate::host::from_value;
use crate::plant::Planted;
use crate::simulate::Simulated;
use crate::trace::{model, values_on, within};
use crate::{EngineError, Progress, free_memory};

/// What to recompute.
#[derive(Clone, Debug)]
pub struct ReplayJob<'a> {
    /// The model.
    pub graph: &'a Graph,
    /// The weights.
    pub tensors: &'a Tensors,
    /// Positions of the tokens; their count is T.
    pub positions: Vec<usize>,
    /// What was recorded.
    pub given: &'a BTreeMap<Probe, HostTensor>,
    /// The tokens whose rows a tensor of `given` holds that has not all T, in ascending order.
    pub rows: &'a [usize],
    /// What to recompute. A probe that was recorded too is computed from its recorded inputs.
    pub wanted: BTreeSet<Probe>,
    /// Mistakes to plant first.
    pub mistakes: &'a [Edit],
    /// How to round.
    pub simulation: Simulation,
    /// How much is held at a time.
    pub limits: Limits,
    /// Is told how much it has read.
    pub progress: Option<Progress<'a>>,
}

/// Values by probe.
type Values = BTreeMap<Probe, HostTensor>;

/// Runs `job` in f64 on the CPU, whatever the recorded values came from.
///
/// # Errors
/// What the checkpoint or the model says.
pub fn replay(job: ReplayJob<'_>) -> Result<Values, EngineError> {
    let mut values = replay_all(&[job])?;
    Ok(values.pop().unwrap_or_default())
}

/// Runs `jobs`. Those that ask for the same stages of the same weights go in step, and each matrix is read once for all.
///
/// # Errors
/// What the checkpoint or the model says.
pub fn replay_all(jobs: &[ReplayJob<'_>]) -> Result<Vec<Values>, EngineError> {
    on_referee(Replays(jobs))?
}

struct Replays<'a, 'b>(&'b [ReplayJob<'a>]);

impl Task for Replays<'_, '_> {
    type Output = Result<Vec<Values>, EngineError>;

    fn run<B: Backend>(self, engine: Engine<B>) -> Self::Output {
        let groups: Vec<&[ReplayJob<'_>]> = self.0.chunk_by(ReplayJob::goes_in_step_with).collect();
        // They go side by side.
        let share = free_memory() / groups.len().max(1);
        let run = |jobs: &&[ReplayJob<'_>]| match jobs.first() {
            Some(first) => {
                let (tensors, simulation, progress) = (first.tensors, first.simulation, first.progress);
                let weights = Formed { tensors, simulation, device: &engine.device, progress };
                in_step(jobs, &engine, &weights, share)
            }
            None => Ok(Vec::new()),
        };
        let done: Vec<Vec<Values>> = groups.par_iter().map(run).collect::<Result<_, EngineError>>()?;
        Ok(done.into_iter().flatten().collect())
    }
}

impl ReplayJob<'_> {
    /// Whether `tensor` has a row for each token.
    fn is_whole(&self, probe: Probe, tensor: &HostTensor) -> bool {
        tensor.shape.get(probe.token_axis()).is_none_or(|rows| *rows == self.positions.len())
    }

    /// What was recorded of some tokens only.
    fn in_part(&self) -> impl Iterator<Item = (&Probe, &HostTensor)> {
        self.given.iter().filter(|(probe, tensor)| !self.is_whole(**probe, tensor))
    }

    /// What was recorded of every token.
    fn whole(&self) -> impl Iterator<Item = (&Probe, &HostTensor)> {
        self.given.iter().filter(|(probe, tensor)| self.is_whole(**probe, tensor))
    }

    /// Whether both compute the same stages from the same probes with the same weights.
    fn goes_in_step_with(&self, other: &ReplayJob<'_>) -> bool {
        // Weights that are drawn at random differ from one replay to the next.
        let drawn = |job: &ReplayJob<'_>| {
            matches!(job.simulation.weights, WeightForm::Blocks { .. }) && job.simulation.rounding != Rounding::Exact
        };
        let same_weights = std::ptr::eq(self.tensors, other.tensors)
            && self.simulation.weights == other.simulation.weights
            && self.simulation.storage == other.simulation.storage
            && !drawn(self)
            && !drawn(other);
        same_weights
            && self.graph == other.graph
            && self.positions == other.positions
            && self.given.keys().eq(other.given.keys())
            && self.rows == other.rows
            && self.in_part().map(|(probe, _)| probe).eq(other.in_part().map(|(probe, _)| probe))
            && self.wanted == other.wanted
            && self.mistakes == other.mistakes
            && self.limits == other.limits
    }
}

/// Runs `jobs`, which go in step, over `weights`, in `memory` bytes.
fn in_step<B: Backend>(
    jobs: &[ReplayJob<'_>],
    engine: &Engine<B>,
    weights: &dyn Weights<B>,
    memory: usize,
) -> Result<Vec<Values>, EngineError> {
    let mut done = vec![Values::new(); jobs.len()];
    let Some(first) = jobs.first() else { return Ok(done) };
    let run = |job: &ReplayJob<'_>| {
        let arithmetic = Simulated::<B>::new(job.simulation, engine.matmul);
        let precision = Precision::simulated(job.simulation.storage, Dtype::F64, Arc::new(arithmetic));
        let rows = SomeRows { tokens: job.rows.to_vec(), values: values_on(engine, job.in_part(), Dtype::F64)? };
        Ok(Run { precision, values: values_on(engine, job.whole(), Dtype::F64)?, rows })
    };
    let runs = jobs.iter().map(run).collect::<Result<_, EngineError>>()?;
    let planted = Planted::new(first.mistakes, first.graph);
    let model = model(engine, &planted, weights, Dtype::F64, within(first.limits, memory));
    model.run(&first.positions, runs, &first.wanted, &mut |run, probe, value| {
        if let Some(done) = done.get_mut(run) {
            done.insert(probe, from_value(value));
        }
        Ok(())
    })?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use loupe_checkpoint::Checkpoint;
    use loupe_model::{Read, Reads, WeightError};
    use loupe_spec::Weight;
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

    /// Every row that the jobs, which go in step, ask for, in order.
    struct Asked<'a, 'b>(&'b [ReplayJob<'a>]);

    impl Task for Asked<'_, '_> {
        type Output = Vec<(Weight, usize)>;

        fn run<B: Backend>(self, engine: Engine<B>) -> Self::Output {
            let ReplayJob { tensors, simulation, progress, .. } = self.0[0];
            let own = Formed { tensors, simulation, device: &engine.device, progress };
            let weights = Noted { own, asked: Mutex::new(Vec::new()) };
            in_step(self.0, &engine, &weights, usize::MAX).unwrap();
            let asked = weights.asked.into_inner().unwrap();
            asked.into_iter().flat_map(|read| read.rows.map(move |row| (read.weight, row))).collect()
        }
    }

    /// All of a forward pass over three tokens, in each of `roundings`.
    fn with_jobs<T>(roundings: &[Rounding], then: impl FnOnce(&[ReplayJob<'_>]) -> T) -> T {
        let checkpoint = Checkpoint::open("builtin:tiny", None).unwrap();
        let tensors = checkpoint.tensors().unwrap();
        let ids = HostTensor { shape: vec![3], values: loupe_spec::Values::I64(vec![2, 5, 7]) };
        let given = Values::from([(Probe::TOKEN_IDS, ids)]);
        let job = |rounding: &Rounding| ReplayJob {
            graph: checkpoint.graph(),
            tensors: &tensors,
            positions: (0..3).collect(),
            given: &given,
            rows: &[],
            wanted: BTreeSet::from(["logits".parse().unwrap()]),
            mistakes: &[],
            simulation: Simulation { rounding: *rounding, storage: Dtype::F32, ..Simulation::exact() },
            limits: Limits { chunk_bytes: 5000, ..Limits::default() },
            progress: None,
        };
        then(&roundings.iter().map(job).collect::<Vec<_>>())
    }

    #[test]
    fn several_replays_read_each_row_of_each_tensor_once() {
        let checkpoint = Checkpoint::open("builtin:tiny", None).unwrap();
        let graph = checkpoint.graph();
        let asked = with_jobs(&Rounding::NOISE, |jobs| on_referee(Asked(jobs)).unwrap());
        let once: BTreeSet<(Weight, usize)> = asked.iter().copied().collect();
        let rows = graph.weights().flat_map(|weight| (0..graph.weight_shape(weight)[0]).map(move |row| (weight, row)));
        assert_eq!(once, rows.collect());
        assert_eq!(asked.len(), once.len(), "some row was read again");
    }

    #[test]
    fn replays_in_step_compute_what_each_computes_alone() {
        with_jobs(&[Rounding::Exact, Rounding::EveryStage, Rounding::Stochastic(3)], |jobs| {
            let together = replay_all(jobs).unwrap();
            for (job, together) in jobs.iter().zip(&together) {
                assert_eq!(&replay(job.clone()).unwrap(), together, "{:?}", job.simulation.rounding);
            }
            assert_ne!(together[0], together[1]);
            assert_ne!(together[1], together[2]);
        });
    }

    #[test]
    fn weights_drawn_at_random_are_no_replays_but_their_own() {
        with_jobs(&Rounding::NOISE, |jobs| {
            assert!(jobs[0].goes_in_step_with(&jobs[1]));
            let mut jobs = jobs.to_vec();
            jobs.iter_mut().for_each(|job| job.simulation.weights = WeightForm::Blocks { bits: 4 });
            assert!(!jobs[0].goes_in_step_with(&jobs[1]));
            let together = replay_all(&jobs).unwrap();
            assert!(jobs.iter().zip(&together).all(|(job, values)| &replay(job.clone()).unwrap() == values));
        });
    }
}
