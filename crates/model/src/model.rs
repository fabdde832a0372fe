//! The whole model: which stages a question needs, and running them in order.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use loupe_spec::{Dtype, Graph, Probe, Weight};
use loupe_tensor::Tensor;
use rayon::prelude::*;

use crate::parts;
use crate::plan::Step;
use crate::value::{Due, Inputs, SomeRows, Value, Values};
use crate::{Bytes, Limits, Operations, Precision, Table, WeightError, Weights, burn_dtype, layer, ops};

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
    /// The values of its forward pass.
    pub graph: &'a Graph,
    /// Where the tensors come from.
    pub weights: &'a dyn Weights<B>,
    /// Where the tensors go.
    pub device: B::Device,
    /// The dtype of tensors there: that of [`Precision::device`] in every run.
    pub device_dtype: Dtype,
    /// What each stage computes.
    pub table: Table<B>,
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
        self.weights.announce(self.reads(&steps)?);
        for (at, run) in runs.iter().enumerate() {
            if let Some(ids) = run.values.get(&Probe::TokenIds).filter(|_| wanted.contains(&Probe::TokenIds)) {
                observe(at, Probe::TokenIds, ids).map_err(ModelError::Observer)?;
            }
        }
        self.steps(&steps, runs, positions, &mut |run, probe, value| match wanted.contains(&probe) {
            true => observe(run, probe, value).map_err(ModelError::Observer),
            false => Ok(()),
        })
    }

    /// Computes `steps` in order and hands each value to `each`. A value is dropped after its last use.
    pub(crate) fn steps(
        &self,
        steps: &[Step],
        mut runs: Vec<Run<B>>,
        positions: &[usize],
        each: &mut Each<'_, B>,
    ) -> Result<(), ModelError> {
        let last_use: BTreeMap<Probe, usize> =
            steps.iter().enumerate().flat_map(|(at, step)| step.inputs.iter().map(move |p| (*p, at))).collect();
        for (at, step) in steps.iter().enumerate() {
            let values = match &step.parts {
                None => self.evaluate(step, &runs, positions)?,
                Some(parts) => parts::compute(self, step, parts, &runs, positions)?,
            };
            for (own, (run, value)) in runs.iter_mut().zip(values).enumerate() {
                each(own, step.probe, &value)?;
                for input in step.inputs.iter().filter(|input| last_use.get(input) == Some(&at)) {
                    run.values.remove(input);
                }
                if last_use.contains_key(&step.probe) && !run.values.contains_key(&step.probe) {
                    run.values.insert(step.probe, run.rows.put_into(step.probe, value)?);
                }
            }
        }
        Ok(())
    }

    /// The value of `step` in each of `runs`.
    fn evaluate(&self, step: &Step, runs: &[Run<B>], positions: &[usize]) -> Result<Vec<Value<B>>, ModelError> {
        let due = side_by_side(runs, |run| self.stage(step, run, positions))?;
        let finish = |(run, value): &(&Run<B>, Value<B>)| {
            let (p, probe) = (&run.precision, step.probe);
            Ok(value.clone().map(|x| p.finish(probe, x), |x| p.finish(probe, x)))
        };
        let values = self.products(step.probe, runs, due)?;
        side_by_side(&runs.iter().zip(values).collect::<Vec<_>>(), finish)
    }

    /// What `step` comes to in `run`.
    fn stage(&self, step: &Step, run: &Run<B>, positions: &[usize]) -> Result<Due<B>, ModelError> {
        let input =
            |input: &Probe| run.values.get(input).ok_or(ModelError::Missing { probe: step.probe, missing: *input });
        let values = step.inputs.iter().map(input).collect::<Result<_, _>>()?;
        let x = Inputs { probe: step.probe, values };
        let ops = self.operations(step.probe)?;
        let p = &run.precision;
        Ok(match step.probe {
            // Never planned: `plan` starts from given ids.
            Probe::TokenIds => return Err(ModelError::Missing { probe: step.probe, missing: step.probe }),
            Probe::EmbedRaw => self.embed(x.ids(0)?)?.into(),
            Probe::EmbedScaled => (ops.embed_scale)(x.two(0)?, ops.constants.embed_scale, p).into(),
            Probe::Layer(layer, stage) => layer::stage(self, layer, stage, &x, positions, p)?,
            Probe::Norm => self.norm(step.probe, &x, p)?.into(),
            Probe::LogitsRaw => Due::Product { x: x.two(0)?, heads: None },
            Probe::Logits => match ops.constants.final_softcap {
                Some(cap) => (ops.softcap_logits)(x.two(0)?, cap, p).into(),
                None => x.two(0)?.into(),
            },
        })
    }

    /// What is due of `probe`, with each [T, in] sent through the projection's [out, in]. The matrix comes in row
    /// chunks, each read once for all runs. An output column depends on one row, so chunks change no sum.
    fn products(&self, probe: Probe, runs: &[Run<B>], due: Vec<Due<B>>) -> Result<Vec<Value<B>>, ModelError> {
        let mut chunks: Vec<Vec<Tensor<B, 2>>> = vec![Vec::new(); due.len()];
        if due.iter().any(|due| matches!(due, Due::Product { .. })) {
            let linear = self.operations(probe)?.linear;
            let weight = self.weight(probe)?;
            let sides: Vec<(&Run<B>, &Due<B>)> = runs.iter().zip(&due).collect();
            for chunk in self.chunks(probe)? {
                let matrix = self.weights.rows(weight, chunk.rows.clone()).map_err(ModelError::Weight)?;
                let multiply = |(run, due): &(&Run<B>, &Due<B>)| match due {
                    Due::Product { x, .. } => Ok(Some(linear(x.clone(), matrix.clone(), &chunk, &run.precision))),
                    Due::Value(_) => Ok(None),
                };
                for (chunks, product) in chunks.iter_mut().zip(side_by_side(&sides, multiply)?) {
                    chunks.extend(product);
                }
            }
        }
        let whole = |(due, mut chunks): (Due<B>, Vec<Tensor<B, 2>>)| match due {
            Due::Value(value) => value,
            Due::Product { heads, .. } => {
                let product = if chunks.len() == 1 { chunks.remove(0) } else { Tensor::cat(chunks, 1) };
                let [t, out] = product.dims();
                match heads {
                    Some(heads) => product.reshape([t, heads, out / heads]).into(),
                    // One chunk is a transposed view, several are laid out anew. Over a view ndarray sums in another
                    // order, so it is laid out, too: to one axis and back.
                    None => product.reshape([t * out]).reshape([t, out]).into(),
                }
            }
        };
        Ok(due.into_iter().zip(chunks).map(whole).collect())
    }

    /// The operations at `probe`.
    ///
    /// # Errors
    /// The model has no such probe.
    pub fn operations(&self, probe: Probe) -> Result<&Operations<B>, ModelError> {
        self.table.at(probe).ok_or(self.no_such(probe))
    }

    fn no_such(&self, probe: Probe) -> ModelError {
        ModelError::NoSuchProbe(probe, self.graph.config().num_hidden_layers)
    }

    /// Rows `ids` of the embedding table → [T, D].
    fn embed(&self, ids: &[usize]) -> Result<Tensor<B, 2>, ModelError> {
        let vocab_size = self.graph.config().vocab_size;
        if let Some((position, id)) = ids.iter().enumerate().find(|(_, id)| **id >= vocab_size) {
            return Err(ModelError::TokenId { id: *id, position, vocab_size });
        }
        self.weights.gather(self.weight(Probe::EmbedRaw)?, ids).map_err(ModelError::Weight)
    }

    /// RMSNorm at `probe` of its input, with its weight. Gemma 2 gives a norm one input; a wiring that gives it
    /// two norms their sum.
    pub(crate) fn norm(&self, probe: Probe, x: &Inputs<'_, B>, p: &Precision<B>) -> Result<Tensor<B, 2>, ModelError> {
        let ops = self.operations(probe)?;
        let weight = self.weights.vector(self.weight(probe)?).map_err(ModelError::Weight)?;
        Ok((ops.rms_norm)(self.sum(probe, x, p)?, weight, ops.constants.rms_norm_eps, p))
    }

    /// The sum of a stage's inputs: for a residual join, the stream and the branch.
    pub(crate) fn sum(&self, probe: Probe, x: &Inputs<'_, B>, p: &Precision<B>) -> Result<Tensor<B, 2>, ModelError> {
        let wrong = ModelError::Input { probe, index: 0, expected: "a [T, width] tensor" };
        ops::residual::add(x.all_two()?, p).ok_or(wrong)
    }

    /// Cosines and sines [T, 1, H/2] of `positions`, stored.
    pub(crate) fn rotations(
        &self,
        ops: &Operations<B>,
        positions: &[usize],
        p: &Precision<B>,
    ) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let head_dim = self.graph.config().head_dim;
        let tables = (ops.rotations)(positions, head_dim, ops.constants.rope_theta, p.wide());
        let upload = |values: Vec<f64>| {
            // Rounded on the host: no f64 reaches a device that cannot hold it.
            let dtype = burn_dtype(p.device);
            let values = values.into_iter().map(|v| p.round(v)).collect();
            let data = TensorData::new::<f64, _>(values, [positions.len(), 1, head_dim / 2]);
            Tensor::from_data(data, &self.device, dtype)
        };
        (upload(tables.cos), upload(tables.sin))
    }

    /// The tensor that `probe` reads.
    pub(crate) fn weight(&self, probe: Probe) -> Result<Weight, ModelError> {
        let own = self.graph.weight(probe).ok_or(self.no_such(probe))?;
        Ok((self.operations(probe)?.weight)(own, self.graph.config()))
    }
}

/// `f` of each of `items`: in this thread where there is one, over the processor's cores where there are more.
fn side_by_side<T: Sync, U: Send>(
    items: &[T],
    f: impl Fn(&T) -> Result<U, ModelError> + Sync + Send,
) -> Result<Vec<U>, ModelError> {
    match items {
        [only] => Ok(vec![f(only)?]),
        many => many.par_iter().map(f).collect(),
    }
}
