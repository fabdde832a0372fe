//! Mistakes of scores, caps and shared heads.

use burn::tensor::backend::Backend;
use loupe_model::ops::softmax::softmax_with;
use loupe_model::{Call, Computed, Right};
use loupe_spec::{Change, Formula, Kind, Mistake, MistakeKind, Op, Probe};

use crate::cite::right;

fn is_scores(probe: Probe) -> bool {
    probe.kind() == Kind::Scores
}

fn is_capped(probe: Probe) -> bool {
    probe.kind() == Kind::Softcap && probe.layer().is_some()
}

pub(crate) const GQA_TILED: Mistake = Mistake {
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
    changes: &[],
};

/// Heads that were tiled before are as many as the queries': the right formula repeats none of them.
pub(crate) fn gqa_tiled<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let (x, shared) = (call.three(0)?, call.three(1)?);
    // q is [T, N, H], probabilities are [N, T, S].
    let heads = if Kind::from(call.node.op) == Kind::Scores { x.dims()[1] } else { x.dims()[0] };
    let groups = heads / shared.dims()[1];
    right(&call.with_inputs(vec![x.into(), shared.repeat_dim(1, groups).into()]))
}

pub(crate) const SCALE_HEAD_DIM: Mistake = Mistake {
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
    changes: &[Change::Config(|config, _| config.query_pre_attn_scalar = config.head_dim as f64)],
};

pub(crate) const SCALE_HIDDEN_PER_HEAD: Mistake = Mistake {
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
    changes: &[Change::Config(|config, _| {
        config.query_pre_attn_scalar = config.hidden_size as f64 / config.num_attention_heads as f64;
    })],
};

pub(crate) const SCALE_MISSING: Mistake = Mistake {
    id: "scale_missing",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "Scores are not scaled.",
    seen_in: "mlx-swift-examples #99",
    formula: Formula { right: "scores = dot(q, k) * query_pre_attn_scalar^-0.5", wrong: "scores = dot(q, k)" },
    right: right!("crates/model/src/ops/attention.rs", "p.op(p.matmul(q, k), |x| x.mul_scalar(scale))"),
    hidden_when: "query_pre_attn_scalar is 1",
    at: is_scores,
    changes: &[Change::Config(|config, _| config.query_pre_attn_scalar = 1.0)],
};

pub(crate) const SCALE_TWICE: Mistake = Mistake {
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
    changes: &[Change::Config(|config, _| config.query_pre_attn_scalar = config.query_pre_attn_scalar.powi(2))],
};

pub(crate) const SOFTCAP_MISSING: Mistake = Mistake {
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
    changes: &[Change::Config(|config, _| config.attn_logit_softcapping = None)],
};

pub(crate) const SOFTCAP_CONSTANT: Mistake = Mistake {
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
    changes: &[Change::Config(|config, _| {
        config.attn_logit_softcapping = config.attn_logit_softcapping.map(|cap| cap * 0.6)
    })],
};

pub(crate) const SOFTCAP_FORMULA: Mistake = Mistake {
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
    changes: &[],
};

pub(crate) fn softcap_formula<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    let (Op::Softcap { cap: Some(cap) }, p) = (call.node.op, call.p) else { return call.any(0) };
    let x = call.three(0)?;
    let capped = p.op(p.op(x.clone(), |x| x.div_scalar(cap)), |x| x.tanh());
    Ok(p.to_storage(x * capped).into())
}

pub(crate) const SOFTCAP_PRODUCT: Mistake = Mistake {
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
    changes: &[],
};

pub(crate) fn softcap_product<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    let (Op::Softcap { cap: Some(cap) }, p) = (call.node.op, call.p) else { return call.any(0) };
    let squashed = p.op(p.op(call.three(0)?, |x| x.mul_scalar(cap)), |x| x.tanh());
    Ok(p.op(squashed, |x| x.mul_scalar(cap)).into())
}

pub(crate) const SOFTCAP_AFTER_MASK: Mistake = Mistake {
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
    changes: &[],
};

pub(crate) fn softcap_after_mask<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let capped = call.node.inputs.first().and_then(|capped| call.graph.node(*capped));
    let Some(cap) = capped.and_then(|capped| capped.op.number()) else { return right(call) };
    let x = call.three(0)?;
    let hidden = call.mask(1)?.bias::<B>(1.0, x.dtype(), call.device);
    let leaking = x * ((-hidden.clone()).add_scalar(1.0)) + hidden.mul_scalar(-cap);
    Ok(softmax_with(leaking, call.mask(1)?, 0.0, call.p).into())
}

pub(crate) const FINAL_SOFTCAP_MISSING: Mistake = Mistake {
    id: "final_softcap_missing",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "Logits are not capped.",
    seen_in: "keras-hub #1712; vLLM #52173",
    formula: Formula { right: "logits = cap * tanh(logits.raw / cap)", wrong: "logits = logits.raw" },
    right: right!("crates/spec/src/gemma2.rs", "g.softcap(\"logits\", raw, c.final_logit_softcapping);"),
    hidden_when: "only the argmax is compared: the cap keeps the order",
    at: |probe| probe.path() == "logits",
    changes: &[Change::Config(|config, _| config.final_logit_softcapping = None)],
};
