//! The whole model, and running the steps that a question needs.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::backend::Backend;
use loupe_spec::{Dtype, Graph, Node, Probe};

use crate::parts;
use crate::plan::{Step, all_reads};
use crate::value::{SomeRows, Value, Values};
use crate::{Bytes, Formulas, Limits, Precision, Reads, WeightError, Weights, Wrong};

/// What an observer says went wrong.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;
/// Sees each wanted value as soon as it exists, and of which run it is.
pub type Observe<'a, B> = dyn FnMut(usize, Probe, &Value<B>) -> Result<(), ObserverError> + 'a;

/// Is handed the value of every step in every run.
pub(crate) type Each<'a, B> = dyn FnMut(usize, Probe, &Value<B>) -> Result<(), ModelError> + 'a;

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A tensor could not be had.
    #[error("{0}")]
    Weight(WeightError),
    /// The observer said no.
    #[error("{0}")]
    Observer(ObserverError),
    /// A replay lacks a starting point.
    #[error("{probe} cannot be computed: it needs {missing}, which was not given and has no inputs of its own")]
    Missing {
        /// What was to be computed.
        probe: Probe,
        /// What it needs.
        missing: Probe,
    },
    /// A stage got an input that it cannot use.
    #[error("input {index} of {probe} should be {expected}")]
    Input {
        /// The stage.
        probe: Probe,
        /// Which of its inputs.
        index: usize,
        /// What it should have been.
        expected: &'static str,
    },
    /// A formula that needs a tensor, of a value that has none.
    #[error("{0} is computed with no tensor")]
    NoTensor(Probe),
    /// A stage that its inputs are computed from.
    #[error("{0} is computed from itself")]
    Circular(Probe),
    /// The checkpoint has no such probe.
    #[error("this model has no probe {0}: it has {1} layers")]
    NoSuchProbe(Probe, usize),
    /// A value larger than the device can hold as one tensor.
    #[error(
        "{probe} would take {bytes} bytes for {tokens} tokens, and this device holds at most {limit} in one tensor; \
         use a shorter prompt, or backend flex"
    )]
    TooLarge {
        /// What was to be computed.
        probe: Probe,
        /// Its size.
        bytes: usize,
        /// T
        tokens: usize,
        /// The device's limit.
        limit: usize,
    },
    /// More than there is.
    #[error(
        "{tokens} tokens would take about {} of memory, and {} are free ({largest} alone takes {}); run a shorter prompt, or \
         record fewer stages and layers (\"probes\" and \"layers\" of a trace)",
        Bytes(*.bytes), Bytes(*.free), Bytes(*.largest_bytes)
    )]
    Memory {
        /// What the run would take.
        bytes: usize,
        /// What there is.
        free: usize,
        /// T
        tokens: usize,
        /// Its largest value.
        largest: Probe,
        /// That value's size.
        largest_bytes: usize,
    },
    /// A token outside the vocabulary.
    #[error("token id {id} at position {position} is outside the vocabulary of {vocab_size}")]
    TokenId {
        /// The id.
        id: usize,
        /// Where in the prompt.
        position: usize,
        /// V
        vocab_size: usize,
    },
}

/// A Gemma 2 ready to run: what it computes, and where its tensors come from. Holds no weights itself.
pub struct Model<'a, B: Backend> {
    /// The values of its forward pass, with its mistakes.
    pub graph: &'a Graph,
    /// Where the tensors come from.
    pub weights: &'a dyn Weights<B>,
    /// Where the tensors go.
    pub device: B::Device,
    /// The dtype of tensors there: that of [`Precision::device`] in every run.
    pub device_dtype: Dtype,
    /// Wrong formulas, by mistakes.
    pub formulas: &'a Formulas<B>,
    /// How much is held at a time.
    pub limits: Limits,
    /// The largest tensor the device can hold, in bytes, where there is a limit. Checked before anything is
    /// computed: a GPU's failed allocation may come back as zeros.
    pub max_tensor_bytes: Option<usize>,
    /// Whether tensors lie in the host's memory, which [`Limits::memory_bytes`] is of.
    pub on_host: bool,
}

/// One of the runs that a model makes side by side. They compute the same stages and differ in where they start and
/// in how they round.
pub struct Run<B: Backend> {
    /// In which dtype values are held, and where they are rounded.
    pub precision: Precision<B>,
    /// What the run starts from: `token_ids` for a forward pass, anything recorded for a replay.
    pub values: Values<B>,
    /// What was recorded of some tokens only. Attention takes in the others' rows as well, so these probes are computed
    /// from their own inputs for all tokens, and the stages after them use the recorded rows and the computed others.
    pub rows: SomeRows<B>,
}

impl<B: Backend> Model<'_, B> {
    /// Computes the probes in `wanted` from the values that each of `runs` is given, and nothing that they do not need.
    /// All are given the same probes.
    ///
    /// A probe that is both given and wanted is computed afresh from its inputs, while the stages after it use the given
    /// value: that isolates each stage, so that an error shows where it arises and not where it is inherited.
    ///
    /// `positions` are the prompt's (0, 1, 2, … for a prompt from its start) and fix T. `observe` sees each wanted
    /// value as soon as it exists, in computing order. A value is dropped after its last use. The runs go in step: a
    /// chunk of a matrix is read once, used by each of them and dropped.
    ///
    /// # Errors
    /// A tensor that cannot be read, a token outside the vocabulary, something wanted that is not given and does not
    /// follow from what is, or what `observe` says.
    pub fn run(
        &self,
        positions: &[usize],
        runs: Vec<Run<B>>,
        wanted: &BTreeSet<Probe>,
        observe: &mut Observe<'_, B>,
    ) -> Result<(), ModelError> {
        let probes = |values: fn(&Run<B>) -> &Values<B>| -> BTreeSet<Probe> {
            runs.first().map(|run| values(run).keys().copied().collect()).unwrap_or_default()
        };
        let (given, in_part) = (probes(|run| &run.values), probes(|run| &run.rows.values));
        let seen = wanted.iter().chain(&in_part).copied().collect();
        let steps = self.plan(&given, wanted, &seen, positions.len())?;
        self.check_sizes(&steps, positions.len())?;
        self.check_memory(&steps, &given, wanted, runs.len(), positions.len())?;
        let mut reads = self.weights.read(all_reads(&steps));
        for (at, run) in runs.iter().enumerate() {
            if let Some(ids) = run.values.get(&Probe::TOKEN_IDS).filter(|_| wanted.contains(&Probe::TOKEN_IDS)) {
                observe(at, Probe::TOKEN_IDS, ids).map_err(ModelError::Observer)?;
            }
        }
        self.steps(&steps, runs, positions, &mut reads, &mut |run, probe, value| match wanted.contains(&probe) {
            true => observe(run, probe, value).map_err(ModelError::Observer),
            false => Ok(()),
        })
    }

    /// Computes `steps` in order, each with its part of `reads`, and hands each value to `each`. A value is dropped after its
    /// last use.
    pub(crate) fn steps(
        &self,
        steps: &[Step],
        mut runs: Vec<Run<B>>,
        positions: &[usize],
        reads: &mut Reads<'_, B>,
        each: &mut Each<'_, B>,
    ) -> Result<(), ModelError> {
        let last_use = last_use(steps);
        for (at, step) in steps.iter().enumerate() {
            let (probe, inputs) = (step.node.probe, &step.node.inputs);
            let values = match &step.parts {
                None => self.evaluate(step, &runs, positions, reads)?,
                Some(parts) => parts::compute(self, step, parts, &runs, positions, reads)?,
            };
            for (own, (run, value)) in runs.iter_mut().zip(values).enumerate() {
                each(own, probe, &value)?;
                for input in inputs.iter().filter(|input| last_use.get(input) == Some(&at)) {
                    run.values.remove(input);
                }
                if last_use.contains_key(&probe) && !run.values.contains_key(&probe) {
                    run.values.insert(probe, run.rows.put_into(probe, value)?);
                }
            }
        }
        Ok(())
    }

    /// The wrong formulas at `probe`.
    pub(crate) fn formulas_at(&self, probe: Probe) -> &[Wrong<B>] {
        self.formulas.get(&probe).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn no_such(&self, probe: Probe) -> ModelError {
        ModelError::NoSuchProbe(probe, self.graph.config().num_hidden_layers)
    }
}

impl<B: Backend> Run<B> {
    /// The values that `node` is computed from.
    pub(crate) fn inputs(&self, node: &Node) -> Result<Vec<Value<B>>, ModelError> {
        let missing = |input: &Probe| ModelError::Missing { probe: node.probe, missing: *input };
        node.inputs.iter().map(|input| self.values.get(input).cloned().ok_or_else(|| missing(input))).collect()
    }
}

/// The last of `steps` that uses each value.
pub(crate) fn last_use(steps: &[Step]) -> BTreeMap<Probe, usize> {
    steps.iter().enumerate().flat_map(|(at, step)| step.node.inputs.iter().map(move |input| (*input, at))).collect()
}
