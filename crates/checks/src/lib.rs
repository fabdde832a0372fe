//! The five checks, `trace` and `export`: what each reads, runs and prints.
//!
//! [`run`] takes a parsed config and gives back text for people, findings, and the report with its tensors. Each
//! check decides which probes it wants; `loupe-engine` runs exactly those stages. Comparing is not done here.

mod attn;
mod blocks;
mod embed;
mod error;
mod export;
mod layer_out;
mod rope;
mod run;
mod session;
mod text;
mod trace_check;
mod weights;

pub use error::CheckError;
pub use run::{Outcome, run};
pub use session::Session;
