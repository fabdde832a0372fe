//! Recomputing stages from recorded inputs, exactly or in a simulated precision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burn::tensor::backend::Backend;
use loupe_backends::{Engine, Task, dispatch, referee};
use loupe_checkpoint::Tensors;
use loupe_model::{Precision, Weights};
use loupe_spec::{Config, Dtype, HostTensor, Probe, Simulation, WeightForm};

use crate::formed::Formed;
use crate::shared::{Shared, Sharing};
use crate::simulate::Simulated;
use crate::trace::run_model;
use crate::{EngineError, Progress, plant};

/// What to recompute.
#[derive(Clone, Debug)]
pub struct ReplayJob<'a> {
    /// config.json
    pub config: &'a Config,
    /// The weights.
    pub tensors: &'a Tensors,
    /// Positions of the tokens; their count is T.
    pub positions: Vec<usize>,
    /// What was recorded.
    pub given: &'a BTreeMap<Probe, HostTensor>,
    /// What to recompute. A probe that was recorded too is computed from its recorded inputs.
    pub wanted: BTreeSet<Probe>,
    /// Mistakes to plant first.
    pub mistakes: &'a [String],
    /// How to round.
    pub simulation: Simulation,
    /// Is told how much it has read.
    pub progress: Option<Progress<'a>>,
}

/// Runs `job` in f64 on the CPU, whatever the recorded values came from.
///
/// # Errors
/// What the checkpoint or the model says.
pub fn replay(job: ReplayJob<'_>) -> Result<BTreeMap<Probe, HostTensor>, EngineError> {
    dispatch(&referee(), job)?
}

/// Runs `jobs`, which are about the same stages, side by side; each weight is read once for all.
///
/// # Errors
/// What the checkpoint or the model says to the first that fails.
pub fn replay_all(jobs: &[ReplayJob<'_>]) -> Result<Vec<BTreeMap<Probe, HostTensor>>, EngineError> {
    dispatch(&referee(), Together(jobs))?
}

impl Task for ReplayJob<'_> {
    type Output = Result<BTreeMap<Probe, HostTensor>, EngineError>;

    fn run<B: Backend>(self, engine: Engine<B>) -> Self::Output {
        self.on(&engine, &self.weights(&engine))
    }
}

impl ReplayJob<'_> {
    fn weights<'a, B: Backend>(&'a self, engine: &'a Engine<B>) -> Formed<'a, B> {
        Formed::new(self.tensors, self.simulation, &engine.device, self.progress)
    }

    fn on<B: Backend>(
        &self,
        engine: &Engine<B>,
        weights: &dyn Weights<B>,
    ) -> Result<BTreeMap<Probe, HostTensor>, EngineError> {
        let arithmetic = Simulated::<B>::new(self.simulation, engine.matmul);
        let precision = Precision::simulated(self.simulation.storage, Dtype::F64, Arc::new(arithmetic));
        let table = plant::table(self.mistakes, self.config)?;
        run_model(engine, self.config, weights, precision, table, &self.positions, self.given, &self.wanted)
    }
}

struct Together<'a, 'b>(&'b [ReplayJob<'a>]);

impl Task for Together<'_, '_> {
    type Output = Result<Vec<BTreeMap<Probe, HostTensor>>, EngineError>;

    fn run<B: Backend>(self, engine: Engine<B>) -> Self::Output {
        let Together(jobs) = self;
        // Weights that are drawn at random differ from replay to replay.
        let same = jobs.windows(2).all(|two| {
            two[0].simulation.weights == two[1].simulation.weights
                && two[0].simulation.storage == two[1].simulation.storage
                && !matches!(two[0].simulation.weights, WeightForm::Blocks { .. })
        });
        let shared = Shared::new(jobs.len());
        let one = |job: &ReplayJob<'_>| {
            let own = job.weights(&engine);
            if same { job.on(&engine, &Sharing { own, shared: &shared }) } else { job.on(&engine, &own) }
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = jobs.iter().map(|job| scope.spawn(|| one(job))).collect();
            let stopped = || EngineError::Device("a replay stopped without an answer".to_string());
            running.into_iter().map(|run| run.join().unwrap_or_else(|_| Err(stopped()))).collect()
        })
    }
}
