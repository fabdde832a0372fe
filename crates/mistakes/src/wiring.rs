//! Mistakes of how branches join the residual.

use burn::tensor::backend::Backend;
use loupe_model::ops::residual;
use loupe_model::{Call, Computed, Right};
use loupe_spec::{Change, Config, Formula, Kind, Mistake, MistakeKind, Node, Op, Probe};

use crate::cite::right;
use crate::lookup::exchange;

/// Whether `probe` is one of the two norms between a branch and the residual.
fn is_post_norm(probe: Probe) -> bool {
    matches!(probe.path(), "post_attention_layernorm" | "post_feedforward_layernorm")
}

pub(crate) const PRE_NORM_MISSING: Mistake = Mistake {
    id: "pre_norm_missing",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "Attention, MLP or head reads the residual without the norm before it.",
    seen_in: "speculators #313 (before the head)",
    formula: Formula { right: "branch = f(pre_norm(residual))", wrong: "branch = f(residual)" },
    right: right!("crates/spec/src/gemma2.rs", "let h = g.rms_norm(\"input_layernorm\", x, c.rms_norm_eps);"),
    hidden_when: "never",
    at: |probe| probe.kind() == Kind::RmsNorm && !is_post_norm(probe),
    changes: &[Change::Node(|node, _| (node.op, node.weight) = (Op::Same, None))],
};

pub(crate) const POST_NORM_MISSING: Mistake = Mistake {
    id: "post_norm_missing",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The output of attention or MLP joins the residual without its norm.",
    seen_in: "flax #4567",
    formula: Formula { right: "residual = residual + post_norm(branch)", wrong: "residual = residual + branch" },
    right: right!("crates/spec/src/gemma2.rs", "let h = g.rms_norm(\"post_attention_layernorm\", h, c.rms_norm_eps);"),
    hidden_when: "never",
    at: is_post_norm,
    changes: &[Change::Node(|node, _| (node.op, node.weight) = (Op::Same, None))],
};

pub(crate) const NORMS_SWAPPED: Mistake = Mistake {
    id: "norms_swapped",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The weights of post_attention_layernorm and pre_feedforward_layernorm are swapped.",
    seen_in: "Megatron-Bridge #4201",
    formula: Formula {
        right: "attn = post_attention_layernorm(attn); x = pre_feedforward_layernorm(residual)",
        wrong: "attn = pre_feedforward_layernorm(attn); x = post_attention_layernorm(residual)",
    },
    right: right!("crates/spec/src/gemma2.rs", "let h = g.rms_norm(\"post_attention_layernorm\", h, c.rms_norm_eps);"),
    hidden_when: "both tensors are equal",
    at: |probe| matches!(probe.path(), "post_attention_layernorm" | "pre_feedforward_layernorm"),
    changes: &[Change::Node(|node, _| {
        exchange(node, "post_attention_layernorm", "pre_feedforward_layernorm");
    })],
};

pub(crate) const POST_NORM_AFTER_RESIDUAL: Mistake = Mistake {
    id: "post_norm_after_residual",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The norm is applied to the sum of residual and branch, not to the branch.",
    seen_in: "no public port known; likely in ports that share a block with another family",
    formula: Formula {
        right: "residual = residual + post_norm(branch)",
        wrong: "residual = post_norm(residual + branch)",
    },
    right: right!("crates/spec/src/gemma2.rs", "let x = g.add(\"residual_attn\", x, h);"),
    hidden_when: "never",
    at: |probe| is_post_norm(probe) || probe.kind() == Kind::Add,
    changes: &[Change::Node(norm_the_sum)],
};

fn norm_the_sum(node: &mut Node, _config: &Config) {
    // What was the sum has one input left.
    if Kind::from(node.op) == Kind::Add {
        node.op = Op::Same;
    }
    node.set_inputs(match node.probe.path() {
        "post_attention_layernorm" => &["input", "self_attn.o_proj"],
        "residual_attn" => &["post_attention_layernorm"],
        "post_feedforward_layernorm" => &["residual_attn", "mlp.down_proj"],
        _ => &["post_feedforward_layernorm"],
    });
}

pub(crate) fn post_norm_after_residual<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    if call.x.len() < 2 {
        return right(call);
    }
    let sum = residual::add(call.two(0)?, call.two(1)?, call.p);
    right(&call.with_inputs(vec![sum.into()]))
}
