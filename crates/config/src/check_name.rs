//! Which keys each check has.

use std::fmt;

use crate::key::Shape;
use crate::keys::*;

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
    pub(crate) fn own(self) -> Shape {
        let own = Shape::default();
        match self {
            CheckName::Embed | CheckName::Export => own,
            CheckName::Attn => own.must(&[&LAYER]),
            CheckName::Weights => {
                own.may(&[&LAYER, &PROJ, &TENSOR, &AGAINST]).one_of(&[&["layer", "proj"], &["tensor"]])
            }
            CheckName::Rope => own.must(&[&POS, &DIM, &THETA]),
            CheckName::LayerOut => own.must(&[&LAYERS, &TOKEN]),
            CheckName::Trace => own.may(&[&LAYERS, &PROBES]),
            CheckName::Names => own.must(&[&CANDIDATE_PATH]).may(&[&NAMES]),
            CheckName::Explain => own.may(&[&ID]),
            CheckName::Compare => own
                .may(&[&CANDIDATES, &CANDIDATE, &REFERENCE, &NAMES, &CANDIDATE_DTYPE, &POSITIONS, &POLICY, &FORMAT])
                .may(&[&STIMULUS])
                .one_of(&[&["candidates"], &["candidate"]]),
        }
    }

    /// Every key that a document with this check may have.
    pub(crate) fn shape(self) -> Shape {
        let own = self.own().may(&[&CHECK]);
        match self {
            CheckName::Embed | CheckName::Attn | CheckName::LayerOut | CheckName::Trace => own
                .must(&[&MODEL])
                .may(&[&REVISION, &OUTPUT])
                .may(INPUT)
                .one_of(ONE_INPUT)
                .may(COMPUTING)
                .may(&[&MISTAKES]),
            CheckName::Compare => {
                own.may(&[&MODEL, &REVISION, &OUTPUT]).may(INPUT).one_of(AT_MOST_ONE_INPUT).may(COMPUTING)
            }
            CheckName::Weights | CheckName::Rope => own.must(&[&MODEL]).may(&[&REVISION, &OUTPUT]).may(COMPUTING),
            // Looks at names and shapes: nothing is computed.
            CheckName::Names => own.may(&[&MODEL, &REVISION, &OUTPUT]),
            // Of no model.
            CheckName::Explain => own.may(&[&OUTPUT]),
            // Copies a checkpoint: nothing is computed.
            CheckName::Export => own.must(&[&MODEL]).may(&[&REVISION]).must(&[&OUTPUT]).may(&[&MISTAKES]),
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
            CheckName::Trace | CheckName::Compare | CheckName::Names | CheckName::Explain | CheckName::Export => None,
        }
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
