//! The numbers in Gemma 2's formulas: what a port may have right in form and wrong in value.

use crate::{Graph, Kind, Probe};

/// A number that a formula holds, from config.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Parameter {
    /// The embedding is multiplied by it: sqrt(hidden_size).
    EmbedScale,
    /// Scores are multiplied by it: query_pre_attn_scalar^-0.5.
    AttnScale,
    /// Cap of the scores.
    AttnSoftcap,
    /// Cap of the logits.
    FinalSoftcap,
    /// Added to the mean square inside RMSNorm.
    RmsNormEps,
    /// Base of the rotary frequencies.
    RopeTheta,
}

impl Parameter {
    /// All of them, in the order of the forward pass.
    pub const ALL: [Parameter; 6] = [
        Parameter::EmbedScale,
        Parameter::RmsNormEps,
        Parameter::RopeTheta,
        Parameter::AttnScale,
        Parameter::AttnSoftcap,
        Parameter::FinalSoftcap,
    ];

    /// The name in configs and verdicts.
    pub fn name(self) -> &'static str {
        match self {
            Parameter::EmbedScale => "embed_scale",
            Parameter::AttnScale => "attn_scale",
            Parameter::AttnSoftcap => "attn_softcap",
            Parameter::FinalSoftcap => "final_softcap",
            Parameter::RmsNormEps => "rms_norm_eps",
            Parameter::RopeTheta => "rope_theta",
        }
    }

    /// The parameter called `name`.
    pub fn named(name: &str) -> Option<Parameter> {
        Parameter::ALL.into_iter().find(|parameter| parameter.name() == name)
    }

    /// The formula that it stands in, and what it is in config.json's names.
    pub fn formula(self) -> &'static str {
        match self {
            Parameter::EmbedScale => "x = embed_tokens[id] * embed_scale, embed_scale = sqrt(hidden_size)",
            Parameter::AttnScale => "scores = dot(q, k) * attn_scale, attn_scale = query_pre_attn_scalar^-0.5",
            Parameter::AttnSoftcap => {
                "scores = attn_softcap * tanh(scores / attn_softcap), attn_softcap = attn_logit_softcapping"
            }
            Parameter::FinalSoftcap => {
                "logits = final_softcap * tanh(logits / final_softcap), final_softcap = final_logit_softcapping"
            }
            Parameter::RmsNormEps => "x / sqrt(mean(x^2) + rms_norm_eps) * (1 + w)",
            Parameter::RopeTheta => "angle = position * rope_theta^(-2i / head_dim)",
        }
    }

    /// `value` as the root that the formula takes, of a whole number: `6^-0.5`, `sqrt(48)`. `None`: it takes none, or of no whole one.
    pub fn as_root(self, value: f64) -> Option<String> {
        let (of, root): (f64, fn(f64) -> String) = match self {
            Parameter::AttnScale => (value.powi(-2), |whole| format!("{whole}^-0.5")),
            Parameter::EmbedScale => (value.powi(2), |whole| format!("sqrt({whole})")),
            _ => return None,
        };
        let whole = of.round();
        // A fit knows six digits of the value.
        (whole >= 2.0 && (of / whole - 1.0).abs() < 1e-4).then(|| root(whole))
    }

    /// Whether it stands in the formula of `probe`.
    pub fn is_at(self, probe: Probe) -> bool {
        let kind = match self {
            Parameter::EmbedScale => Kind::Scale,
            Parameter::AttnScale => Kind::Scores,
            Parameter::AttnSoftcap | Parameter::FinalSoftcap => Kind::Softcap,
            Parameter::RmsNormEps => Kind::RmsNorm,
            Parameter::RopeTheta => Kind::Rope,
        };
        let of_the_head = self == Parameter::FinalSoftcap;
        probe.kind() == kind && (kind != Kind::Softcap || of_the_head == probe.layer().is_none())
    }
}

impl Graph {
    /// The value that `parameter` has where it first stands; `None` where a cap is off.
    pub fn value(&self, parameter: Parameter) -> Option<f64> {
        self.nodes().iter().find(|node| parameter.is_at(node.probe))?.op.number()
    }
}
