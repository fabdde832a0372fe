//! Which keys each check has, and each run of a matrix.

use crate::CheckName;
use crate::key::Shape;
use crate::keys::*;

impl CheckName {
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
            CheckName::Rejudge => own.must(&[&VERDICT, &POLICY_AGAIN]).may(&[&FORMAT]),
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
        let of_prompt = |own: Shape| {
            own.must(&[&MODEL]).may(&[&REVISION, &OUTPUT]).may(INPUT).one_of(ONE_INPUT).may(COMPUTING).may(&[&MISTAKES])
        };
        match self {
            CheckName::Embed | CheckName::Attn | CheckName::LayerOut => of_prompt(own),
            // Of a matrix each run's report is judged, and nothing else is written.
            CheckName::Trace => of_prompt(own).may(&[&EMIT]).one_of(&[&[], &["probes"], &["emit"]]),
            CheckName::Compare => {
                own.may(&[&MODEL, &REVISION, &OUTPUT]).may(INPUT).one_of(AT_MOST_ONE_INPUT).may(COMPUTING)
            }
            CheckName::Weights | CheckName::Rope => own.must(&[&MODEL]).may(&[&REVISION, &OUTPUT]).may(COMPUTING),
            // Looks at names and shapes: nothing is computed.
            CheckName::Names => own.may(&[&MODEL, &REVISION, &OUTPUT]),
            // Of no model.
            CheckName::Explain | CheckName::Rejudge => own.may(&[&OUTPUT]),
            // Copies a checkpoint: nothing is computed.
            CheckName::Export => own.must(&[&MODEL]).may(&[&REVISION]).must(&[&OUTPUT]).may(&[&MISTAKES]),
        }
    }
}

/// A run on a backend.
pub(crate) fn backend_run_keys() -> Shape {
    Shape::default().must(&[&BACKEND]).may(&[&DEVICE_OF, &DTYPE, &PRECISION])
}

/// A run of an engine.
pub(crate) fn engine_run_keys() -> Shape {
    Shape::default().must(&[&COMMAND]).may(&[&DUMP_FORMAT, &NAME]).may(JUDGED_WITH)
}
