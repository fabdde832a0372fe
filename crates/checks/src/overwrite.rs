//! What a run reads it never writes.

use std::path::{Path, PathBuf};

use loupe_checkpoint::files_of;
use loupe_config::{Check, ModelRef, Request};
use loupe_files::is_one_of;
use loupe_report::Written;

use crate::CheckError;

/// Refuses an `output` that would replace a file which `request`, read from the file `config`, names as input. Asked
/// before anything is computed.
///
/// # Errors
/// There is such a file.
pub fn refuse_overwriting(config: &Path, request: &Request) -> Result<(), CheckError> {
    let Some(prefix) = &request.common.output else { return Ok(()) };
    let mut read = inputs(request);
    read.push(config.to_path_buf());
    let Written { json, safetensors } = Written::of(prefix);
    for target in [json, safetensors] {
        if let Some(file) = is_one_of(&target, &read) {
            return Err(CheckError::Overwrite { output: prefix.clone(), file: file.clone() });
        }
    }
    Ok(())
}

/// Every file that `request` names, and those that go with them.
fn inputs(request: &Request) -> Vec<PathBuf> {
    let model = |model: &ModelRef| files_of(&model.id);
    match &request.check {
        Check::Embed { model: id, .. }
        | Check::Attn { model: id, .. }
        | Check::Rope { model: id, .. }
        | Check::LayerOut { model: id, .. }
        | Check::Trace { model: id, .. }
        | Check::Export { model: id, .. } => model(id),
        Check::Weights { model: id, against, .. } => model(id).into_iter().chain(against.clone()).collect(),
        Check::Compare(compare) => {
            let reports = compare.candidates.iter().chain(&compare.reference.report).flat_map(|path| with_twin(path));
            compare.reference.model.iter().flat_map(model).chain(reports).collect()
        }
    }
}

/// `path`, and the two files of the report that it may name.
fn with_twin(path: &Path) -> Vec<PathBuf> {
    let is_either = path.extension().is_some_and(|ending| ending == "json" || ending == "safetensors");
    let prefix = if is_either { path.with_extension("") } else { path.to_path_buf() };
    let Written { json, safetensors } = Written::of(&prefix);
    vec![path.to_path_buf(), json, safetensors]
}
