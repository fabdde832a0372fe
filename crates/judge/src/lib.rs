//! The judge: is a difference rounding or a mistake, at which stage, which mistake.
//!
//! It knows no burn and no backend. A candidate is a set of tensors under probe names; whatever must be recomputed
//! is asked of a [`Replayer`](loupe_spec::Replayer). [`judge`](fn@judge) goes through the verdict in the order of rising effort: structure, exact
//! equality, local error of each stage against a noise budget measured on the same inputs, then names.
//!
//! `noise.rs` has the statistics, `naming/` the search for a mistake, `limits.rs` every number that they decide by. `metrics.rs` and
//! `policy.rs` have what others would decide by.

#![forbid(unsafe_code)]

mod candidate;
mod case;
mod choose_precision;
mod conclude;
mod coverage;
mod decisive;
mod error;
mod faults;
mod finding;
mod judge;
mod layout;
mod limits;
mod metrics;
mod naming;
mod noise;
mod number;
mod picture;
mod policy;
mod precision;
mod render;
mod segments;
mod stage;
mod statistic;
mod values;
mod verdict;
mod visibility;
mod words;

pub use candidate::{Aligned, Candidate, Fragment, MOST_NAMES, Rows, found};
pub use coverage::{Coverage, NotRecorded};
pub use error::JudgeError;
pub use finding::{Confidence, FittedParameter, NamedMistake};
pub use judge::{Judged, judge};
pub use picture::{Detail, FIRST_STEP, Picture, Regression, STEPS, WorstValue};
pub use policy::{Share, Tally, Tolerated};
pub use render::{
    AllLayers, Inputs, Line, Part, SHARES, Shares, answer, coordinates, first, headline, inputs, notes, number,
    one_line, over_layers, shares, short, text, tolerated, with_first,
};
pub use statistic::{Statistic, StatisticKind};
pub use values::{Expected, judge_values};
pub use verdict::{
    CandidateInfo, Class, Divergence, Judgement, SCHEMA, Shown, StageVerdict, Start, Stimulus, Unseen, Verdict,
    VerdictError, Verdicts, Why,
};
pub use visibility::{Moved, Visibility};

/// For tests: the probe of this name.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
fn probe(name: &str) -> loupe_spec::Probe {
    name.parse().unwrap()
}

/// For tests: two layers, six wide, two query heads on one key head of four.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
fn small_graph() -> loupe_spec::Graph {
    let config = loupe_spec::Config::from_json(
        r#"{"model_type":"gemma2","vocab_size":8,"hidden_size":6,"intermediate_size":4,"num_hidden_layers":2,
            "num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#,
    );
    loupe_spec::Graph::of(&config.unwrap())
}
