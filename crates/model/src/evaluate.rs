//! What each operation of the graph computes, on any backend: a line an operation, which calls its formula in [`crate::ops`].
//!
//! This is all that runs the model: a forward pass, a replay of some stages and a computation in parts are the same steps,
//! evaluated one after the other.

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use loupe_spec::{Node, Op};
use loupe_tensor::Tensor;
use rayon::prelude::*;

use crate::call::{Call, Computed, Wrong};
use crate::model::Run;
use crate::ops::mask::Mask;
use crate::ops::{attention, embed, gelu, linear, norm, residual, rope, softcap, softmax};
use crate::step::Step;
use crate::value::Value;
use crate::weights::{Reads, next};
use crate::{Model, ModelError, Read};

impl<B: Backend> Model<'_, B> {
    /// What the operation of `call` comes to, by the right formula.
    fn right(&self, call: &Call<'_, B>) -> Computed<B> {
        let (node, p) = (call.node, call.p);
        Ok(match node.op {
            // Never planned: a run starts from ids that are given.
            Op::TokenIds => return Err(ModelError::Missing { probe: node.probe, missing: node.probe }),
            Op::Embed => self.embed(node, call.ids(0)?)?.into(),
            Op::Scale(by) => embed::scale(call.two(0)?, by, p).into(),
            Op::RmsNorm { eps } => norm::rms_norm(call.two(0)?, call.weight()?, eps, p).into(),
            Op::Linear => linear::linear(call.flat(0)?, call.weight()?, p).into(),
            Op::Rope { theta } => {
                let tables = rope::rotations(call.positions, self.graph.config().head_dim, theta, p.compute_dtype());
                let [cos, sin] = call.rotations(tables);
                rope::rotate_halves(call.three(0)?, cos, sin, p).into()
            }
            Op::Scores { scale } => {
                let (q, k) = (call.three(0)?, call.three(1)?);
                // N / K, counted in the values: of one head there is one group.
                let groups = q.dims()[1] / k.dims()[1];
                attention::scores(q, attention::repeat_kv(k, groups), scale, p).into()
            }
            Op::Softcap { cap: Some(cap) } => {
                call.any(0)?.map(|x| softcap::softcap(x, cap, p), |x| softcap::softcap(x, cap, p))
            }
            Op::Mask { window } => Value::Mask(Mask::causal(call.positions, window)),
            Op::Softmax => softmax::masked_softmax(call.three(0)?, call.mask(1)?, p).into(),
            Op::Context => {
                let (probs, v) = (call.three(0)?, call.three(1)?);
                let groups = probs.dims()[0] / v.dims()[1];
                attention::context(probs, attention::repeat_kv(v, groups), p).into()
            }
            Op::Gelu => gelu::gelu_tanh(call.two(0)?, p).into(),
            Op::Multiply => residual::multiply(call.two(0)?, call.two(1)?, p).into(),
            Op::Add => residual::add(call.two(0)?, call.two(1)?, p).into(),
            Op::Same | Op::Softcap { cap: None } => call.any(0)?,
        })
    }

    /// What `call` comes to by the first of `formulas`, which may call the next, and the last of them the right one.
    fn by(&self, formulas: &[Wrong<B>], call: &Call<'_, B>) -> Computed<B> {
        match formulas.split_first() {
            None => self.right(call),
            Some((Wrong::Instead(formula), _)) => formula(call),
            Some((Wrong::Around(formula) | Wrong::Whole(formula), rest)) => formula(call, &|call| self.by(rest, call)),
        }
    }

    /// The value of `step` in each of `runs`, side by side, as each keeps it. Its tensor comes from `reads`, once for all of them: a projection's
    /// in row chunks, each of which gives some columns of the product.
    pub(crate) fn evaluate(
        &self,
        step: &Step,
        runs: &[Run<B>],
        positions: &[usize],
        reads: &mut Reads<'_, B>,
    ) -> Result<Vec<Value<B>>, ModelError> {
        let node = &step.node;
        let formulas = self.formulas_at(node.probe);
        let each = |weight: Option<FloatTensor<B>>, read: Option<&Read>| {
            side_by_side(runs, |run| {
                let (x, weight, p) = (run.inputs(node)?, weight.clone(), &run.numerics.at(node.probe));
                let (graph, device) = (self.graph, &self.device);
                self.by(formulas, &Call { node, x, weight, read, positions, p, graph, device })
            })
        };
        let values = match step.reads.as_slice() {
            [] => each(None, None)?,
            many => {
                let mut of_runs: Vec<Vec<Value<B>>> = vec![Vec::new(); runs.len()];
                for read in many {
                    let parts = each(Some(next::<B>(reads)?), Some(read))?;
                    of_runs.iter_mut().zip(parts).for_each(|(own, part)| own.push(part));
                }
                of_runs.into_iter().map(|parts| self.joined(node, parts)).collect()
            }
        };
        side_by_side(&runs.iter().zip(values).collect::<Vec<_>>(), |(run, value)| {
            let p = run.numerics.at(node.probe);
            Ok(value.clone().map(|x| p.finish(x), |x| p.finish(x)))
        })
    }

    /// The value of `node` from what each of its reads gave: of a projection the columns of the product, laid out in its axes.
    /// An output column depends on one row of the matrix, so chunks change no sum.
    fn joined(&self, node: &Node, mut parts: Vec<Value<B>>) -> Value<B> {
        if node.op != Op::Linear {
            return parts.remove(0);
        }
        let columns = |part| if let Value::Rank2(x) = part { Some(x) } else { None };
        let mut parts: Vec<Tensor<B, 2>> = parts.into_iter().filter_map(columns).collect();
        let product = if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 1) };
        let [t, out] = product.dims();
        match node.shape.as_slice() {
            [_, heads, _] => {
                let heads = heads.len(self.graph.config(), t);
                product.reshape([t, heads, out / heads]).into()
            }
            // One part is a transposed view, several are laid out anew. Over a view ndarray sums in another order, so it is laid
            // out, too: to one axis and back.
            _ => product.reshape([t * out]).reshape([t, out]).into(),
        }
    }

    /// Rows `ids` of the embedding table → [T, D].
    fn embed(&self, node: &Node, ids: &[usize]) -> Result<Tensor<B, 2>, ModelError> {
        let vocab_size = self.graph.config().vocab_size;
        if let Some((position, id)) = ids.iter().enumerate().find(|(_, id)| **id >= vocab_size) {
            return Err(ModelError::TokenId { id: *id, position, vocab_size });
        }
        let table = node.weight.ok_or_else(|| self.no_such(node.probe))?;
        self.weights.gather(table, ids).map_err(ModelError::Weight)
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
