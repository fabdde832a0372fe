//! What a stimulus can be made of: one change each.

use loupe_spec::{Kind, Mistake, MistakeKind, Probe};

use Part::{Gain, Late, Logits, Norms, Quiet, Saturate, Scales, Tokens, Window};

/// A change of prompt, config.json or weights. In rising order of what it costs the one who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A prompt of the tokens with the smallest embedding rows, where a norm's epsilon weighs most.
    Tokens,
    /// A window shorter than the prompt.
    Window,
    /// A `query_pre_attn_scalar` that is neither head_dim nor hidden_size / heads.
    Scales,
    /// More than 257 positions, which bf16 cannot count.
    Late,
    /// post_attention_layernorm twice as loud, so that it is no other norm.
    Norms,
    /// The final norm so loud that logits reach their cap.
    Logits,
    /// o_proj and down_proj so quiet that the epsilon of the norms after them weighs.
    Quiet,
    /// q_proj so loud that scores reach half their cap.
    Gain,
    /// q_proj so loud that scores are far beyond their cap.
    Saturate,
}

impl Part {
    /// Its share of a folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Part::Tokens => "tokens",
            Part::Window => "window",
            Part::Scales => "scales",
            Part::Late => "late",
            Part::Norms => "norms",
            Part::Logits => "logits",
            Part::Quiet => "quiet",
            Part::Gain => "gain",
            Part::Saturate => "saturate",
        }
    }

    /// Whether it may bring `mistake` out: a guess, which is measured before it is believed.
    pub fn aims_at(self, mistake: &Mistake) -> bool {
        let touches = |paths: &[&str]| mistake.touches(|probe| paths.contains(&probe.path()));
        let norms = ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm"];
        let is_of_attention =
            |probe: Probe| probe.has_keys() && probe.kind() != Kind::Mask || probe.kind() == Kind::Rope;
        // A moved cast shows by how values round, which no size of theirs changes; rounded angles grow with positions.
        let policy = mistake.kind == MistakeKind::DtypePolicy;
        if policy || self == Part::Late {
            return policy && self == Part::Late && touches(&["self_attn.q_rope"]);
        }
        match self {
            Part::Tokens | Part::Quiet => touches(&norms),
            Part::Window => touches(&["self_attn.mask"]),
            Part::Scales => touches(&["self_attn.scores"]),
            Part::Late => false,
            Part::Norms => touches(&["post_attention_layernorm"]) && !touches(&["norm"]),
            Part::Logits => mistake.touches(Probe::is_logits),
            Part::Gain | Part::Saturate => mistake.touches(is_of_attention),
        }
    }
}

/// What is tried, in this order, each cut to the parts that aim at something: all that go together, since parts seldom disturb
/// each other, then each alone. (Gain and Saturate say different things of one weight.)
pub const RECIPES: [&[Part]; 11] = [
    &[Tokens, Window, Scales, Late, Norms, Logits, Quiet, Gain],
    &[Tokens, Window, Scales, Late, Norms, Logits, Quiet, Saturate],
    &[Tokens],
    &[Window],
    &[Scales],
    &[Late],
    &[Norms],
    &[Logits],
    &[Quiet],
    &[Gain],
    &[Saturate],
];
