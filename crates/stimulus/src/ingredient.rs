//! What a stimulus can be made of: one change each.

use loupe_spec::{Kind, Mistake, MistakeKind, Probe};

use Ingredient::{Gain, Late, Logits, Norms, Quiet, Saturate, Scales, Tokens, Window};

/// A change of prompt, config.json or weights. In rising order of what it costs the one who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ingredient {
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

impl Ingredient {
    /// Its share of a folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Ingredient::Tokens => "tokens",
            Ingredient::Window => "window",
            Ingredient::Scales => "scales",
            Ingredient::Late => "late",
            Ingredient::Norms => "norms",
            Ingredient::Logits => "logits",
            Ingredient::Quiet => "quiet",
            Ingredient::Gain => "gain",
            Ingredient::Saturate => "saturate",
        }
    }

    /// Whether it may bring `mistake` out: a guess, which is measured before it is believed.
    pub fn aims_at(self, mistake: &Mistake) -> bool {
        let touches = |paths: &[&str]| mistake.touches(|probe| paths.contains(&probe.path()));
        let norms = ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm"];
        let is_of_attention =
            |probe: Probe| probe.has_keys() && probe.kind() != Kind::Mask || probe.kind() == Kind::Rope;
        // A misplaced cast changes how values round, whatever their size. Only rounded angles grow, with positions.
        let policy = mistake.kind == MistakeKind::DtypePolicy;
        if policy || self == Ingredient::Late {
            return policy && self == Ingredient::Late && touches(&["self_attn.q_rope"]);
        }
        match self {
            Ingredient::Tokens | Ingredient::Quiet => touches(&norms),
            Ingredient::Window => touches(&["self_attn.mask"]),
            Ingredient::Scales => touches(&["self_attn.scores"]),
            Ingredient::Late => false,
            Ingredient::Norms => touches(&["post_attention_layernorm"]) && !touches(&["norm"]),
            Ingredient::Logits => mistake.touches(Probe::is_logits),
            Ingredient::Gain | Ingredient::Saturate => mistake.touches(is_of_attention),
        }
    }
}

/// What is tried, in this order, each cut to the ingredients that aim at something: all that go together, since ingredients seldom disturb
/// each other, then each alone. (Gain and Saturate say different things of one weight.)
pub const RECIPES: [&[Ingredient]; 11] = [
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
