//! What a stimulus can be made of: one change each.

use loupe_spec::{Mistake, MistakeKind, Probe, Stage};

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
    /// All.
    pub const ALL: [Part; 9] = [
        Part::Tokens,
        Part::Window,
        Part::Scales,
        Part::Late,
        Part::Norms,
        Part::Logits,
        Part::Quiet,
        Part::Gain,
        Part::Saturate,
    ];

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
        let touches = |stages: &[Stage]| stages.iter().any(|stage| (mistake.at)(Probe::Layer(0, *stage)));
        let norms = [Stage::InputLayernorm, Stage::PostAttentionLayernorm, Stage::PreFeedforwardLayernorm];
        let attention = [Stage::QRope, Stage::KRope, Stage::Scores, Stage::ScoresCapped, Stage::Probs];
        // A moved cast shows by how values round, which no size of theirs changes; rounded angles grow with positions.
        let policy = mistake.kind == MistakeKind::DtypePolicy;
        if policy || self == Part::Late {
            return policy && self == Part::Late && touches(&[Stage::QRope]);
        }
        match self {
            Part::Tokens | Part::Quiet => touches(&norms),
            Part::Window => touches(&[Stage::Mask]),
            Part::Scales => touches(&[Stage::Scores]),
            Part::Late => false,
            Part::Norms => touches(&[Stage::PostAttentionLayernorm]) && !(mistake.at)(Probe::Norm),
            Part::Logits => [Probe::LogitsRaw, Probe::Logits].into_iter().any(mistake.at),
            Part::Gain | Part::Saturate => touches(&attention),
        }
    }

    /// Two parts that say different things of one weight.
    pub fn excludes(self, other: Part) -> bool {
        matches!((self, other), (Part::Gain, Part::Saturate) | (Part::Saturate, Part::Gain))
    }
}
