//! The names of the checks.

use std::fmt;

/// The name of a check, as `check` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the check it names
pub enum CheckName {
    Embed,
    Attn,
    Weights,
    Rope,
    LayerOut,
    Trace,
    Compare,
    Rejudge,
    Names,
    Explain,
    Export,
}

impl CheckName {
    /// Every check.
    pub const ALL: [CheckName; 11] = [
        CheckName::Embed,
        CheckName::Attn,
        CheckName::Weights,
        CheckName::Rope,
        CheckName::LayerOut,
        CheckName::Trace,
        CheckName::Compare,
        CheckName::Rejudge,
        CheckName::Names,
        CheckName::Explain,
        CheckName::Export,
    ];

    /// The name in configs.
    pub fn name(self) -> &'static str {
        match self {
            CheckName::Embed => "embed",
            CheckName::Attn => "attn",
            CheckName::Weights => "weights",
            CheckName::Rope => "rope",
            CheckName::LayerOut => "layer-out",
            CheckName::Trace => "trace",
            CheckName::Compare => "compare",
            CheckName::Rejudge => "rejudge",
            CheckName::Names => "names",
            CheckName::Explain => "explain",
            CheckName::Export => "export",
        }
    }

    /// The keys from which this check is meant when a document has exactly these and no `check`: those of the
    /// original scripts' documents.
    pub(crate) fn inferred_from(self) -> Option<&'static [&'static str]> {
        match self {
            CheckName::Embed => Some(&["model", "prompt"]),
            CheckName::Attn => Some(&["model", "prompt", "layer"]),
            CheckName::Weights => Some(&["model", "layer", "proj"]),
            CheckName::Rope => Some(&["model", "pos", "dim", "theta"]),
            CheckName::LayerOut => Some(&["model", "prompt", "layers", "token"]),
            CheckName::Trace | CheckName::Compare | CheckName::Rejudge => None,
            CheckName::Names | CheckName::Explain | CheckName::Export => None,
        }
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
