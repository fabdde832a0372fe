//! The catalogue of mistakes: what each is, where it was seen, where it first shows and when it cannot be seen; as an edit of the
//! graph, and where that does not say it, a wrong formula over any backend.
//!
//! Nothing depends on this crate but loupe-runtime, which offers the config key `mistakes`: model, checks and judge know
//! no mistake.

#![forbid(unsafe_code)]

mod catalogue;
mod cite;
mod embed;
mod faults;
mod lookup;
mod mask;
mod mlp;
mod norm;
mod plant;
mod rope;
mod scores;
mod tokens;
mod wiring;

pub use catalogue::ALL;
pub use plant::{PlantError, config_with, edit_prompt, edit_tokens, formulas, known, parse_all};
