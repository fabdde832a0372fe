//! What cannot be done with a file, for a person.

use std::path::Path;

use loupe_spec::echo_path;
use miette::{Report, miette};

/// For `map_err`: that `doing` failed for `path`.
pub fn io_error(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Report {
    move |error| miette!("cannot {doing} {}: {error}", echo_path(path))
}
