//! Why there is no verdict.

use loupe_spec::{Arithmetic, Dtype, ReplayError, echo};

/// Each with what to do.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A stage could not be recomputed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The config names an arithmetic that values of this storage do not come from.
    #[error(
        "\"candidate_dtype\": \"{arithmetic}\" is no arithmetic of values stored in {storage}, as {}'s are; leave it out, \
         or say one of {}", echo(.path), .known.join(", ")
    )]
    Arithmetic {
        /// The candidate's file.
        path: String,
        /// As named.
        arithmetic: Arithmetic,
        /// What its values are stored in.
        storage: Dtype,
        /// Those that are.
        known: Vec<String>,
    },
    /// Tensors were recorded, and none of their values can be held against anything.
    #[error(
        "{}: nothing to compare: no value of {} counts (a score that the engine masked in place, or what does not \
         follow from numbers, does not)", echo(.path), .stages.join(", ")
    )]
    Nothing {
        /// The candidate's file.
        path: String,
        /// What was recorded.
        stages: Vec<String>,
    },
}
