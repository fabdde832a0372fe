//! Mistakes of the embedding and its use as the head.

use burn::tensor::backend::Backend;
use loupe_model::{Call, Computed, Right};
use loupe_spec::{Change, Dtype, Formula, Kind, Mistake, MistakeKind, Op};

use crate::cite::right;

pub(crate) const SCALE_MISSING: Mistake = Mistake {
    id: "embed_scale_missing",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The embedding is not multiplied by sqrt(hidden_size).",
    seen_in: "tt-metal #22812",
    formula: Formula { right: "x = embed_tokens[id] * sqrt(hidden_size)", wrong: "x = embed_tokens[id]" },
    right: right!("crates/model/src/ops/embed.rs", "p.op(raw, |raw| raw.mul_scalar(scale))"),
    hidden_when: "only cosines are looked at, or what follows the next norm: every value is wrong by the same factor",
    at: |probe| probe.kind() == Kind::Scale,
    changes: &[Change::Node(|node, _| node.op = Op::Scale(1.0))],
};

pub(crate) const SCALE_TWICE: Mistake = Mistake {
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
    at: |probe| probe.kind() == Kind::Scale,
    changes: &[Change::Node(|node, _| node.op = node.op.with(node.op.number().unwrap_or(1.0).powi(2)))],
};

pub(crate) const SCALE_ROUNDED: Mistake = Mistake {
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
    at: |probe| probe.kind() == Kind::Scale,
    changes: &[Change::Node(|node, _| node.op = node.op.with(Dtype::Bf16.round(node.op.number().unwrap_or(1.0))))],
};

pub(crate) const LM_HEAD_SCALED: Mistake = Mistake {
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
        "if config.tie_word_embeddings { Weight::EMBED_TOKENS } else { Weight::LM_HEAD }"
    ),
    hidden_when: "only logits are recorded, and the cap is saturated",
    at: |probe| probe.path() == "logits.raw",
    changes: &[],
};

pub(crate) fn lm_head_scaled<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let (table, p) = (call.weight::<2>()?, call.p);
    let [_rows, d] = table.dims();
    let scale = p.round((d as f64).sqrt());
    right(&call.with_weight(p.op(table, |w| w.mul_scalar(scale))))
}
