//! `export`: writes the checkpoint as a Hugging Face folder, so that another engine can run the same weights.

use std::path::Path;

use loupe_checkpoint::Checkpoint;
use loupe_config::{Common, ModelRef};
use loupe_runtime::{edits, plant_in_config};
use loupe_spec::echo_path;
use serde_json::Value;

use crate::{CheckError, text};

pub(crate) fn run(model: &ModelRef, folder: &Path, common: &Common) -> Result<String, CheckError> {
    let checkpoint = Checkpoint::open(&model.id, model.revision.as_deref())?;
    if common.mistakes.is_empty() {
        checkpoint.export(folder, None)?;
    } else {
        // Before the graph is recorded: config.json may claim layers that are not there.
        checkpoint.tensors()?;
        let edits = edits(&common.mistakes, checkpoint.graph())?;
        let mut document: Value = serde_json::from_str(checkpoint.config_json()).map_err(CheckError::ConfigJson)?;
        plant_in_config(&edits, checkpoint.graph(), &mut document)?;
        checkpoint.export(folder, Some(&document))?;
    }
    let mut out = "loupe export\n".to_string();
    text::field(&mut out, "model", checkpoint.model());
    if !common.mistakes.is_empty() {
        text::field(&mut out, "planted in config.json", &common.mistakes.join(", "));
    }
    text::field(&mut out, "written", &echo_path(folder));
    Ok(out)
}
