//! Recomputing stages from recorded inputs, exactly or in a simulated precision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burn::tensor::backend::Backend;
use loupe_backends::{Engine, Task, dispatch, referee};
use loupe_checkpoint::Tensors;
use loupe_model::Precision;
use loupe_spec::{Config, Dtype, HostTensor, Probe, Simulation};

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
    /// Is told how far it is.
    pub progress: Option<Progress<'a>>,
}

/// Runs `job` in f64 on the CPU, whatever the recorded values came from.
///
/// # Errors
/// What the checkpoint or the model says.
pub fn replay(job: ReplayJob<'_>) -> Result<BTreeMap<Probe, HostTensor>, EngineError> {
    dispatch(&referee(), job)?
}

impl Task for ReplayJob<'_> {
    type Output = Result<BTreeMap<Probe, HostTensor>, EngineError>;

    fn run<B: Backend>(self, engine: Engine<B>) -> Self::Output {
        let arithmetic = Simulated::<B>::new(self.simulation, engine.matmul);
        let precision = Precision::simulated(self.simulation.storage, Dtype::F64, Arc::new(arithmetic));
        let table = plant::table(self.mistakes, self.config)?;
        run_model(
            &engine,
            self.config,
            self.tensors,
            precision,
            table,
            &self.positions,
            self.given,
            &self.wanted,
            self.progress,
        )
    }
}
