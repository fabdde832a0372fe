//! One decoder layer, top to bottom: what each stage computes from its inputs.
//!
//! transformers `Gemma2DecoderLayer.forward`, `Gemma2Attention.forward` and `Gemma2MLP.forward`, unrolled. The inputs
//! of a stage stand in [`gemma2`](loupe_spec::gemma2()), its tensor too; `x.two(0)` is the first of them. A projection
//! says what goes through its matrix: [`Due::Product`].

use burn::tensor::backend::Backend;
use loupe_spec::{Probe, Stage};

use crate::value::{Due, Inputs, Value};
use crate::{Model, ModelError, Precision};

/// The value of `stage` in layer `layer`.
///
/// # Errors
/// A tensor that cannot be read, or an input of the wrong kind.
pub fn stage<B: Backend>(
    model: &Model<'_, B>,
    layer: usize,
    stage: Stage,
    x: &Inputs<'_, B>,
    positions: &[usize],
    p: &Precision<B>,
) -> Result<Due<B>, ModelError> {
    let probe = Probe::Layer(layer, stage);
    let config = model.graph.config();
    let ops = model.operations(probe)?;
    let (n, k, h) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
    let t = positions.len();
    Ok(match stage {
        Stage::Input => x.two(0)?.into(),
        Stage::InputLayernorm | Stage::PreFeedforwardLayernorm => model.norm(probe, x, p)?.into(),

        Stage::QProj => Due::Product { x: x.two(0)?, heads: Some(n) },
        Stage::KProj | Stage::VProj => Due::Product { x: x.two(0)?, heads: Some(k) },
        Stage::QRope | Stage::KRope => {
            let (cos, sin) = model.rotations(ops, positions, p);
            (ops.rotate)(x.three(0)?, cos, sin, p).into()
        }
        Stage::Scores => {
            let (queries, keys) = (x.three(0)?, x.three(1)?);
            // N / K, counted in the values: of one head there is one group.
            let groups = queries.dims()[1] / keys.dims()[1];
            (ops.scores)(queries, (ops.repeat_kv)(keys, groups), ops.constants.attn_scale, p).into()
        }
        Stage::ScoresCapped => match ops.constants.attn_softcap {
            Some(cap) => (ops.softcap_scores)(x.three(0)?, cap, p).into(),
            None => x.three(0)?.into(),
        },
        Stage::Mask => Value::Mask((ops.mask)(positions, (ops.window)(config, layer))).into(),
        Stage::Probs => (ops.softmax)(x.three(0)?, x.mask(1)?, ops.constants.attn_softcap, p).into(),
        Stage::Context => {
            let (probs, values) = (x.three(0)?, x.three(1)?);
            let groups = probs.dims()[0] / values.dims()[1];
            (ops.context)(probs, (ops.repeat_kv)(values, groups), p).into()
        }
        Stage::OProj => Due::Product { x: x.three(0)?.reshape([t, n * h]), heads: None },
        Stage::PostAttentionLayernorm | Stage::PostFeedforwardLayernorm => model.norm(probe, x, p)?.into(),
        Stage::ResidualAttn | Stage::Output => model.sum(probe, x, p)?.into(),

        Stage::GateProj | Stage::UpProj => Due::Product { x: x.two(0)?, heads: None },
        Stage::Act => (ops.activation)(x.two(0)?, p).into(),
        Stage::Gated => (ops.multiply)(x.two(0)?, x.two(1)?, p).into(),
        Stage::DownProj => Due::Product { x: x.two(0)?, heads: None },
    })
}
