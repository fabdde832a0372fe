//! What the files of a report are called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The two files of a report, and what may be beside them: a page, a run as another tool takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `<prefix>.json`
    pub json: PathBuf,
    /// `<prefix>.safetensors`
    pub safetensors: PathBuf,
    /// `<prefix>.html`
    pub html: PathBuf,
    /// `<prefix>.doppler.json`
    pub doppler: PathBuf,
}

impl Written {
    /// The files that a report with this prefix has. The endings are appended: `out/v1.2` has `out/v1.2.json`.
    pub fn of(prefix: &Path) -> Written {
        let with = |ending: &str| {
            let mut path = OsString::from(prefix);
            path.push(ending);
            PathBuf::from(path)
        };
        Written {
            json: with(".json"),
            safetensors: with(".safetensors"),
            html: with(".html"),
            doppler: with(".doppler.json"),
        }
    }

    /// The files of the report that `path` names: its prefix, its `.json` or its `.safetensors`.
    pub fn named_by(path: &Path) -> Written {
        let is_either = path.extension().is_some_and(|ending| ending == "json" || ending == "safetensors");
        Written::of(&if is_either { path.with_extension("") } else { path.to_path_buf() })
    }
}
