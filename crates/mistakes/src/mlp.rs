//! Mistakes of the MLP.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::backend::Backend;
use loupe_model::{Call, Computed};
use loupe_spec::{Change, Config, Formula, Kind, Mistake, MistakeKind, Node};
use loupe_tensor::Tensor;

use crate::cite::right;
use crate::lookup::exchange;

pub(crate) const GELU_ERF: Mistake = Mistake {
    id: "gelu_erf",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "GELU in its erf form, where Gemma uses the tanh approximation.",
    seen_in: "Megatron-Bridge #4661; mlx-examples #1057",
    formula: Formula {
        right: "0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3)))",
        wrong: "0.5 * x * (1 + erf(x / sqrt(2)))",
    },
    right: right!("crates/model/src/ops/gelu.rs", "x.mul_scalar(0.5) * inner.tanh().add_scalar(1.0)"),
    hidden_when: "the dtype is bf16: it is at most 5e-4, which is small beside the rounding of the tensor",
    at: |probe| probe.kind() == Kind::Gelu,
    changes: &[],
};

pub(crate) fn gelu_erf<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    let gelu = |x: Tensor<B, 2>| {
        let erf = x.clone().mul_scalar(FRAC_1_SQRT_2).erf();
        x.mul_scalar(0.5) * erf.add_scalar(1.0)
    };
    Ok(call.p.op(call.two(0)?, gelu).into())
}

pub(crate) const SILU: Mistake = Mistake {
    id: "silu",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "SiLU (x * sigmoid(x)) in the place of GELU.",
    seen_in: "TensorRT-Model-Connect #177",
    formula: Formula { right: "0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3)))", wrong: "x / (1 + exp(-x))" },
    right: right!("crates/model/src/ops/gelu.rs", "x.mul_scalar(0.5) * inner.tanh().add_scalar(1.0)"),
    hidden_when: "never",
    at: |probe| probe.kind() == Kind::Gelu,
    changes: &[],
};

pub(crate) fn silu<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    Ok(call.p.op(call.two(0)?, |x| x.clone() / (-x).exp().add_scalar(1.0)).into())
}

pub(crate) const GATE_UP_SWAPPED: Mistake = Mistake {
    id: "gate_up_swapped",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The weights of gate_proj and up_proj are swapped.",
    seen_in: "no public port known; likely in ports that fuse the two projections",
    formula: Formula { right: "gate = gate_proj(x); up = up_proj(x)", wrong: "gate = up_proj(x); up = gate_proj(x)" },
    right: right!("crates/spec/src/gemma2.rs", "let gate = g.linear(\"mlp.gate_proj\", h, &[F]);"),
    hidden_when: "both tensors are equal",
    at: |probe| matches!(probe.path(), "mlp.gate_proj" | "mlp.up_proj"),
    changes: &[Change::Node(|node, _| exchange(node, "mlp.gate_proj", "mlp.up_proj"))],
};

pub(crate) const GATE_UP_WIRING: Mistake = Mistake {
    id: "gate_up_swapped",
    variant: Some("wiring"),
    kind: MistakeKind::Architectural,
    what: "The activation is applied to up_proj and the product taken with gate_proj.",
    seen_in: "no public port known; likely in ports that fuse the two projections",
    formula: Formula { right: "down_proj(gelu(gate) * up)", wrong: "down_proj(gelu(up) * gate)" },
    right: right!("crates/spec/src/gemma2.rs", "let act = g.gelu(\"mlp.act\", gate);"),
    hidden_when: "both tensors are equal",
    at: |probe| matches!(probe.kind(), Kind::Gelu | Kind::Multiply),
    changes: &[Change::Node(wire_up_before_gate)],
};

fn wire_up_before_gate(node: &mut Node, _config: &Config) {
    node.set_inputs(if node.probe.path() == "mlp.act" { &["mlp.up_proj"] } else { &["mlp.act", "mlp.gate_proj"] });
}
