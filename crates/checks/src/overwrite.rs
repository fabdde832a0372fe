//! What a run reads it never writes.

use std::path::{Path, PathBuf};

use loupe_checkpoint::files_of;
use loupe_config::{Check, Format, ModelRef, Request};
use loupe_files::{is_inside, is_one_of};
use loupe_report::{Written, files_read};

use crate::CheckError;

/// Refuses an `output` that would replace a file which `request`, read from the file `config`, names as input; of
/// stimuli, whose folders are cleared first, one that such a file is in. Asked before anything is computed.
///
/// # Errors
/// There is such a file.
pub fn refuse_overwriting(config: &Path, request: &Request) -> Result<(), CheckError> {
    let Some(prefix) = &request.common.output else { return Ok(()) };
    let mut read = inputs(request);
    read.push(config.to_path_buf());
    let Written { json, safetensors, html, doppler } = Written::of(prefix);
    let written = match &request.check {
        check if check.formats().contains(&Format::Html) => vec![json, html],
        Check::Compare(_) | Check::Rejudge(_) | Check::Names { .. } | Check::Explain { .. } => vec![json],
        // Its output is a folder, which it takes only where it holds no checkpoint.
        Check::Export { .. } => Vec::new(),
        Check::Trace { emit: Some(_), .. } => vec![json, safetensors, doppler],
        _ => vec![json, safetensors],
    };
    let stimuli = match &request.check {
        Check::Compare(compare) if compare.stimulus => Some(loupe_stimulus::folder(prefix)),
        _ => None,
    };
    let inside = || read.iter().find(|file| stimuli.as_ref().is_some_and(|folder| is_inside(file, folder)));
    match written.iter().find_map(|target| is_one_of(target, &read)).or_else(inside) {
        Some(file) => Err(CheckError::Overwrite { output: prefix.clone(), file: file.clone() }),
        None => Ok(()),
    }
}

/// Every file that `request` names, and those that go with them.
fn inputs(request: &Request) -> Vec<PathBuf> {
    let model = |model: &ModelRef| files_of(&model.id, model.revision.as_deref());
    match &request.check {
        Check::Embed { model: id, .. }
        | Check::Attn { model: id, .. }
        | Check::Rope { model: id, .. }
        | Check::LayerOut { model: id, .. }
        | Check::Trace { model: id, .. }
        | Check::Export { model: id, .. } => model(id),
        Check::Weights { model: id, against, .. } => model(id).into_iter().chain(against.clone()).collect(),
        Check::Explain { .. } => Vec::new(),
        Check::Rejudge(rejudge) => vec![rejudge.verdict.clone(), Written::of(&rejudge.verdict).json],
        Check::Names { candidate, model: id, .. } => id.iter().flat_map(model).chain(files_read(candidate)).collect(),
        Check::Compare(compare) => {
            let paths = compare.candidates.iter().filter_map(|candidate| candidate.path());
            let reports = paths.chain(compare.reference.report.as_deref()).flat_map(files_read);
            compare.reference.model.iter().flat_map(model).chain(reports).collect()
        }
    }
}
