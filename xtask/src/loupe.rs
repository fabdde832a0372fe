//! The `loupe` to run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use miette::{Result, bail, miette};
use serde_json::Value;

/// The binary that `LOUPE_BIN` names, or else the one of this workspace, built now.
pub fn path() -> Result<PathBuf> {
    loupe_matrix::named_loupe()?.map_or_else(build, Ok)
}

fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--package", "loupe", "--message-format", "json-render-diagnostics"]);
    // `cargo run` describes xtask in these, and build scripts that look at them (ring's) would run again each time.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            cargo.env_remove(name);
        }
    }
    // What it compiles, and why that fails, is cargo's to show.
    let built = cargo.stderr(Stdio::inherit()).output().map_err(|error| miette!("cannot run cargo: {error}"))?;
    if !built.status.success() {
        bail!("loupe does not build ({}); cargo says why above", built.status);
    }
    // One JSON object a line; the last of them that names an executable is loupe.
    let stdout = String::from_utf8_lossy(&built.stdout);
    let messages = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = messages.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)));
    executables.next_back().ok_or_else(|| miette!("cargo built loupe and named no executable; name one in LOUPE_BIN"))
}
