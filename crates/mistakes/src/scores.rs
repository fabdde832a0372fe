//! Mistakes of scores, caps and shared heads.

use burn::tensor::backend::Backend;
use loupe_model::ops::mask::Mask;
use loupe_model::ops::softmax;
use loupe_model::{Operations, Precision};
use loupe_spec::{Config, Kind, Probe};
use loupe_tensor::Tensor;

use crate::{Formula, Mistake, MistakeKind, Plant, right};

fn is_scores(probe: Probe) -> bool {
    probe.kind() == Kind::Scores
}

fn is_capped(probe: Probe) -> bool {
    probe.kind() == Kind::Softcap && probe.layer().is_some()
}

/// Key/value heads are tiled (k0 k1 k0 k1), where each should be repeated in place (k0 k0 k1 k1).
pub(crate) struct GqaTiled;

impl Plant for GqaTiled {
    const ABOUT: Mistake = Mistake {
        id: "gqa_tiled",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Key/value heads are tiled (k0 k1 k0 k1), where each should be repeated in place (k0 k0 k1 k1).",
        seen_in: "onnx #7274; jax-js #180; burn #5783",
        formula: Formula {
            right: "query head n uses kv head n // (num_attention_heads // num_key_value_heads)",
            wrong: "query head n uses kv head n % num_key_value_heads",
        },
        right: right!(
            "crates/model/src/ops/attention.rs",
            "kv.reshape([s, k, 1, h]).repeat_dim(2, groups).reshape([s, k * groups, h])"
        ),
        hidden_when: "there is one key/value head, or as many as query heads",
        at: |probe| matches!(probe.kind(), Kind::Scores | Kind::Context),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.repeat_kv = |kv, groups| kv.repeat_dim(1, groups);
    }
}

/// Scores are scaled by head_dim^-0.5, where query_pre_attn_scalar^-0.5 is right.
pub(crate) struct ScaleHeadDim;

impl Plant for ScaleHeadDim {
    const ABOUT: Mistake = Mistake {
        id: "scale_head_dim",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Scores are scaled by head_dim^-0.5, where query_pre_attn_scalar^-0.5 is right.",
        seen_in: "transformers #31891; llama.cpp #8444; keras-hub #1701",
        formula: Formula {
            right: "scores = dot(q, k) * query_pre_attn_scalar^-0.5",
            wrong: "scores = dot(q, k) * head_dim^-0.5",
        },
        right: right!(
            "crates/spec/src/gemma2.rs",
            "let s = g.scores(\"self_attn.scores\", q, k, c.query_pre_attn_scalar.powf(-0.5));"
        ),
        hidden_when: "both are equal, as in 2B and 9B (256); 27B has 128 and 144",
        at: is_scores,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, config: &Config) {
        operations.constants.attn_scale = (config.head_dim as f64).powf(-0.5);
    }
}

/// Scores are scaled by (hidden_size / heads)^-0.5, where query_pre_attn_scalar^-0.5 is right.
pub(crate) struct ScaleHiddenPerHead;

impl Plant for ScaleHiddenPerHead {
    const ABOUT: Mistake = Mistake {
        id: "scale_hidden_per_head",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Scores are scaled by (hidden_size / heads)^-0.5, where query_pre_attn_scalar^-0.5 is right.",
        seen_in: "gemma_pytorch 03e6575",
        formula: Formula {
            right: "scores = dot(q, k) * query_pre_attn_scalar^-0.5",
            wrong: "scores = dot(q, k) * (hidden_size / num_attention_heads)^-0.5",
        },
        right: right!(
            "crates/spec/src/gemma2.rs",
            "let s = g.scores(\"self_attn.scores\", q, k, c.query_pre_attn_scalar.powf(-0.5));"
        ),
        hidden_when: "both are equal, as in 27B (144)",
        at: is_scores,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, config: &Config) {
        let per_head = config.hidden_size as f64 / config.num_attention_heads as f64;
        operations.constants.attn_scale = per_head.powf(-0.5);
    }
}

/// Scores are not scaled.
pub(crate) struct ScaleMissing;

impl Plant for ScaleMissing {
    const ABOUT: Mistake = Mistake {
        id: "scale_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Scores are not scaled.",
        seen_in: "mlx-swift-examples #99",
        formula: Formula { right: "scores = dot(q, k) * query_pre_attn_scalar^-0.5", wrong: "scores = dot(q, k)" },
        right: right!("crates/model/src/ops/attention.rs", "p.op(p.matmul(q, k), |x| x.mul_scalar(scale))"),
        hidden_when: "query_pre_attn_scalar is 1",
        at: is_scores,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.attn_scale = 1.0;
    }
}

/// Scores are scaled twice.
pub(crate) struct ScaleTwice;

impl Plant for ScaleTwice {
    const ABOUT: Mistake = Mistake {
        id: "scale_twice",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Scores are scaled twice.",
        seen_in: "mlx-swift-examples #99",
        formula: Formula {
            right: "scores = dot(q, k) * query_pre_attn_scalar^-0.5",
            wrong: "scores = dot(q, k) * query_pre_attn_scalar^-0.5 * query_pre_attn_scalar^-0.5",
        },
        right: right!("crates/model/src/ops/attention.rs", "p.op(p.matmul(q, k), |x| x.mul_scalar(scale))"),
        hidden_when: "query_pre_attn_scalar is 1",
        at: is_scores,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.attn_scale *= operations.constants.attn_scale;
    }
}

/// Scores are not capped.
pub(crate) struct SoftcapMissing;

impl Plant for SoftcapMissing {
    const ABOUT: Mistake = Mistake {
        id: "attn_softcap_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Scores are not capped.",
        seen_in: "vllm-metal #665; vLLM #5908; transformers #32848; llama.cpp #8197",
        formula: Formula { right: "scores_capped = cap * tanh(scores / cap)", wrong: "scores_capped = scores" },
        right: right!(
            "crates/spec/src/gemma2.rs",
            "let s = g.softcap(\"self_attn.scores_capped\", s, c.attn_logit_softcapping);"
        ),
        hidden_when: "every |score| is far below the cap",
        at: is_capped,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.attn_softcap = None;
    }
}

/// Scores are capped at 0.6 of the right cap: 30 (the cap of the logits) for 50.
pub(crate) struct SoftcapConstant;

impl Plant for SoftcapConstant {
    const ABOUT: Mistake = Mistake {
        id: "softcap_constant",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Scores are capped at 0.6 of the right cap: 30 (the cap of the logits) for 50.",
        seen_in: "vLLM #6051",
        formula: Formula {
            right: "scores_capped = cap * tanh(scores / cap)",
            wrong: "scores_capped = 0.6*cap * tanh(scores / (0.6*cap))",
        },
        right: right!(
            "crates/spec/src/gemma2.rs",
            "let s = g.softcap(\"self_attn.scores_capped\", s, c.attn_logit_softcapping);"
        ),
        hidden_when: "every |score| is far below both caps",
        at: is_capped,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.attn_softcap = operations.constants.attn_softcap.map(|cap| cap * 0.6);
    }
}

/// Scores are capped by scores * tanh(scores / cap).
pub(crate) struct SoftcapFormula;

impl Plant for SoftcapFormula {
    const ABOUT: Mistake = Mistake {
        id: "softcap_formula",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Scores are capped by scores * tanh(scores / cap).",
        seen_in: "onnxruntime #21683; unsloth-zoo #593",
        formula: Formula {
            right: "scores_capped = cap * tanh(scores / cap)",
            wrong: "scores_capped = scores * tanh(scores / cap)",
        },
        right: right!("crates/model/src/ops/softcap.rs", "p.op(x, |x| x.mul_scalar(cap))"),
        hidden_when: "the checkpoint has no cap",
        at: is_capped,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.softcap_scores = |x, cap, p| {
            let capped = p.op(p.op(x.clone(), |x| x.div_scalar(cap)), |x| x.tanh());
            p.store(x * capped)
        };
    }
}

/// Scores are capped by cap * tanh(scores * cap).
pub(crate) struct SoftcapProduct;

impl Plant for SoftcapProduct {
    const ABOUT: Mistake = Mistake {
        id: "softcap_formula",
        variant: Some("product"),
        kind: MistakeKind::Architectural,
        what: "Scores are capped by cap * tanh(scores * cap).",
        seen_in: "onnxruntime #21683; unsloth-zoo #593",
        formula: Formula {
            right: "scores_capped = cap * tanh(scores / cap)",
            wrong: "scores_capped = cap * tanh(scores * cap)",
        },
        right: right!("crates/model/src/ops/softcap.rs", "let x = p.op(x, |x| x.div_scalar(cap));"),
        hidden_when: "the checkpoint has no cap",
        at: is_capped,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.softcap_scores = |x, cap, p| {
            let squashed = p.op(p.op(x, |x| x.mul_scalar(cap)), |x| x.tanh());
            p.op(squashed, |x| x.mul_scalar(cap))
        };
    }
}

/// The mask is added before the cap, so masked scores become -cap and the future leaks.
pub(crate) struct SoftcapAfterMask;

impl Plant for SoftcapAfterMask {
    const ABOUT: Mistake = Mistake {
        id: "softcap_after_mask",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The mask is added before the cap, so masked scores become -cap and the future leaks.",
        seen_in: "onnx #7865; lmdeploy #2842",
        formula: Formula {
            right: "probs = softmax(cap * tanh(scores / cap) + mask)",
            wrong: "probs = softmax(cap * tanh((scores + mask) / cap))",
        },
        right: right!("crates/model/src/ops/softmax.rs", "softmax_with(capped, mask, f64::from(f32::MIN), p)"),
        hidden_when: "probs are not recorded: with a cap of 50 what leaks is e^-50 and less, and the exact zeros alone show it",
        at: |probe| probe.kind() == Kind::Softmax,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.softmax = capped_after_mask;
    }
}

/// Softmax with -cap in the place of every hidden score.
fn capped_after_mask<B: Backend>(x: Tensor<B, 3>, mask: &Mask, cap: Option<f64>, p: &Precision<B>) -> Tensor<B, 3> {
    let Some(cap) = cap else { return softmax::masked_softmax(x, mask, None, p) };
    let device = x.device();
    let hidden = mask.bias::<B>(1.0, x.dtype(), &device);
    let leaking = x * ((-hidden.clone()).add_scalar(1.0)) + hidden.mul_scalar(-cap);
    softmax::softmax_with(leaking, mask, 0.0, p)
}

/// Logits are not capped.
pub(crate) struct FinalSoftcapMissing;

impl Plant for FinalSoftcapMissing {
    const ABOUT: Mistake = Mistake {
        id: "final_softcap_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Logits are not capped.",
        seen_in: "keras-hub #1712; vLLM #52173",
        formula: Formula { right: "logits = cap * tanh(logits.raw / cap)", wrong: "logits = logits.raw" },
        right: right!("crates/spec/src/gemma2.rs", "g.softcap(\"logits\", raw, c.final_logit_softcapping);"),
        hidden_when: "only the argmax is compared: the cap keeps the order",
        at: |probe| probe == Probe::Logits,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.final_softcap = None;
    }
}
