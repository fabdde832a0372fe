//! Which keys each check has: the tables of docs/reference/configs.md.

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
    Names,
    Explain,
    Export,
}

/// Keys of every check.
const ALWAYS: &[&str] = &["check", "model", "revision", "output"];
/// Keys of a check that uses a backend.
const BACKEND: &[&str] = &["backend", "device", "dtype", "precision"];
/// Keys of a check that runs the model over tokens.
const INPUT: &[&str] = &["prompt", "token_ids"];
/// The key of a check that runs or writes a model in which mistakes can be planted.
const MISTAKES: &[&str] = &["mistakes"];

impl CheckName {
    /// Every check.
    pub const ALL: [CheckName; 10] = [
        CheckName::Embed,
        CheckName::Attn,
        CheckName::Weights,
        CheckName::Rope,
        CheckName::LayerOut,
        CheckName::Trace,
        CheckName::Compare,
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
            CheckName::Names => "names",
            CheckName::Explain => "explain",
            CheckName::Export => "export",
        }
    }

    /// The keys that this check alone decides what to do with.
    pub(crate) fn own(self) -> &'static [&'static str] {
        match self {
            CheckName::Embed | CheckName::Export => &[],
            CheckName::Attn => &["layer"],
            CheckName::Weights => &["layer", "proj", "tensor", "against"],
            CheckName::Rope => &["pos", "dim", "theta"],
            CheckName::LayerOut => &["layers", "token"],
            CheckName::Trace => &["layers", "probes"],
            CheckName::Names => &["candidate", "names"],
            CheckName::Explain => &["id"],
            CheckName::Compare => &[
                "candidates",
                "candidate",
                "reference",
                "names",
                "candidate_dtype",
                "positions",
                "policy",
                "format",
                "stimulus",
            ],
        }
    }

    /// Every key that a document with this check may have.
    pub(crate) fn allowed(self) -> Vec<&'static str> {
        let shared: &[&[&str]] = match self {
            CheckName::Embed | CheckName::Attn | CheckName::LayerOut | CheckName::Trace => {
                &[ALWAYS, INPUT, BACKEND, MISTAKES]
            }
            CheckName::Compare => &[ALWAYS, INPUT, BACKEND],
            CheckName::Weights | CheckName::Rope => &[ALWAYS, BACKEND],
            // Looks at names and shapes: nothing is computed.
            CheckName::Names => &[ALWAYS],
            // Of no model.
            CheckName::Explain => &[&["check", "output"]],
            // Copies a checkpoint: nothing is computed.
            CheckName::Export => &[ALWAYS, MISTAKES],
        };
        [self.own(), &shared.concat()].concat()
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
            CheckName::Trace | CheckName::Compare | CheckName::Names | CheckName::Explain | CheckName::Export => None,
        }
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
