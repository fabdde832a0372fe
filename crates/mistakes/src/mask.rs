//! Mistakes of the mask and its window.

use burn::tensor::backend::Backend;
use loupe_model::Operations;
use loupe_model::ops::mask::Mask;
use loupe_spec::{Code, Config, Kind, Probe};

use crate::{Formula, Mistake, MistakeKind, Plant, right};

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

/// The wrong layers use the sliding window: odd ones, where in Gemma 2 the even ones do.
pub(crate) struct WindowParity;

impl Plant for WindowParity {
    const ABOUT: Mistake = Mistake {
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
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.window = |config, layer| config.window(layer).xor(Some(config.sliding_window));
    }
}

/// Every layer uses the sliding window.
pub(crate) struct WindowEverywhere;

impl Plant for WindowEverywhere {
    const ABOUT: Mistake = Mistake {
        id: "window_everywhere",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Every layer uses the sliding window.",
        seen_in: "mlx-lm #27; llama.cpp #8227; keras-hub #2186",
        formula: Formula { right: VISIBLE, wrong: "visible(i, j) = j <= i and i - j < sliding_window" },
        right: WINDOW,
        hidden_when: "the prompt is no longer than the window (4096)",
        at: is_mask,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.window = |config, _layer| Some(config.sliding_window);
    }
}

/// No layer uses the sliding window.
pub(crate) struct WindowNowhere;

impl Plant for WindowNowhere {
    const ABOUT: Mistake = Mistake {
        id: "window_nowhere",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "No layer uses the sliding window.",
        seen_in: "mlx-lm #27; llama.cpp #8227; keras-hub #2186",
        formula: Formula { right: VISIBLE, wrong: "visible(i, j) = j <= i" },
        right: WINDOW,
        hidden_when: "the prompt is no longer than the window (4096)",
        at: is_mask,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.window = |_config, _layer| None;
    }
}

/// The window keeps one key too many.
pub(crate) struct WindowOneMore;

impl Plant for WindowOneMore {
    const ABOUT: Mistake = Mistake {
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
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.mask = |positions, window| Mask::causal(positions, window.map(|w| w + 1));
    }
}

/// The window keeps one key too few.
pub(crate) struct WindowOneFewer;

impl Plant for WindowOneFewer {
    const ABOUT: Mistake = Mistake {
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
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.mask = |positions, window| Mask::causal(positions, window.map(|w| (w - 1).max(1)));
    }
}

/// A query sees the key after its own.
pub(crate) struct CausalOffByOne;

impl Plant for CausalOffByOne {
    const ABOUT: Mistake = Mistake {
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
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.mask = |positions, window| {
            Mask::from_rule(positions, |i, j| j <= i + 1 && window.is_none_or(|window| i < j + window))
        };
    }
}

/// There is no mask: a query sees every key, those that come after it too.
pub(crate) struct CausalMaskMissing;

impl Plant for CausalMaskMissing {
    const ABOUT: Mistake = Mistake {
        id: "causal_mask_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "There is no mask: a query sees every key of the prompt, those that come after it too.",
        seen_in: "mlxcel #999; transformers #27819",
        formula: Formula { right: VISIBLE, wrong: "visible(i, j) = true" },
        right: RULE,
        hidden_when: "the prompt has one token",
        at: is_mask,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.mask = |positions, _window| Mask::from_rule(positions, |_i, _j| true);
    }
}
