//! `rejudge`: what other tolerances say of the numbers of a saved verdict. Nothing is computed again, and the verdict stays.

use loupe_config::Rejudge;
use loupe_judge::Verdicts;
use loupe_report::Written;
use loupe_spec::{echo_path, printable};

use crate::CheckError;
use crate::compare::said;

/// No verdict is larger: one of 2B's 603 stages takes a few megabytes.
const LARGEST: u64 = 256 << 20;

/// The verdict as it was, with what the tolerances say beside it.
pub(crate) fn run(asked: &Rejudge) -> Result<(String, Verdicts), CheckError> {
    // As a candidate may be named by its prefix, so may a verdict.
    let written = Written::of(&asked.verdict).json;
    let path = if !asked.verdict.exists() && written.exists() { &written } else { &asked.verdict };
    let failed = |reason: String| CheckError::NoVerdict { path: echo_path(path), reason };
    let json = loupe_files::read(path, LARGEST).map_err(|error| failed(error.to_string()))?;
    let mut verdicts = Verdicts::from_json(&json).map_err(|error| failed(error.to_string()))?;
    verdicts.verdicts.iter_mut().for_each(|verdict| verdict.tolerate(&asked.policies));
    // Every word of it is the file's, and the file may be anybody's.
    Ok((printable(&said(&verdicts, &asked.format, Some(path))), verdicts))
}
