//! Mistakes of how branches join the residual.

use burn::tensor::backend::Backend;
use loupe_model::Operations;
use loupe_spec::{Config, Kind, LayerWeight, Probe, Stage, Weight};

use crate::{Formula, Mistake, MistakeKind, Plant, in_stages, is_post_norm, right};

/// Attention, MLP or head reads the residual without the norm before it.
pub(crate) struct PreNormMissing;

impl Plant for PreNormMissing {
    const ABOUT: Mistake = Mistake {
        id: "pre_norm_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Attention, MLP or head reads the residual without the norm before it.",
        seen_in: "speculators #313 (before the head)",
        formula: Formula { right: "branch = f(pre_norm(residual))", wrong: "branch = f(residual)" },
        right: right!("crates/spec/src/gemma2.rs", "let h = g.rms_norm(\"input_layernorm\", x, c.rms_norm_eps);"),
        hidden_when: "never",
        at: |probe| probe.kind() == Kind::RmsNorm && !is_post_norm(probe),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rms_norm = |x, _weight, _eps, _p| x;
    }
}

/// The output of attention or MLP joins the residual without its norm.
pub(crate) struct PostNormMissing;

impl Plant for PostNormMissing {
    const ABOUT: Mistake = Mistake {
        id: "post_norm_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The output of attention or MLP joins the residual without its norm.",
        seen_in: "flax #4567",
        formula: Formula { right: "residual = residual + post_norm(branch)", wrong: "residual = residual + branch" },
        right: right!(
            "crates/spec/src/gemma2.rs",
            "let h = g.rms_norm(\"post_attention_layernorm\", h, c.rms_norm_eps);"
        ),
        hidden_when: "never",
        at: is_post_norm,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rms_norm = |x, _weight, _eps, _p| x;
    }
}

/// The weights of post_attention_layernorm and pre_feedforward_layernorm are swapped.
pub(crate) struct NormsSwapped;

impl Plant for NormsSwapped {
    const ABOUT: Mistake = Mistake {
        id: "norms_swapped",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The weights of post_attention_layernorm and pre_feedforward_layernorm are swapped.",
        seen_in: "Megatron-Bridge #4201",
        formula: Formula {
            right: "attn = post_attention_layernorm(attn); x = pre_feedforward_layernorm(residual)",
            wrong: "attn = pre_feedforward_layernorm(attn); x = post_attention_layernorm(residual)",
        },
        right: right!(
            "crates/spec/src/gemma2.rs",
            "let h = g.rms_norm(\"post_attention_layernorm\", h, c.rms_norm_eps);"
        ),
        hidden_when: "both tensors are equal",
        at: |probe| in_stages(probe, &[Stage::PostAttentionLayernorm, Stage::PreFeedforwardLayernorm]),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.weight = |weight, _config| match weight {
            Weight::Layer(l, LayerWeight::PostAttentionLayernorm) => {
                Weight::Layer(l, LayerWeight::PreFeedforwardLayernorm)
            }
            Weight::Layer(l, LayerWeight::PreFeedforwardLayernorm) => {
                Weight::Layer(l, LayerWeight::PostAttentionLayernorm)
            }
            other => other,
        };
    }
}

/// The norm is applied to the sum of residual and branch, not to the branch.
pub(crate) struct PostNormAfterResidual;

impl Plant for PostNormAfterResidual {
    const ABOUT: Mistake = Mistake {
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
        at: |probe| is_post_norm(probe) || in_stages(probe, &[Stage::ResidualAttn, Stage::Output]),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.inputs = |probe, graph| match probe {
            Probe::Layer(l, Stage::PostAttentionLayernorm) => {
                vec![Probe::Layer(l, Stage::Input), Probe::Layer(l, Stage::OProj)]
            }
            Probe::Layer(l, Stage::ResidualAttn) => vec![Probe::Layer(l, Stage::PostAttentionLayernorm)],
            Probe::Layer(l, Stage::PostFeedforwardLayernorm) => {
                vec![Probe::Layer(l, Stage::ResidualAttn), Probe::Layer(l, Stage::DownProj)]
            }
            Probe::Layer(l, Stage::Output) => vec![Probe::Layer(l, Stage::PostFeedforwardLayernorm)],
            other => graph.inputs(other).to_vec(),
        };
    }
}
