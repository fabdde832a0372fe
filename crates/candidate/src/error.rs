//! Why a candidate cannot be judged.

use loupe_spec::{Probe, ReplayError, echo};

/// A candidate that cannot be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum AlignError {
    /// Not one tensor has a name of ours.
    #[error(
        "{}: nothing to compare: none of its {count} tensors has a name that Loupe knows. It holds {found}. Map its \
         names to probe points (docs/probes.md): \"names\": {{{entries}}}",
        echo(.path)
    )]
    Nothing {
        /// The file.
        path: String,
        /// How many there are.
        count: usize,
        /// The first of them, in words.
        found: String,
        /// What the config's "names" may hold.
        entries: String,
    },
    /// What has a name of ours is packed in a way that cannot be read.
    #[error("{}: nothing to compare: {}", echo(.path), .what.join("; "))]
    NotComparable {
        /// The file.
        path: String,
        /// A sentence a tensor.
        what: Vec<String>,
    },
    /// Two tensors are the same probe.
    #[error("{}: \"{}\" and \"{}\" are both {probe}, expected one tensor for it", echo(.path), echo(.first), echo(.second))]
    Twice {
        /// The file.
        path: String,
        /// One.
        first: String,
        /// The other.
        second: String,
        /// What both are.
        probe: Probe,
    },
    /// Which reading it is could not be found out.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A position that the prompt does not have.
    #[error("\"positions\" holds {position}, but the prompt has {tokens} tokens, 0 to {}", .tokens - 1)]
    Position {
        /// As given.
        position: usize,
        /// T
        tokens: usize,
    },
}
