//! The five checks, `trace` and `export`: what each reads, runs and prints.
//!
//! [`run`] takes a parsed config and gives back text for people, findings, and the report with its tensors. Each
//! check decides which probes it wants; `loupe-runtime` runs exactly those stages. Judging is `loupe-judge`'s:
//! `compare` here opens what it needs and answers its questions.

#![forbid(unsafe_code)]

mod attn;
mod blocks;
mod candidate;
mod compare;
mod compare_values;
mod done;
mod doppler;
mod embed;
mod error;
mod explain;
mod export;
mod layer_out;
mod names;
mod next;
mod next_config;
mod overwrite;
mod progress;
mod prompt;
mod references;
mod rejudge;
mod rope;
mod run;
mod session;
mod text;
mod token_mistake;
mod trace_check;
mod weights;

pub use error::CheckError;
pub use overwrite::refuse_overwriting;
pub use run::{BURN, Files, Outcome, run};
pub use session::Session;
