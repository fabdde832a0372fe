//! Mistakes of the mask and its window.

use burn::tensor::backend::Backend;
use loupe_model::ops::mask::Mask;
use loupe_model::{Call, Computed, Value};
use loupe_spec::{Change, Code, Formula, Kind, LayerType, Mistake, MistakeKind, Op, Probe};

use crate::cite::right;

/// Who sees whom.
const VISIBLE: &str = "visible(i, j) = j <= i and (layer is full_attention or i - j < sliding_window)";
/// Where that stands.
const RULE: Code = right!(
    "crates/model/src/ops/mask.rs",
    "Mask::from_rule(positions, |i, j| j <= i && window.is_none_or(|window| i - j < window))"
);
/// Where it is said which layers slide.
const WINDOW: Code = right!(
    "crates/spec/src/config.rs",
    "(self.layer_types[layer] == LayerType::Sliding).then_some(self.sliding_window)"
);

fn is_mask(probe: Probe) -> bool {
    probe.kind() == Kind::Mask
}

pub(crate) const WINDOW_PARITY: Mistake = Mistake {
    id: "window_parity",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The wrong layers use the sliding window: odd ones, where in Gemma 2 the even ones do.",
    seen_in: "transformers #31775; mistral.rs #554; TransformerLens #778",
    formula: Formula {
        right: VISIBLE,
        wrong: "visible(i, j) = j <= i and (layer is sliding_attention or i - j < sliding_window)",
    },
    right: WINDOW,
    hidden_when: "the prompt is no longer than the window (4096)",
    at: is_mask,
    changes: &[Change::Config(|config, right| {
        config.layer_types = right.layer_types.iter().map(|layer| layer.other()).collect();
    })],
};

pub(crate) const WINDOW_EVERYWHERE: Mistake = Mistake {
    id: "window_everywhere",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "Every layer uses the sliding window.",
    seen_in: "mlx-lm #27; llama.cpp #8227; keras-hub #2186",
    formula: Formula { right: VISIBLE, wrong: "visible(i, j) = j <= i and i - j < sliding_window" },
    right: WINDOW,
    hidden_when: "the prompt is no longer than the window (4096)",
    at: is_mask,
    changes: &[Change::Config(|config, _| config.layer_types.fill(LayerType::Sliding))],
};

pub(crate) const WINDOW_NOWHERE: Mistake = Mistake {
    id: "window_nowhere",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "No layer uses the sliding window.",
    seen_in: "mlx-lm #27; llama.cpp #8227; keras-hub #2186",
    formula: Formula { right: VISIBLE, wrong: "visible(i, j) = j <= i" },
    right: WINDOW,
    hidden_when: "the prompt is no longer than the window (4096)",
    at: is_mask,
    changes: &[Change::Config(|config, _| config.layer_types.fill(LayerType::Full))],
};

pub(crate) const WINDOW_ONE_MORE: Mistake = Mistake {
    id: "window_off_by_one",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The window keeps one key too many.",
    seen_in: "transformers #39408; zml #763; vLLM #3385",
    formula: Formula {
        right: VISIBLE,
        wrong: "visible(i, j) = j <= i and (layer is full_attention or i - j <= sliding_window)",
    },
    right: RULE,
    hidden_when: "the prompt is no longer than the window (4096)",
    at: is_mask,
    changes: &[Change::Config(|config, _| config.sliding_window += 1)],
};

pub(crate) const WINDOW_ONE_FEWER: Mistake = Mistake {
    id: "window_off_by_one",
    variant: Some("fewer"),
    kind: MistakeKind::Architectural,
    what: "The window keeps one key too few.",
    seen_in: "transformers #39408; zml #763; vLLM #3385",
    formula: Formula {
        right: VISIBLE,
        wrong: "visible(i, j) = j <= i and (layer is full_attention or i - j < sliding_window - 1)",
    },
    right: RULE,
    hidden_when: "the prompt is shorter than the window (4096)",
    at: is_mask,
    changes: &[Change::Config(|config, _| config.sliding_window = (config.sliding_window - 1).max(1))],
};

pub(crate) const CAUSAL_OFF_BY_ONE: Mistake = Mistake {
    id: "causal_off_by_one",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "A query sees the key after its own.",
    seen_in: "burn #5783",
    formula: Formula {
        right: VISIBLE,
        wrong: "visible(i, j) = j <= i + 1 and (layer is full_attention or i - j < sliding_window)",
    },
    right: RULE,
    hidden_when: "the prompt has one token",
    at: is_mask,
    changes: &[],
};

pub(crate) fn causal_off_by_one<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    let Op::Mask { window } = call.node.op else { return call.any(0) };
    let sees = |i, j| j <= i + 1 && window.is_none_or(|window| i < j + window);
    Ok(Value::Mask(Mask::from_rule(call.positions, sees)))
}

pub(crate) const CAUSAL_MASK_MISSING: Mistake = Mistake {
    id: "causal_mask_missing",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "There is no mask: a query sees every key of the prompt, those that come after it too.",
    seen_in: "mlxcel #999; transformers #27819",
    formula: Formula { right: VISIBLE, wrong: "visible(i, j) = true" },
    right: RULE,
    hidden_when: "the prompt has one token",
    at: is_mask,
    changes: &[],
};

pub(crate) fn causal_mask_missing<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    Ok(Value::Mask(Mask::from_rule(call.positions, |_i, _j| true)))
}
