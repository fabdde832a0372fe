//! Mistakes of RMSNorm.

use burn::tensor::backend::Backend;
use loupe_model::ops::norm::normalise;
use loupe_model::{Call, Computed, Numerics, Right};
use loupe_spec::{Change, Formula, Kind, Mistake, MistakeKind, Op};
use loupe_tensor::Tensor;

use crate::cite::right;

/// The right norm with `factor` of its weight, in the compute dtype, in the place of 1 + w.
fn with_factor<B: Backend>(
    call: &Call<'_, B>,
    factor: impl FnOnce(Tensor<B, 1>, &Numerics<B>) -> Tensor<B, 1>,
) -> Computed<B> {
    // Another mistake may have taken the norm away.
    let Op::RmsNorm { eps } = call.node.op else { return call.any(0) };
    let (x, p) = (call.two(0)?, call.p);
    let [_t, d] = x.dims();
    let factor = factor(call.weight()?, p).reshape([1, d]);
    Ok(p.op(x, |x| normalise(x, eps) * factor).into())
}

pub(crate) const WITHOUT_ONE: Mistake = Mistake {
    id: "norm_without_one",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The norm multiplies by w, where Gemma multiplies by 1 + w.",
    seen_in: "Liger-Kernel #74",
    formula: Formula { right: "x / sqrt(mean(x^2) + eps) * (1 + w)", wrong: "x / sqrt(mean(x^2) + eps) * w" },
    right: right!("crates/model/src/ops/norm.rs", "let weight = p.to_compute(weight).add_scalar(1.0).reshape([1, d]);"),
    hidden_when: "never",
    at: |probe| probe.kind() == Kind::RmsNorm,
    changes: &[],
};

pub(crate) fn without_one<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    with_factor(call, |w, p| p.to_compute(w))
}

pub(crate) const ONE_TWICE: Mistake = Mistake {
    id: "norm_one_twice",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The norm multiplies by 2 + w: 1 is added to a weight that already held 1 + w.",
    seen_in: "vLLM #31464",
    formula: Formula { right: "x / sqrt(mean(x^2) + eps) * (1 + w)", wrong: "x / sqrt(mean(x^2) + eps) * (2 + w)" },
    right: right!("crates/model/src/ops/norm.rs", "let weight = p.to_compute(weight).add_scalar(1.0).reshape([1, d]);"),
    hidden_when: "never",
    at: |probe| probe.kind() == Kind::RmsNorm,
    changes: &[],
};

pub(crate) fn one_twice<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    with_factor(call, |w, p| p.to_compute(w).add_scalar(2.0))
}

pub(crate) const WEIGHT_MISSING: Mistake = Mistake {
    id: "norm_weight_missing",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The normalised value is not multiplied by 1 + w: the norm has no weight.",
    seen_in: "no public port known; likely in ports that do not find the tensor, and take its initial value",
    formula: Formula { right: "x / sqrt(mean(x^2) + eps) * (1 + w)", wrong: "x / sqrt(mean(x^2) + eps)" },
    right: right!("crates/model/src/ops/norm.rs", "let weight = p.to_compute(weight).add_scalar(1.0).reshape([1, d]);"),
    hidden_when: "the weight is zero",
    at: |probe| probe.kind() == Kind::RmsNorm,
    changes: &[],
};

pub(crate) fn weight_missing<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    let Op::RmsNorm { eps } = call.node.op else { return call.any(0) };
    Ok(call.p.op(call.two(0)?, |x| normalise(x, eps)).into())
}

pub(crate) const CAST_FIRST: Mistake = Mistake {
    id: "norm_cast_first",
    variant: None,
    kind: MistakeKind::DtypePolicy,
    what: "The normalised value is cast to the model's dtype before it is multiplied by 1 + w, as Llama does.",
    seen_in: "Liger-Kernel #89; transformers #29402",
    formula: Formula {
        right: "to_dtype(x / sqrt(mean(x^2) + eps) * (1 + to_f32(w)))",
        wrong: "to_dtype(to_dtype(x / sqrt(mean(x^2) + eps)) * (1 + to_f32(w)))",
    },
    right: right!("crates/model/src/ops/norm.rs", "p.op(x, |x| normalise(x, eps) * weight)"),
    hidden_when: "the model's dtype is f32 or f64",
    at: |probe| probe.kind() == Kind::RmsNorm,
    changes: &[],
};

pub(crate) fn cast_first<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    let Op::RmsNorm { eps } = call.node.op else { return call.any(0) };
    let (x, weight, p) = (call.two(0)?, call.weight::<1>()?, call.p);
    let [_t, d] = x.dims();
    let weight = p.to_compute(weight).add_scalar(1.0).reshape([1, d]);
    let normalised = p.op(x, |x| normalise(x, eps));
    Ok(p.op(normalised, |x| x * weight).into())
}

pub(crate) const WEIGHT_LOW: Mistake = Mistake {
    id: "norm_weight_low",
    variant: None,
    kind: MistakeKind::DtypePolicy,
    what: "1 + w is formed in the model's dtype instead of f32.",
    seen_in: "vLLM #29810",
    formula: Formula {
        right: "to_dtype(x / sqrt(mean(x^2) + eps) * (1 + to_f32(w)))",
        wrong: "to_dtype(x / sqrt(mean(x^2) + eps) * to_f32(to_dtype(1 + w)))",
    },
    right: right!("crates/model/src/ops/norm.rs", "let weight = p.to_compute(weight).add_scalar(1.0).reshape([1, d]);"),
    hidden_when: "the model's dtype is f32 or f64",
    at: |probe| probe.kind() == Kind::RmsNorm,
    changes: &[],
};

pub(crate) fn weight_low<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    with_factor(call, |w, p| p.to_compute(p.op(w, |w| w.add_scalar(1.0))))
}

pub(crate) const EPS: Mistake = Mistake {
    id: "norm_eps",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The norm's epsilon is ten times the checkpoint's: 1e-5 for 1e-6.",
    seen_in: "llama.cpp #23815; Megatron-Bridge #5712",
    formula: Formula {
        right: "x / sqrt(mean(x^2) + eps) * (1 + w)",
        wrong: "x / sqrt(mean(x^2) + 10 * eps) * (1 + w)",
    },
    right: right!("crates/spec/src/gemma2.rs", "let x = g.rms_norm(\"norm\", x, c.rms_norm_eps);"),
    hidden_when: "every row's mean square is far above epsilon",
    at: |probe| probe.kind() == Kind::RmsNorm,
    changes: &[Change::Config(|config, _| config.rms_norm_eps *= 10.0)],
};

pub(crate) const EPS_NONE: Mistake = Mistake {
    id: "norm_eps",
    variant: Some("none"),
    kind: MistakeKind::Architectural,
    what: "The norm has no epsilon.",
    seen_in: "llama.cpp #23815; Megatron-Bridge #5712",
    formula: Formula { right: "x / sqrt(mean(x^2) + eps) * (1 + w)", wrong: "x / sqrt(mean(x^2)) * (1 + w)" },
    right: right!("crates/model/src/ops/norm.rs", "x / mean_square.add_scalar(eps).sqrt()"),
    hidden_when: "every row's mean square is far above epsilon",
    at: |probe| probe.kind() == Kind::RmsNorm,
    changes: &[Change::Config(|config, _| config.rms_norm_eps = 0.0)],
};

pub(crate) const MEAN_SUBTRACTED: Mistake = Mistake {
    id: "norm_mean_subtracted",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The mean is subtracted first: LayerNorm for RMSNorm.",
    seen_in: "no public port known; likely in ports that share a norm with another family",
    formula: Formula {
        right: "x / sqrt(mean(x^2) + eps) * (1 + w)",
        wrong: "y = x - mean(x); y / sqrt(mean(y^2) + eps) * (1 + w)",
    },
    right: right!("crates/model/src/ops/norm.rs", "let mean_square = (x.clone() * x.clone()).mean_dim(1);"),
    hidden_when: "every row's mean is zero",
    at: |probe| probe.kind() == Kind::RmsNorm,
    changes: &[],
};

pub(crate) fn mean_subtracted<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let Op::RmsNorm { .. } = call.node.op else { return call.any(0) };
    let centred = call.p.op(call.two(0)?, |x| x.clone() - x.mean_dim(1));
    right(&call.with_inputs(vec![centred.into()]))
}
