//! Why a run stopped.

use loupe_spec::Probe;

use crate::Bytes;

/// Whatever the source of the weights says went wrong (a file, a NaN in it, an upload).
pub type WeightError = Box<dyn std::error::Error + Send + Sync>;

/// What an observer says went wrong.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;

/// Each with what was asked and what there is.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A tensor could not be had.
    #[error("{0}")]
    Weight(WeightError),
    /// The observer said no.
    #[error("{0}")]
    Observer(ObserverError),
    /// A replay lacks a starting point.
    #[error("{probe} cannot be computed: it needs {missing}, which was not given and has no inputs of its own")]
    Missing {
        /// What was to be computed.
        probe: Probe,
        /// What it needs.
        missing: Probe,
    },
    /// A stage got an input that it cannot use.
    #[error("input {index} of {probe} should be {expected}")]
    Input {
        /// The stage.
        probe: Probe,
        /// Which of its inputs.
        index: usize,
        /// What it should have been.
        expected: &'static str,
    },
    /// A formula that needs a tensor, of a value that has none.
    #[error("{0} is computed with no tensor")]
    NoTensor(Probe),
    /// A stage that its inputs are computed from.
    #[error("{0} is computed from itself")]
    Circular(Probe),
    /// The checkpoint has no such probe.
    #[error("this model has no probe {0}: it has {1} layers")]
    NoSuchProbe(Probe, usize),
    /// A value larger than the device can hold as one tensor.
    #[error(
        "{probe} would take {bytes} bytes for {tokens} tokens, and this device holds at most {limit} in one tensor; \
         use a shorter prompt, or backend flex"
    )]
    TooLarge {
        /// What was to be computed.
        probe: Probe,
        /// Its size.
        bytes: usize,
        /// T
        tokens: usize,
        /// The device's limit.
        limit: usize,
    },
    /// More than there is.
    #[error(
        "{tokens} tokens would take about {} of memory, and {} are free ({largest} alone takes {}); run a shorter prompt, or \
         record fewer stages and layers (\"probes\" and \"layers\" of a trace)",
        Bytes(*.bytes), Bytes(*.free), Bytes(*.largest_bytes)
    )]
    Memory {
        /// What the run would take.
        bytes: usize,
        /// What there is.
        free: usize,
        /// T
        tokens: usize,
        /// Its largest value.
        largest: Probe,
        /// That value's size.
        largest_bytes: usize,
    },
    /// A token outside the vocabulary.
    #[error("token id {id} at position {position} is outside the vocabulary of {vocab_size}")]
    TokenId {
        /// The id.
        id: usize,
        /// Where in the prompt.
        position: usize,
        /// V
        vocab_size: usize,
    },
}
