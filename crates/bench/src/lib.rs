//! The benchmarks, which `cargo xtask` runs: how often the verdict is right (`verdict`), and how long Loupe takes
//! (`speed`). Everything goes through the program itself, as a user would run it.

#![forbid(unsafe_code)]

mod document;
mod fixtures;
mod speed;
mod verdict;

pub use fixtures::gemma_2b;
pub use speed::pairs;
pub use verdict::run as verdict;
