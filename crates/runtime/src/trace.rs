//! Running the stages that a question needs, on any backend, and recording what was wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Instant;

use burn::tensor::backend::Backend;
use loupe_backends::{Info, Opened, Spec, Task, dispatch};
use loupe_checkpoint::Tensors;
use loupe_model::{DeviceTrace, Limits, Model, ModelError, Numerics, Run, SomeRows, Weights};
use loupe_spec::{Dtype, Edit, Graph, HostTensor, Probe, Trace};

use crate::host::{from_value, to_value};
use crate::loader::Loader;
use crate::plant::Planted;
use crate::{Progress, RuntimeError, free_memory};

/// What to run.
#[derive(Clone, Debug)]
pub struct TraceJob<'a> {
    /// The model.
    pub graph: &'a Graph,
    /// The weights.
    pub tensors: &'a Tensors,
    /// Positions of the tokens; their count is T.
    pub positions: Vec<usize>,
    /// Where to start: `token_ids` for a forward pass, anything recorded for a replay.
    pub given: Trace,
    /// What to record.
    pub wanted: BTreeSet<Probe>,
    /// Mistakes to plant first.
    pub mistakes: &'a [Edit],
    /// The dtype of the run.
    pub dtype: Dtype,
    /// How much is held at a time.
    pub limits: Limits,
    /// Is told how far it is.
    pub progress: Option<Progress<'a>>,
}

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Every wanted probe.
    pub values: Trace,
    /// What ran it.
    pub info: Info,
    /// Seconds from a ready backend to the last value read back.
    pub seconds: f64,
}

impl Recorded {
    /// The value of `probe`.
    ///
    /// # Errors
    /// It was not wanted.
    pub fn get(&self, probe: Probe) -> Result<&HostTensor, RuntimeError> {
        self.values.get(&probe).ok_or_else(|| ModelError::Missing { probe, missing: probe }.into())
    }

    /// Every value under its trace name, in computing order.
    pub fn named(self) -> Vec<(String, HostTensor)> {
        self.values.into_iter().map(|(probe, value)| (probe.to_string(), value)).collect()
    }
}

/// Runs `job` on the backend of `spec`.
///
/// # Errors
/// What the backend, the checkpoint or the model says.
pub fn trace(spec: &Spec, job: TraceJob<'_>) -> Result<Recorded, RuntimeError> {
    dispatch(spec, job)?
}

impl Task for TraceJob<'_> {
    type Output = Result<Recorded, RuntimeError>;

    fn run<B: Backend>(self, backend: Opened<B>) -> Self::Output {
        let started = Instant::now();
        let numerics = Numerics::<B>::native(self.dtype, backend.matmul);
        let planted = Planted::new(self.mistakes, self.graph);
        let start = values_on(&backend, &self.given, self.dtype)?;
        let mut values = BTreeMap::new();
        thread::scope(|scope| {
            let (ahead_from, progress) = (self.limits.ahead_from_elements, self.progress);
            let (tensors, dtype, backend) = (self.tensors, self.dtype, &backend);
            let loader = Loader { tensors, dtype, backend, scope, ahead_from, progress };
            let limits = within(self.limits, free_memory());
            let model = model(backend, &planted, &loader, self.dtype, limits);
            let runs = vec![Run { numerics, values: start, rows: SomeRows::none() }];
            model.run(&self.positions, runs, &self.wanted, &mut |_, probe, value| {
                values.insert(probe, from_value(value));
                Ok(())
            })
        })?;
        // A GPU's queue may hide a failure until it is waited for.
        B::sync(&backend.device).map_err(|error| RuntimeError::Device(error.to_string()))?;
        Ok(Recorded { values, info: backend.info, seconds: started.elapsed().as_secs_f64() })
    }
}

/// `limits`, and no more than `free` bytes of memory.
pub(crate) fn within(limits: Limits, free: usize) -> Limits {
    Limits { memory_bytes: limits.memory_bytes.min(free), ..limits }
}

/// The model `planted` on a backend, over `weights`.
pub(crate) fn model<'a, B: Backend>(
    backend: &Opened<B>,
    planted: &'a Planted<B>,
    weights: &'a dyn Weights<B>,
    device_dtype: Dtype,
    limits: Limits,
) -> Model<'a, B> {
    let (device, max_tensor_bytes) = (backend.device.clone(), backend.max_tensor_bytes);
    let on_host = backend.on_host();
    let Planted { graph, formulas } = planted;
    Model { graph, formulas, weights, device, device_dtype, limits, max_tensor_bytes, on_host }
}

/// Recorded values on the device, in `dtype`.
pub(crate) fn values_on<'h, B: Backend>(
    backend: &Opened<B>,
    given: impl IntoIterator<Item = (&'h Probe, &'h HostTensor)>,
    dtype: Dtype,
) -> Result<DeviceTrace<B>, RuntimeError> {
    let value = |(probe, tensor): (&Probe, &HostTensor)| {
        let expected = "of the rank that its probe has";
        let value = to_value(*probe, tensor, dtype, &backend.device);
        Ok((*probe, value.ok_or(ModelError::Input { probe: *probe, index: 0, expected })?))
    };
    given.into_iter().map(value).collect()
}
