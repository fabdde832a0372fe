//! Anyone's numbers as a candidate: under Loupe's names, in Loupe's shapes, ready to be judged.
//!
//! An engine calls its values what its authors call them, and writes them as it holds them. Four steps lead from there to
//! probe points:
//!
//! 1. **Names** (`names.rs`, `dialects/`): which probe point a name means, by the config's "names", Loupe's own and those of
//!    programs that are known.
//! 2. **Layouts** (`layout.rs`): in which orders of axes the values may lie, by the tensor's shape.
//! 3. **Readings** (`reading.rs`, `choose.rs`): which order it is, and whether the values are of the stage that they are
//!    called or of its neighbour, by the values themselves. Whatever is not read as documented is said.
//! 4. **Doubts** (`doubts.rs`): values that no engine computes: a buffer of zeros, a copy, bits of another type.
//!
//! Nothing here says right or wrong: that is the judge's (`loupe-judge`).

#![forbid(unsafe_code)]

mod align;
mod choose;
mod counting;
mod dialects;
mod digest;
mod doubts;
mod entries;
mod error;
mod found;
mod fragments;
mod held;
mod hidden;
mod layout;
mod meaning;
mod misfit;
mod names;
mod open;
mod parts;
mod reading;
mod rows;
mod sample;
mod source;
mod text;
mod tokens;

pub use align::{Dump, Sorted, sort};
pub use counting::Counting;
pub use entries::in_any_layer;
pub use error::AlignError;
pub use held::KnownRows;
pub use meaning::{Meaning, Whose};
pub use names::Names;
pub use parts::stacked;
pub use sample::{Printed, Sample, lanes_from};
pub use source::{Source, SourceError};
pub use tokens::may_count_from_one;

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
