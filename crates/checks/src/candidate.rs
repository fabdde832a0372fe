//! A candidate's files: Loupe's report, or whatever else holds an engine's numbers.

use std::path::Path;

use loupe_candidate::{Printed, Sample, Source, lanes_from};
use loupe_config::Typed;
use loupe_report::{Report, Written, is_report, read};

use crate::CheckError;

pub(crate) struct Loaded {
    pub path: String,
    pub report: Option<Report>,
    pub source: Source,
}

/// The numbers that stand in the config.
pub(crate) fn typed(numbers: &[Typed]) -> Loaded {
    let sample = |typed: &Typed| {
        let numbers: Vec<Printed> = typed.numbers.iter().filter_map(|text| Printed::parse(text)).collect();
        let lanes = lanes_from(typed.from, numbers.len());
        Sample { name: typed.name.clone(), token: typed.token, lanes, numbers, ..Sample::default() }
    };
    let source = Source::typed(numbers.iter().map(sample).collect());
    Loaded { path: source.path().display().to_string(), report: None, source }
}

/// Opens the candidate that `path` names: a report by its prefix or by either of its files, or anything else that holds
/// tensors.
///
/// # Errors
/// What is there is neither, or is broken.
pub(crate) fn load(path: &Path) -> Result<Loaded, CheckError> {
    let shown = path.display().to_string();
    // What is there, though it is a link that leads nowhere, is meant itself.
    let is_nothing = std::fs::symlink_metadata(path).is_err();
    let json = Written::named_by(path).json;
    if is_nothing && std::fs::symlink_metadata(&json).is_err() {
        return Err(CheckError::NoCandidate { path: shown, json: json.display().to_string() });
    }
    // A report's prefix may have dots in it, and there may be a folder of the same name.
    if is_report(&json) || is_nothing {
        let (report, file) = read(path)?;
        return Ok(Loaded { path: shown, report: Some(report), source: Source::safetensors(file) });
    }
    Ok(Loaded { path: shown, report: None, source: Source::open(path)? })
}
