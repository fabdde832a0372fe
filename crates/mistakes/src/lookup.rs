//! Mistakes of which tensor is read, and how.

use burn::tensor::backend::Backend;
use loupe_model::{Call, Computed, Right};
use loupe_spec::{Change, Formula, Kind, Mistake, MistakeKind, Node, Probe};

use crate::cite::right;

/// The stages that multiply by a matrix of the layer.
pub(crate) fn is_projection(probe: Probe) -> bool {
    probe.kind() == Kind::Linear && probe.layer().is_some()
}

/// Reads each of two tensors of a layer in the place of the other.
pub(crate) fn exchange(node: &mut Node, one: &str, other: &str) {
    node.weight = node.weight.and_then(|own| own.beside(if own.path() == one { other } else { one }));
}

pub(crate) const QKV_ORDER: Mistake = Mistake {
    id: "qkv_order",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The weights of k_proj and v_proj are swapped.",
    seen_in: "no public port known; likely in ports that fuse q, k and v",
    formula: Formula { right: "k = k_proj(x); v = v_proj(x)", wrong: "k = v_proj(x); v = k_proj(x)" },
    right: right!("crates/spec/src/gemma2.rs", "let k = g.linear(\"self_attn.k_proj\", h, &[K, H]);"),
    hidden_when: "both tensors are equal",
    at: |probe| matches!(probe.path(), "self_attn.k_proj" | "self_attn.v_proj"),
    changes: &[Change::Node(|node, _| exchange(node, "self_attn.k_proj", "self_attn.v_proj"))],
};

pub(crate) const LAYER_OFF_BY_ONE: Mistake = Mistake {
    id: "layer_off_by_one",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "Each layer runs with the next layer's weights (the last with the first's).",
    seen_in: "no public port known; likely in ports that count layers from 1",
    formula: Formula { right: "W = weights[layer]", wrong: "W = weights[(layer + 1) % num_hidden_layers]" },
    right: right!("crates/spec/src/gemma2.rs", "x = g.layer(l, |g| decoder_layer(g, c, c.window(l), x));"),
    hidden_when: "the checkpoint has one layer",
    at: |probe| is_projection(probe) || (probe.kind() == Kind::RmsNorm && probe.layer().is_some()),
    changes: &[Change::Node(|node, config| {
        let next = |layer: usize| (layer + 1) % config.num_hidden_layers;
        node.weight = node.weight.map(|own| own.layer().map_or(own, |layer| own.of_layer(next(layer))));
    })],
};

pub(crate) const WEIGHT_TRANSPOSED: Mistake = Mistake {
    id: "weight_transposed",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "A square matrix is read with rows and columns exchanged.",
    seen_in: "no public port known; likely in ports that change layout on loading; a q4k loader that ignores order",
    formula: Formula { right: "y = x @ transpose(W)", wrong: "y = x @ W" },
    right: right!("crates/model/src/ops/linear.rs", "p.project(weight, x.transpose()).transpose()"),
    hidden_when: "the checkpoint has no square projection, as no published Gemma 2 has",
    at: is_projection,
    changes: &[],
};

pub(crate) fn weight_transposed<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let weight = call.weight::<2>()?;
    let [out, inner] = weight.dims();
    if out == inner { right(&call.with_weight(weight.transpose())) } else { right(call) }
}
