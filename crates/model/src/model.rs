//! The whole model: which stages a question needs, and running them in order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use loupe_spec::{Config, Probe, Weight};

use crate::parts::{self, Parts, Step};
use crate::value::{Inputs, Value, Values};
use crate::{Operations, Precision, Read, Table, WeightError, Weights, burn_dtype, layer, ops};

/// What an observer says went wrong.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;
/// Sees each wanted value as soon as it exists.
pub type Observe<'a, B> = dyn FnMut(Probe, &Value<B>) -> Result<(), ObserverError> + 'a;

/// Is handed the value of every step.
pub(crate) type Each<'a, B> = dyn FnMut(Probe, &Value<B>) -> Result<(), ModelError> + 'a;

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

/// Matrices are asked for in row chunks of at most this. Buffers of this size are handed round by the allocator;
/// larger ones (over 32 MiB with glibc) are mapped and unmapped each time, and the faults on their fresh pages cost
/// more than the arithmetic. It also keeps the head (2.4 GB in f32 for 2B) from being in memory at once.
const CHUNK_BYTES: usize = 16 << 20;

/// A Gemma 2 ready to run: its config, where its tensors come from, and how it computes. Holds no weights itself.
pub struct Model<'a, B: Backend> {
    /// config.json
    pub config: &'a Config,
    /// Where the tensors come from.
    pub weights: &'a dyn Weights<B>,
    /// Where the tensors go.
    pub device: B::Device,
    /// In which dtype values are held.
    pub precision: Precision<B>,
    /// What each stage computes.
    pub table: Table<B>,
    /// The largest tensor the device can hold, in bytes, where there is a limit. Checked before anything is
    /// computed: a GPU's failed allocation may come back as zeros.
    pub max_tensor_bytes: Option<usize>,
}

impl<B: Backend> Model<'_, B> {
    /// Computes the probes in `wanted` from the values in `given`, and nothing that they do not need.
    ///
    /// A forward pass is given `token_ids`; a replay is given whatever was recorded. A probe that is both given and
    /// wanted is computed afresh from its inputs, while the stages after it use the given value: that isolates
    /// each stage, so that an error shows where it arises and not where it is inherited.
    ///
    /// `positions` are the prompt's (0, 1, 2, … for a prompt from its start) and fix T. `observe` sees each wanted
    /// value as soon as it exists, in computing order. A value is dropped after its last use, a weight after its
    /// only one.
    ///
    /// # Errors
    /// A tensor that cannot be read, a token outside the vocabulary, something wanted that `given` does not lead
    /// to, or what `observe` says.
    pub fn run(
        &self,
        positions: &[usize],
        given: Values<B>,
        wanted: &BTreeSet<Probe>,
        observe: &mut Observe<'_, B>,
    ) -> Result<(), ModelError> {
        let steps = self.plan(&given, wanted, positions.len())?;
        self.check_sizes(&steps, positions.len())?;
        self.weights.announce(self.reads(&steps)?);
        let values = given;
        if let Some(ids) = values.get(&Probe::TokenIds).filter(|_| wanted.contains(&Probe::TokenIds)) {
            observe(Probe::TokenIds, ids).map_err(ModelError::Observer)?;
        }
        self.steps(&steps, values, positions, &mut |probe, value| match wanted.contains(&probe) {
            true => observe(probe, value).map_err(ModelError::Observer),
            false => Ok(()),
        })
    }

    /// Computes `steps` in order and hands each value to `each`. A value is dropped after its last use.
    pub(crate) fn steps(
        &self,
        steps: &[Step],
        mut values: Values<B>,
        positions: &[usize],
        each: &mut Each<'_, B>,
    ) -> Result<(), ModelError> {
        let last_use: BTreeMap<Probe, usize> =
            steps.iter().enumerate().flat_map(|(at, step)| step.inputs.iter().map(move |p| (*p, at))).collect();
        for (at, step) in steps.iter().enumerate() {
            let value = match &step.parts {
                None => self
                    .evaluate(step, &values, positions)?
                    .map(|x| self.precision.finish(step.probe, x), |x| self.precision.finish(step.probe, x)),
                Some(parts) => parts::compute(self, step, parts, &values, positions)?,
            };
            each(step.probe, &value)?;
            for input in step.inputs.iter().filter(|input| last_use.get(input) == Some(&at)) {
                values.remove(input);
            }
            if last_use.contains_key(&step.probe) {
                values.entry(step.probe).or_insert(value);
            }
        }
        Ok(())
    }

    /// The stages to compute, each after its inputs. The order of [`Probe`] is a computing order, so a sorted set
    /// of what is needed is the plan.
    fn plan(&self, given: &Values<B>, wanted: &BTreeSet<Probe>, tokens: usize) -> Result<Vec<Step>, ModelError> {
        let mut steps: BTreeMap<Probe, Step> = BTreeMap::new();
        let observed = |probe: &Probe| *probe == Probe::TokenIds && given.contains_key(probe);
        let mut open: Vec<Probe> = wanted.iter().copied().filter(|probe| !observed(probe)).collect();
        while let Some(probe) = open.pop() {
            if steps.contains_key(&probe) {
                continue;
            }
            let inputs = (self.operations(probe)?.inputs)(probe, self.config);
            for input in &inputs {
                // Earlier inputs only, or the sorted order would not be a computing order.
                if *input >= probe || (*input == Probe::TokenIds && !given.contains_key(input)) {
                    return Err(ModelError::Missing { probe, missing: *input });
                }
                if !given.contains_key(input) {
                    open.push(*input);
                }
            }
            if probe == Probe::TokenIds {
                return Err(ModelError::Missing { probe, missing: probe });
            }
            steps.insert(probe, Step { probe, inputs, parts: None });
        }
        let seen = wanted.iter().chain(given.keys()).copied().collect();
        let limit = self.max_tensor_bytes.unwrap_or(usize::MAX);
        parts::fold(&mut steps, self.config, &seen, tokens, self.precision.device.size(), limit);
        Ok(steps.into_values().collect())
    }

    /// What `steps` will ask of the weights, in order. (Not the embedding's rows: they are a few, read at once.)
    fn reads(&self, steps: &[Step]) -> Result<Vec<Read>, ModelError> {
        let mut reads = Vec::new();
        for step in steps {
            if let Some(parts) = &step.parts {
                let part = self.reads(&parts.steps)?;
                (0..parts.count()).for_each(|_| reads.extend_from_slice(&part));
            } else if step.probe != Probe::EmbedRaw && step.probe.weight(self.config).is_some() {
                let weight = self.weight(step.probe)?;
                match weight.shape(self.config).len() {
                    1 => reads.push(Read { weight, rows: None }),
                    _ => reads.extend(self.chunks(weight).map(|rows| Read { weight, rows: Some(rows) })),
                }
            }
        }
        Ok(reads)
    }

    fn check_sizes(&self, steps: &[Step], tokens: usize) -> Result<(), ModelError> {
        let limit = self.max_tensor_bytes.unwrap_or(usize::MAX);
        let check = |probe: Probe, parts: Option<&Parts>| {
            let elements = probe.shape(self.config, tokens).into_iter().fold(1, usize::saturating_mul);
            let whole = elements.saturating_mul(self.precision.device.size());
            let bytes = parts.map_or(whole, |parts| parts.share(whole));
            if bytes <= limit { Ok(()) } else { Err(ModelError::TooLarge { probe, bytes, tokens, limit }) }
        };
        for step in steps {
            let parts = step.parts.as_ref();
            parts.iter().flat_map(|parts| &parts.steps).try_for_each(|inner| check(inner.probe, parts))?;
            check(step.probe, None)?;
        }
        Ok(())
    }

    fn evaluate(&self, step: &Step, values: &Values<B>, positions: &[usize]) -> Result<Value<B>, ModelError> {
        let inputs = step
            .inputs
            .iter()
            .map(|input| values.get(input).ok_or(ModelError::Missing { probe: step.probe, missing: *input }));
        let x = Inputs { probe: step.probe, values: inputs.collect::<Result<_, _>>()? };
        let ops = self.operations(step.probe)?;
        Ok(match step.probe {
            // Never planned: `plan` starts from given ids.
            Probe::TokenIds => return Err(ModelError::Missing { probe: step.probe, missing: step.probe }),
            Probe::EmbedRaw => self.embed(x.ids(0)?)?.into(),
            Probe::EmbedScaled => (ops.embed_scale)(x.two(0)?, ops.constants.embed_scale, &self.precision).into(),
            Probe::Layer(layer, stage) => layer::stage(self, layer, stage, &x, positions)?,
            Probe::Norm => self.norm(step.probe, &x)?.into(),
            Probe::LogitsRaw => self.project(step.probe, x.two(0)?)?.into(),
            Probe::Logits => match ops.constants.final_softcap {
                Some(cap) => (ops.softcap_logits)(x.two(0)?, cap, &self.precision).into(),
                None => x.two(0)?.into(),
            },
        })
    }

    /// The operations at `probe`.
    ///
    /// # Errors
    /// The model has no such probe.
    pub fn operations(&self, probe: Probe) -> Result<&Operations<B>, ModelError> {
        self.table.at(probe).ok_or(ModelError::NoSuchProbe(probe, self.config.num_hidden_layers))
    }

    /// Rows `ids` of the embedding table → [T, D].
    fn embed(&self, ids: &[usize]) -> Result<Tensor<B, 2>, ModelError> {
        let vocab_size = self.config.vocab_size;
        if let Some((position, id)) = ids.iter().enumerate().find(|(_, id)| **id >= vocab_size) {
            return Err(ModelError::TokenId { id: *id, position, vocab_size });
        }
        self.weights.gather(self.weight(Probe::EmbedRaw)?, ids).map_err(ModelError::Weight)
    }

    /// RMSNorm at `probe` of its input, with its weight. Gemma 2 gives a norm one input; a wiring that gives it
    /// two norms their sum.
    pub(crate) fn norm(&self, probe: Probe, x: &Inputs<'_, B>) -> Result<Tensor<B, 2>, ModelError> {
        let ops = self.operations(probe)?;
        let weight = self.weights.vector(self.weight(probe)?).map_err(ModelError::Weight)?;
        Ok((ops.rms_norm)(self.sum(probe, x)?, weight, ops.constants.rms_norm_eps, &self.precision))
    }

    /// The sum of a stage's inputs: for a residual join, the stream and the branch.
    pub(crate) fn sum(&self, probe: Probe, x: &Inputs<'_, B>) -> Result<Tensor<B, 2>, ModelError> {
        let wrong = ModelError::Input { probe, index: 0, expected: "a [T, width] tensor" };
        ops::residual::add(x.all_two()?, &self.precision).ok_or(wrong)
    }

    /// `x` [T, in] through the projection of `probe` → [T, out], in row chunks where the matrix is larger than a
    /// tensor may be. Each output column depends on one row of the matrix, so chunking changes no sum.
    pub(crate) fn project(&self, probe: Probe, x: Tensor<B, 2>) -> Result<Tensor<B, 2>, ModelError> {
        let ops = self.operations(probe)?;
        let weight = self.weight(probe)?;
        let mut parts = Vec::new();
        for rows in self.chunks(weight) {
            let matrix = self.weights.rows(weight, rows).map_err(ModelError::Weight)?;
            parts.push((ops.linear)(x.clone(), matrix, &self.precision));
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 1) })
    }

    /// The row chunks in which a matrix is asked for.
    fn chunks(&self, weight: Weight) -> impl Iterator<Item = Range<usize>> {
        let (rows, columns) = match weight.shape(self.config).as_slice() {
            [rows, columns] => (*rows, *columns),
            _ => (0, 1),
        };
        let chunk_bytes = CHUNK_BYTES.min(self.max_tensor_bytes.unwrap_or(usize::MAX));
        let chunk = (chunk_bytes / (columns * self.precision.device.size()).max(1)).clamp(1, rows.max(1));
        (0..rows).step_by(chunk).map(move |start| start..rows.min(start + chunk))
    }

    /// Cosines and sines [T, 1, H/2] of `positions`, stored.
    pub fn rotations(&self, ops: &Operations<B>, positions: &[usize]) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let head_dim = self.config.head_dim;
        let tables = (ops.rotations)(positions, head_dim, ops.constants.rope_theta, self.precision.wide());
        let upload = |values: Vec<f64>| {
            // Rounded on the host: no f64 reaches a device that cannot hold it.
            let dtype = burn_dtype(self.precision.device);
            let values = values.into_iter().map(|v| self.precision.round(v)).collect();
            let data = TensorData::new::<f64, _>(values, [positions.len(), 1, head_dim / 2]);
            Tensor::from_data(data.convert_dtype(dtype), (&self.device, dtype))
        };
        (upload(tables.cos), upload(tables.sin))
    }

    fn weight(&self, probe: Probe) -> Result<Weight, ModelError> {
        let own = probe.weight(self.config).ok_or(ModelError::NoSuchProbe(probe, self.config.num_hidden_layers))?;
        Ok((self.operations(probe)?.weight)(own, self.config))
    }
}
