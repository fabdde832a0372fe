//! Mistakes of which tensor is read, and how.

use burn::tensor::backend::Backend;
use loupe_model::{Operations, ops};
use loupe_spec::{Config, Kind, LayerWeight, Probe, Stage, Weight};

use crate::{Formula, Mistake, MistakeKind, Plant, in_stages, right};

/// The stages that multiply by a matrix of the layer.
pub(crate) fn is_projection(probe: Probe) -> bool {
    probe.kind() == Kind::Linear && probe.layer().is_some()
}

/// The weights of k_proj and v_proj are swapped.
pub(crate) struct QkvOrder;

impl Plant for QkvOrder {
    const ABOUT: Mistake = Mistake {
        id: "qkv_order",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The weights of k_proj and v_proj are swapped.",
        seen_in: "no public port known; likely in ports that fuse q, k and v",
        formula: Formula { right: "k = k_proj(x); v = v_proj(x)", wrong: "k = v_proj(x); v = k_proj(x)" },
        right: right!("crates/spec/src/gemma2.rs", "let k = g.linear(\"self_attn.k_proj\", h, &[K, H]);"),
        hidden_when: "both tensors are equal",
        at: |probe| in_stages(probe, &[Stage::KProj, Stage::VProj]),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.weight = |weight, _config| match weight {
            Weight::Layer(l, LayerWeight::KProj) => Weight::Layer(l, LayerWeight::VProj),
            Weight::Layer(l, LayerWeight::VProj) => Weight::Layer(l, LayerWeight::KProj),
            other => other,
        };
    }
}

/// Each layer runs with the next layer's weights (the last with the first's).
pub(crate) struct LayerOffByOne;

impl Plant for LayerOffByOne {
    const ABOUT: Mistake = Mistake {
        id: "layer_off_by_one",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Each layer runs with the next layer's weights (the last with the first's).",
        seen_in: "no public port known; likely in ports that count layers from 1",
        formula: Formula { right: "W = weights[layer]", wrong: "W = weights[(layer + 1) % num_hidden_layers]" },
        right: right!("crates/spec/src/gemma2.rs", "x = g.layer(l, |g| decoder_layer(g, c, c.window(l), x));"),
        hidden_when: "the checkpoint has one layer",
        at: |probe| is_projection(probe) || (probe.kind() == Kind::RmsNorm && probe.layer().is_some()),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.weight = |weight, config| match weight {
            Weight::Layer(l, part) => Weight::Layer((l + 1) % config.num_hidden_layers, part),
            other => other,
        };
    }
}

/// A square matrix is read with rows and columns exchanged.
pub(crate) struct WeightTransposed;

impl Plant for WeightTransposed {
    const ABOUT: Mistake = Mistake {
        id: "weight_transposed",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "A square matrix is read with rows and columns exchanged.",
        seen_in: "no public port known; likely in ports that change layout on loading; a q4k loader that ignores order",
        formula: Formula { right: "y = x @ transpose(W)", wrong: "y = x @ W" },
        right: right!("crates/model/src/ops/linear.rs", "p.matmul(weight, x.transpose()).transpose()"),
        hidden_when: "the checkpoint has no square projection, as no published Gemma 2 has",
        at: is_projection,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.whole = |[out, inner]| out == inner;
        operations.linear = |x, weight, chunk, p| {
            let is_square = matches!(chunk.of[..], [out, inner] if out == inner);
            let weight = if is_square { weight.transpose() } else { weight };
            ops::linear::linear(x, weight, p)
        };
    }
}
