//! `export`: writes the checkpoint as a Hugging Face folder, so that another engine can run the same weights.

use std::path::Path;

use loupe_checkpoint::Checkpoint;
use loupe_config::{Common, ModelRef};

use crate::{CheckError, text};

pub(crate) fn run(model: &ModelRef, folder: &Path, common: &Common) -> Result<String, CheckError> {
    if let Some(first) = common.mistakes.first() {
        return Err(CheckError::NotExportable(first.clone()));
    }
    let checkpoint = Checkpoint::open(&model.id, model.revision.as_deref())?;
    checkpoint.export(folder, None)?;
    let mut out = "loupe export\n".to_string();
    text::field(&mut out, "model", checkpoint.model());
    text::field(&mut out, "written", &folder.display().to_string());
    Ok(out)
}
