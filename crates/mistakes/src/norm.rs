//! Mistakes of RMSNorm.

use burn::tensor::backend::Backend;
use loupe_model::{Operations, ops};
use loupe_spec::{Config, Kind};

use crate::{Formula, Mistake, MistakeKind, Plant, right};

/// The norm multiplies by w, where Gemma multiplies by 1 + w.
pub(crate) struct WithoutOne;

impl Plant for WithoutOne {
    const ABOUT: Mistake = Mistake {
        id: "norm_without_one",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The norm multiplies by w, where Gemma multiplies by 1 + w.",
        seen_in: "Liger-Kernel #74",
        formula: Formula { right: "x / sqrt(mean(x^2) + eps) * (1 + w)", wrong: "x / sqrt(mean(x^2) + eps) * w" },
        right: right!("crates/model/src/ops/norm.rs", "let weight = p.widen(weight).add_scalar(1.0).reshape([1, d]);"),
        hidden_when: "never",
        at: |probe| probe.kind() == Kind::RmsNorm,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rms_norm = |x, weight, eps, p| {
            let [_t, d] = x.dims();
            let weight = p.widen(weight).reshape([1, d]);
            p.op(x, |x| ops::norm::normalise(x, eps) * weight)
        };
    }
}

/// The norm multiplies by 2 + w: 1 is added to a weight that already held 1 + w.
pub(crate) struct OneTwice;

impl Plant for OneTwice {
    const ABOUT: Mistake = Mistake {
        id: "norm_one_twice",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The norm multiplies by 2 + w: 1 is added to a weight that already held 1 + w.",
        seen_in: "vLLM #31464",
        formula: Formula { right: "x / sqrt(mean(x^2) + eps) * (1 + w)", wrong: "x / sqrt(mean(x^2) + eps) * (2 + w)" },
        right: right!("crates/model/src/ops/norm.rs", "let weight = p.widen(weight).add_scalar(1.0).reshape([1, d]);"),
        hidden_when: "never",
        at: |probe| probe.kind() == Kind::RmsNorm,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rms_norm = |x, weight, eps, p| {
            let [_t, d] = x.dims();
            let weight = p.widen(weight).add_scalar(2.0).reshape([1, d]);
            p.op(x, |x| ops::norm::normalise(x, eps) * weight)
        };
    }
}

/// The normalised value is not multiplied by any weight.
pub(crate) struct WeightMissing;

impl Plant for WeightMissing {
    const ABOUT: Mistake = Mistake {
        id: "norm_weight_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The normalised value is not multiplied by 1 + w: the norm has no weight.",
        seen_in: "no public port known; likely in ports that do not find the tensor, and take its initial value",
        formula: Formula { right: "x / sqrt(mean(x^2) + eps) * (1 + w)", wrong: "x / sqrt(mean(x^2) + eps)" },
        right: right!("crates/model/src/ops/norm.rs", "let weight = p.widen(weight).add_scalar(1.0).reshape([1, d]);"),
        hidden_when: "the weight is zero",
        at: |probe| probe.kind() == Kind::RmsNorm,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rms_norm = |x, _weight, eps, p| p.op(x, |x| ops::norm::normalise(x, eps));
    }
}

/// The normalised value is cast to the model's dtype before it is multiplied by 1 + w, as Llama does.
pub(crate) struct CastFirst;

impl Plant for CastFirst {
    const ABOUT: Mistake = Mistake {
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
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rms_norm = |x, weight, eps, p| {
            let [_t, d] = x.dims();
            let weight = p.widen(weight).add_scalar(1.0).reshape([1, d]);
            let normalised = p.op(x, |x| ops::norm::normalise(x, eps));
            p.op(normalised, |x| x * weight)
        };
    }
}

/// 1 + w is formed in the model's dtype instead of f32.
pub(crate) struct WeightLow;

impl Plant for WeightLow {
    const ABOUT: Mistake = Mistake {
        id: "norm_weight_low",
        variant: None,
        kind: MistakeKind::DtypePolicy,
        what: "1 + w is formed in the model's dtype instead of f32.",
        seen_in: "vLLM #29810",
        formula: Formula {
            right: "to_dtype(x / sqrt(mean(x^2) + eps) * (1 + to_f32(w)))",
            wrong: "to_dtype(x / sqrt(mean(x^2) + eps) * to_f32(to_dtype(1 + w)))",
        },
        right: right!("crates/model/src/ops/norm.rs", "let weight = p.widen(weight).add_scalar(1.0).reshape([1, d]);"),
        hidden_when: "the model's dtype is f32 or f64",
        at: |probe| probe.kind() == Kind::RmsNorm,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rms_norm = |x, weight, eps, p| {
            let [_t, d] = x.dims();
            let weight = p.widen(p.op(weight, |w| w.add_scalar(1.0))).reshape([1, d]);
            p.op(x, |x| ops::norm::normalise(x, eps) * weight)
        };
    }
}

/// The norm's epsilon is ten times the checkpoint's: 1e-5 for 1e-6.
pub(crate) struct Eps;

impl Plant for Eps {
    const ABOUT: Mistake = Mistake {
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
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.rms_norm_eps *= 10.0;
    }
}

/// The norm has no epsilon.
pub(crate) struct EpsNone;

impl Plant for EpsNone {
    const ABOUT: Mistake = Mistake {
        id: "norm_eps",
        variant: Some("none"),
        kind: MistakeKind::Architectural,
        what: "The norm has no epsilon.",
        seen_in: "llama.cpp #23815; Megatron-Bridge #5712",
        formula: Formula { right: "x / sqrt(mean(x^2) + eps) * (1 + w)", wrong: "x / sqrt(mean(x^2)) * (1 + w)" },
        right: right!("crates/model/src/ops/norm.rs", "x / mean_square.add_scalar(eps).sqrt()"),
        hidden_when: "every row's mean square is far above epsilon",
        at: |probe| probe.kind() == Kind::RmsNorm,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.rms_norm_eps = 0.0;
    }
}

/// The mean is subtracted first: LayerNorm for RMSNorm.
pub(crate) struct MeanSubtracted;

impl Plant for MeanSubtracted {
    const ABOUT: Mistake = Mistake {
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
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rms_norm = |x, weight, eps, p| {
            let x = p.op(x, |x| x.clone() - x.mean_dim(1));
            ops::norm::rms_norm(x, weight, eps, p)
        };
    }
}
