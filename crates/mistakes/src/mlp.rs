//! Mistakes of the MLP.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::backend::Backend;
use loupe_model::{Operations, Precision};
use loupe_spec::{Config, Kind, LayerWeight, Probe, Stage, Weight};
use loupe_tensor::Tensor;

use crate::{Formula, Mistake, MistakeKind, Plant, in_stages, right};

/// GELU in its erf form, where Gemma uses the tanh approximation.
pub(crate) struct GeluErf;

impl Plant for GeluErf {
    const ABOUT: Mistake = Mistake {
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
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.activation = |x, p| {
            p.op(x, |x| {
                let erf = x.clone().mul_scalar(FRAC_1_SQRT_2).erf();
                x.mul_scalar(0.5) * erf.add_scalar(1.0)
            })
        };
    }
}

/// SiLU (x * sigmoid(x)) in the place of GELU.
pub(crate) struct Silu;

impl Plant for Silu {
    const ABOUT: Mistake = Mistake {
        id: "silu",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "SiLU (x * sigmoid(x)) in the place of GELU.",
        seen_in: "TensorRT-Model-Connect #177",
        formula: Formula {
            right: "0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3)))",
            wrong: "x / (1 + exp(-x))",
        },
        right: right!("crates/model/src/ops/gelu.rs", "x.mul_scalar(0.5) * inner.tanh().add_scalar(1.0)"),
        hidden_when: "never",
        at: |probe| probe.kind() == Kind::Gelu,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.activation = silu;
    }
}

fn silu<B: Backend>(x: Tensor<B, 2>, p: &Precision<B>) -> Tensor<B, 2> {
    p.op(x, |x| x.clone() / (-x).exp().add_scalar(1.0))
}

/// The weights of gate_proj and up_proj are swapped.
pub(crate) struct GateUpSwapped;

impl Plant for GateUpSwapped {
    const ABOUT: Mistake = Mistake {
        id: "gate_up_swapped",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The weights of gate_proj and up_proj are swapped.",
        seen_in: "no public port known; likely in ports that fuse the two projections",
        formula: Formula {
            right: "gate = gate_proj(x); up = up_proj(x)",
            wrong: "gate = up_proj(x); up = gate_proj(x)",
        },
        right: right!("crates/spec/src/gemma2.rs", "let gate = g.linear(\"mlp.gate_proj\", h, &[F]);"),
        hidden_when: "both tensors are equal",
        at: |probe| in_stages(probe, &[Stage::GateProj, Stage::UpProj]),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.weight = |weight, _config| match weight {
            Weight::Layer(l, LayerWeight::GateProj) => Weight::Layer(l, LayerWeight::UpProj),
            Weight::Layer(l, LayerWeight::UpProj) => Weight::Layer(l, LayerWeight::GateProj),
            other => other,
        };
    }
}

/// The activation is applied to up_proj and the product taken with gate_proj.
pub(crate) struct GateUpWiring;

impl Plant for GateUpWiring {
    const ABOUT: Mistake = Mistake {
        id: "gate_up_swapped",
        variant: Some("wiring"),
        kind: MistakeKind::Architectural,
        what: "The activation is applied to up_proj and the product taken with gate_proj.",
        seen_in: "no public port known; likely in ports that fuse the two projections",
        formula: Formula { right: "down_proj(gelu(gate) * up)", wrong: "down_proj(gelu(up) * gate)" },
        right: right!("crates/spec/src/gemma2.rs", "let act = g.gelu(\"mlp.act\", gate);"),
        hidden_when: "both tensors are equal",
        at: |probe| matches!(probe.kind(), Kind::Gelu | Kind::Multiply),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.inputs = |probe, graph| match probe {
            Probe::Layer(l, Stage::Act) => vec![Probe::Layer(l, Stage::UpProj)],
            Probe::Layer(l, Stage::Gated) => vec![Probe::Layer(l, Stage::Act), Probe::Layer(l, Stage::GateProj)],
            other => graph.inputs(other).to_vec(),
        };
    }
}
