//! Reading a report back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use loupe_spec::{Dtype, echo};
use serde::Deserialize;

use crate::{Report, ReportError, SCHEMA, TensorFile, Written, read_safetensors};

/// Reads the report that `path` names: its prefix, its `.json` or its `.safetensors`.
///
/// # Errors
/// A file that is missing or broken, another schema, or a JSON that does not describe the tensors beside it.
pub fn read(path: &Path) -> Result<(Report, TensorFile), ReportError> {
    let files = Written::named_by(path);
    let report = read_json(&files.json)?;
    let tensors = read_safetensors(&files.safetensors)?;
    let names = tensors.names();
    let held = names.iter().filter_map(|name| Some((name.as_str(), tensors.shape(name)?, tensors.dtype(name)?)));
    agree(&report, held).map_err(|what| ReportError::Disagree { path: files.safetensors.clone(), what })?;
    Ok((report, tensors))
}

/// Whether the file `json` is a report's, of whichever version: a config or a verdict may stand beside tensors, too.
pub fn is_report(json: &Path) -> bool {
    let text = loupe_files::read(json, LARGEST_JSON).unwrap_or_default();
    let schema = serde_json::from_slice::<Version>(&text).ok().and_then(|version| version.schema);
    let family = SCHEMA.split('/').next();
    schema.is_some_and(|schema| schema.split('/').next() == family)
}

/// The files that are read of a candidate `path`: itself, or both of the report that it names.
pub fn files_read(path: &Path) -> Vec<PathBuf> {
    let Written { json, safetensors, .. } = Written::named_by(path);
    if is_report(&json) { vec![json, safetensors] } else { vec![path.to_path_buf()] }
}

/// Read first: what another version calls its keys is not the news.
#[derive(Deserialize)]
struct Version {
    schema: Option<String>,
}

/// A report says a few hundred bytes of each tensor: no model's comes near.
const LARGEST_JSON: u64 = 256 << 20;

fn read_json(path: &Path) -> Result<Report, ReportError> {
    let text = loupe_files::read(path, LARGEST_JSON).map_err(ReportError::io("read", path))?;
    let wrong = |source| ReportError::Json { path: path.to_path_buf(), source };
    let found = serde_json::from_slice::<Version>(&text).map_err(wrong)?.schema;
    if found.as_deref() != Some(SCHEMA) {
        return Err(ReportError::Schema { path: path.to_path_buf(), found, expected: SCHEMA });
    }
    serde_json::from_slice(&text).map_err(wrong)
}

/// Checks that the tensors which a file holds are those that the report summarises; an error is the first difference.
pub(crate) fn agree<'a>(
    report: &Report,
    held: impl Iterator<Item = (&'a str, &'a [usize], Dtype)>,
) -> Result<(), String> {
    let mut held: HashMap<&str, (&[usize], Dtype)> = held.map(|(name, shape, dtype)| (name, (shape, dtype))).collect();
    for (name, summary) in &report.tensors {
        let said = (summary.shape.as_slice(), summary.dtype);
        match held.remove(name.as_str()) {
            Some(found) if found == said => {}
            Some((shape, dtype)) => {
                return Err(format!("\"{}\" is {shape:?} {dtype}, the JSON says {:?} {}", echo(name), said.0, said.1));
            }
            None => return Err(format!("it holds no \"{}\"", echo(name))),
        }
    }
    match held.keys().min() {
        Some(name) => Err(format!("the JSON says nothing of \"{}\"", echo(name))),
        None => Ok(()),
    }
}
