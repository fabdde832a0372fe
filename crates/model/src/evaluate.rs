//! What each operation of the graph computes, on any backend: a line an operation, which calls its formula in [`crate::ops`].
//!
//! This is all that runs the model: a forward pass, a replay of some stages and a computation in parts are the same steps,
//! evaluated one after the other by [`Model::evaluate`].

use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use loupe_spec::{Node, Op};
use loupe_tensor::Tensor;
use rayon::prelude::*;

use crate::model::Run;
use crate::plan::Step;
use crate::value::{Inputs, Value};
use crate::weights::{Reads, next};
use crate::{Model, ModelError, Operations, Precision, burn_dtype};

/// A value from its inputs, in one run's precision.
type Compute<'a, B> = dyn Fn(Inputs<'_, B>, &Precision<B>) -> Result<Value<B>, ModelError> + Sync + 'a;

impl<B: Backend> Model<'_, B> {
    /// The value of `step` in each of `runs`, side by side. Its tensor comes from `reads`, once for all of them.
    pub(crate) fn evaluate(
        &self,
        step: &Step,
        runs: &[Run<B>],
        positions: &[usize],
        reads: &mut Reads<'_, B>,
    ) -> Result<Vec<Value<B>>, ModelError> {
        let node = &step.node;
        let ops = self.operations(node.probe)?;
        let each = |f: &Compute<'_, B>| side_by_side(runs, |run| f(run.inputs(node)?, &run.precision));
        match node.op {
            // Never planned: a run starts from ids that are given.
            Op::TokenIds => Err(ModelError::Missing { probe: node.probe, missing: node.probe }),
            Op::Embed => each(&|x, _| Ok(self.embed(node, x.ids(0)?)?.into())),
            Op::Scale(by) => each(&|x, p| Ok((ops.embed_scale)(x.two(0)?, by, p).into())),
            Op::RmsNorm { eps } => {
                let weight: Tensor<B, 1> = next(reads)?;
                each(&|x, p| Ok((ops.rms_norm)(x.sum(p)?, weight.clone(), eps, p).into()))
            }
            Op::Linear => self.linear(step, ops, runs, reads),
            Op::Rope { theta } => each(&|x, p| {
                let (cos, sin) = self.rotations(ops, positions, theta, p);
                Ok((ops.rotate)(x.three(0)?, cos, sin, p).into())
            }),
            Op::Scores { scale } => each(&|x, p| {
                let (q, k) = (x.three(0)?, x.three(1)?);
                // N / K, counted in the values: of one head there is one group.
                let groups = q.dims()[1] / k.dims()[1];
                Ok((ops.scores)(q, (ops.repeat_kv)(k, groups), scale, p).into())
            }),
            Op::Softcap { cap: None } | Op::Same => each(&|x, _| x.any(0)),
            Op::Softcap { cap: Some(cap) } => each(&|x, p| {
                Ok(x.any(0)?.map(|x| (ops.softcap_logits)(x, cap, p), |x| (ops.softcap_scores)(x, cap, p)))
            }),
            Op::Mask { window } => each(&|_, _| Ok(Value::Mask((ops.mask)(positions, window)))),
            Op::Softmax => {
                each(&|x, p| Ok((ops.softmax)(x.three(0)?, x.mask(1)?, ops.constants.attn_softcap, p).into()))
            }
            Op::Context => each(&|x, p| {
                let (probs, v) = (x.three(0)?, x.three(1)?);
                let groups = probs.dims()[0] / v.dims()[1];
                Ok((ops.context)(probs, (ops.repeat_kv)(v, groups), p).into())
            }),
            Op::Gelu => each(&|x, p| Ok((ops.activation)(x.two(0)?, p).into())),
            Op::Multiply => each(&|x, p| Ok((ops.multiply)(x.two(0)?, x.two(1)?, p).into())),
            Op::Add => each(&|x, p| Ok(x.sum(p)?.into())),
        }
    }

    /// Rows `ids` of the embedding table → [T, D].
    fn embed(&self, node: &Node, ids: &[usize]) -> Result<Tensor<B, 2>, ModelError> {
        let vocab_size = self.graph.config().vocab_size;
        if let Some((position, id)) = ids.iter().enumerate().find(|(_, id)| **id >= vocab_size) {
            return Err(ModelError::TokenId { id: *id, position, vocab_size });
        }
        self.weights.gather(self.weight(node)?, ids).map_err(ModelError::Weight)
    }

    /// The input [T, in] of a projection through its [out, in], which comes in row chunks, each read once for all runs. An
    /// output column depends on one row, so chunks change no sum.
    fn linear(
        &self,
        step: &Step,
        ops: &Operations<B>,
        runs: &[Run<B>],
        reads: &mut Reads<'_, B>,
    ) -> Result<Vec<Value<B>>, ModelError> {
        let with_input = |run: &Run<B>| Ok((run.precision.clone(), run.inputs(&step.node)?.flat(0)?));
        let sides = side_by_side(runs, with_input)?;
        let mut chunks: Vec<Vec<Tensor<B, 2>>> = vec![Vec::new(); runs.len()];
        for read in &step.reads {
            let matrix: Tensor<B, 2> = next(reads)?;
            let multiply = |(p, x): &(Precision<B>, Tensor<B, 2>)| Ok((ops.linear)(x.clone(), matrix.clone(), read, p));
            for (chunks, product) in chunks.iter_mut().zip(side_by_side(&sides, multiply)?) {
                chunks.push(product);
            }
        }
        let whole = |mut chunks: Vec<Tensor<B, 2>>| {
            let product = if chunks.len() == 1 { chunks.remove(0) } else { Tensor::cat(chunks, 1) };
            let [t, out] = product.dims();
            match step.node.shape.as_slice() {
                [_, heads, _] => {
                    let heads = heads.len(self.graph.config(), t);
                    product.reshape([t, heads, out / heads]).into()
                }
                // One chunk is a transposed view, several are laid out anew. Over a view ndarray sums in another order, so
                // it is laid out, too: to one axis and back.
                _ => product.reshape([t * out]).reshape([t, out]).into(),
            }
        };
        Ok(chunks.into_iter().map(whole).collect())
    }

    /// Cosines and sines [T, 1, H/2] of `positions`, stored.
    fn rotations(
        &self,
        ops: &Operations<B>,
        positions: &[usize],
        theta: f64,
        p: &Precision<B>,
    ) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let head_dim = self.graph.config().head_dim;
        let tables = (ops.rotations)(positions, head_dim, theta, p.wide());
        let upload = |values: Vec<f64>| {
            // Rounded on the host: no f64 reaches a device that cannot hold it.
            let dtype = burn_dtype(p.device);
            let values = values.into_iter().map(|v| p.round(v)).collect();
            let data = TensorData::new::<f64, _>(values, [positions.len(), 1, head_dim / 2]);
            Tensor::from_data(data, &self.device, dtype)
        };
        (upload(tables.cos), upload(tables.sin))
    }
}

/// `f` of each of `items`: in this thread where there is one, over the processor's cores where there are more.
pub(crate) fn side_by_side<T: Sync, U: Send>(
    items: &[T],
    f: impl Fn(&T) -> Result<U, ModelError> + Sync + Send,
) -> Result<Vec<U>, ModelError> {
    match items {
        [only] => Ok(vec![f(only)?]),
        many => many.par_iter().map(f).collect(),
    }
}
