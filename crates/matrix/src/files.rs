//! Files, and what cannot be done with one, for a person.

use std::path::{Path, PathBuf};

use loupe_files::{NewFile, folder_of};
use loupe_spec::echo_path;
use miette::{Report, Result, miette};

/// For `map_err`: that `doing` failed for `path`.
pub fn io_error(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Report {
    move |error| miette!("cannot {doing} {}: {error}", echo_path(path))
}

/// Removes `file`, which may be missing.
pub fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", file)(error)),
        _ => Ok(()),
    }
}

/// Writes `text` to `path`, whole or not at all.
pub fn write(path: PathBuf, text: &str) -> Result<PathBuf> {
    let file = NewFile::write(folder_of(&path), |out| out.write_all(text.as_bytes()));
    file.and_then(|file| file.rename(&path)).map_err(io_error("write", &path))?;
    Ok(path)
}
