//! Mistakes of the embedding and its use as the head.

use burn::tensor::backend::Backend;
use loupe_model::{Operations, ops};
use loupe_spec::{Config, Dtype, Probe};

use crate::{Formula, Mistake, MistakeKind, Plant, right};

/// The embedding is not multiplied by sqrt(hidden_size).
pub(crate) struct ScaleMissing;

impl Plant for ScaleMissing {
    const ABOUT: Mistake = Mistake {
        id: "embed_scale_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The embedding is not multiplied by sqrt(hidden_size).",
        seen_in: "tt-metal #22812",
        formula: Formula { right: "x = embed_tokens[id] * sqrt(hidden_size)", wrong: "x = embed_tokens[id]" },
        right: right!("crates/model/src/ops/embed.rs", "p.op(raw, |raw| raw.mul_scalar(scale))"),
        hidden_when: "only cosines are looked at, or what follows the next norm: every value is wrong by the same factor",
        at: |probe| probe == Probe::EmbedScaled,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.embed_scale = 1.0;
    }
}

/// The embedding is multiplied by sqrt(hidden_size) twice.
pub(crate) struct ScaleTwice;

impl Plant for ScaleTwice {
    const ABOUT: Mistake = Mistake {
        id: "embed_scale_twice",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The embedding is multiplied by sqrt(hidden_size) twice.",
        seen_in: "TransformerLens #1315; vLLM #36787",
        formula: Formula {
            right: "x = embed_tokens[id] * sqrt(hidden_size)",
            wrong: "x = embed_tokens[id] * sqrt(hidden_size) * sqrt(hidden_size)",
        },
        right: right!("crates/model/src/ops/embed.rs", "p.op(raw, |raw| raw.mul_scalar(scale))"),
        hidden_when: "only cosines are looked at, or what follows the next norm: every value is wrong by the same factor",
        at: |probe| probe == Probe::EmbedScaled,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.embed_scale *= operations.constants.embed_scale;
    }
}

/// sqrt(hidden_size) is rounded to bf16 whatever the dtype of the model.
pub(crate) struct ScaleRounded;

impl Plant for ScaleRounded {
    const ABOUT: Mistake = Mistake {
        id: "embed_scale_rounded",
        variant: None,
        kind: MistakeKind::DtypePolicy,
        what: "sqrt(hidden_size) is rounded to bf16 whatever the dtype of the model.",
        seen_in: "gemma_pytorch #67; transformers #29402",
        formula: Formula {
            right: "x = embed_tokens[id] * to_dtype(sqrt(hidden_size))",
            wrong: "x = embed_tokens[id] * to_bf16(sqrt(hidden_size))",
        },
        right: right!("crates/model/src/ops/embed.rs", "let scale = p.round(scale);"),
        hidden_when: "the dtype is bf16, or sqrt(hidden_size) is exact in bf16, as 2B's 48 is",
        at: |probe| probe == Probe::EmbedScaled,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.embed_scale = Dtype::Bf16.round(operations.constants.embed_scale);
    }
}

/// The table scaled by sqrt(hidden_size) serves as lm_head.
pub(crate) struct LmHeadScaled;

impl Plant for LmHeadScaled {
    const ABOUT: Mistake = Mistake {
        id: "lm_head_scaled",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The table scaled by sqrt(hidden_size) serves as lm_head.",
        seen_in: "vLLM #53170",
        formula: Formula {
            right: "logits.raw = x @ transpose(embed_tokens)",
            wrong: "logits.raw = x @ transpose(embed_tokens * sqrt(hidden_size))",
        },
        right: right!(
            "crates/spec/src/weight.rs",
            "if config.tie_word_embeddings { Weight::EmbedTokens } else { Weight::LmHead }"
        ),
        hidden_when: "only logits are recorded, and the cap is saturated",
        at: |probe| probe == Probe::LogitsRaw,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.linear = |x, weight, _, p| {
            let [_t, d] = x.dims();
            let scale = p.round((d as f64).sqrt());
            ops::linear::linear(x, p.op(weight, |w| w.mul_scalar(scale)), p)
        };
    }
}
