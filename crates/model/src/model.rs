//! The model and its runs, before anything is computed.

use burn::tensor::backend::Backend;
use loupe_spec::{Dtype, Graph, Node, Probe};

use crate::value::{DeviceTrace, SomeRows, Value};
use crate::{Formulas, Limits, ModelError, Numerics, Weights, Wrong};

/// A Gemma 2 ready to run: what it computes, and where its tensors come from. Holds no weights itself.
pub struct Model<'a, B: Backend> {
    /// The values of its forward pass, with its mistakes.
    pub graph: &'a Graph,
    /// Where the tensors come from.
    pub weights: &'a dyn Weights<B>,
    /// Where the tensors go.
    pub device: B::Device,
    /// The dtype of tensors there: that of [`Numerics::device`] in every run.
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
    pub numerics: Numerics<B>,
    /// What the run starts from: `token_ids` for a forward pass, anything recorded for a replay.
    pub values: DeviceTrace<B>,
    /// What was recorded of some tokens only. Attention takes in the others' rows as well, so these probes are computed
    /// from their own inputs for all tokens, and the stages after them use the recorded rows and the computed others.
    pub rows: SomeRows<B>,
}

impl<B: Backend> Model<'_, B> {
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
