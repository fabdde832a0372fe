//! `cargo xtask compare`: builds `loupe` and hands it the matrix.

use std::path::Path;
use std::process::Command;

use loupe_matrix::io_error;
use miette::Result;

use crate::loupe;

/// `loupe MATRIX`; its exit code.
pub fn run(matrix: &Path) -> Result<u8> {
    let program = loupe::path()?;
    let status = Command::new(&program).arg(matrix).status().map_err(io_error("run", &program))?;
    // Killed by a signal, it has none.
    Ok(status.code().and_then(|code| code.try_into().ok()).unwrap_or(3))
}
