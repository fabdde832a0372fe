//! `cargo xtask generate`: writes what is made from the code.

use std::path::Path;
use std::process::Command;

use loupe_matrix::io_error;
use miette::{IntoDiagnostic, Result, bail};

use crate::loupe;

/// Writes every generated file that is not as it should be, and says which.
pub fn run() -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let program = loupe::path()?;
    write(&root.join("target/xtask/explain.json"), loupe_generate::CATALOGUE_CHECK)?;
    let mut explain = Command::new(&program);
    let explained = explain.arg("target/xtask/explain.json").current_dir(&root).output();
    if !explained.map_err(io_error("run", &program))?.status.success() {
        bail!("{} does not explain its catalogue: run it on target/xtask/explain.json to see why", program.display());
    }
    let path = root.join(loupe_generate::CATALOGUE);
    let catalogue = std::fs::read(&path).map_err(io_error("read", &path))?;
    let mut said = String::new();
    for (path, text) in loupe_generate::files(&root, serde_json::from_slice(&catalogue).into_diagnostic()?)? {
        if std::fs::read_to_string(root.join(&path)).is_ok_and(|old| old == text) {
            continue;
        }
        write(&root.join(&path), &text)?;
        said += &format!("written: {}\n", path.display());
    }
    Ok(if said.is_empty() { "everything is as it should be\n".to_string() } else { said })
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.with_file_name("");
    std::fs::create_dir_all(&folder).map_err(io_error("make", &folder))?;
    std::fs::write(path, text).map_err(io_error("write", path))?;
    Ok(())
}
