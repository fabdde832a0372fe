//! Reading a report back.

use std::collections::HashMap;
use std::path::Path;

use loupe_spec::Dtype;
use serde::Deserialize;

use crate::{Report, ReportError, SCHEMA, TensorFile, Written, read_safetensors};

/// Reads the report that `path` names: its prefix, its `.json` or its `.safetensors`.
///
/// # Errors
/// A file that is missing or broken, another schema, or a JSON that does not describe the tensors beside it.
pub fn read(path: &Path) -> Result<(Report, TensorFile), ReportError> {
    let ours = path.extension().is_some_and(|ending| ending == "json" || ending == "safetensors");
    let files = Written::of(&if ours { path.with_extension("") } else { path.to_path_buf() });
    let report = read_json(&files.json)?;
    let tensors = read_safetensors(&files.safetensors)?;
    let names = tensors.names();
    let held = names.iter().filter_map(|name| Some((name.as_str(), tensors.shape(name)?, tensors.dtype(name)?)));
    agree(&report, held).map_err(|what| ReportError::Disagree { path: files.safetensors.clone(), what })?;
    Ok((report, tensors))
}

/// A report says a few hundred bytes of each tensor: no model's comes near.
const LARGEST_JSON: u64 = 256 << 20;

fn read_json(path: &Path) -> Result<Report, ReportError> {
    /// Read first: what another version calls its keys is not the news.
    #[derive(Deserialize)]
    struct Version {
        schema: Option<String>,
    }

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
                return Err(format!("\"{name}\" is {shape:?} {dtype}, the JSON says {:?} {}", said.0, said.1));
            }
            None => return Err(format!("it holds no \"{name}\"")),
        }
    }
    match held.keys().min() {
        Some(name) => Err(format!("the JSON says nothing of \"{name}\"")),
        None => Ok(()),
    }
}
