//! A stimulus on disk: a checkpoint folder, token_ids.json, and the config that judges what an engine makes of them.

use std::fs;
use std::io;
use std::path::Path;

use loupe_checkpoint::{Checkpoint, CheckpointError, Linked};
use loupe_config::Compare;
use serde_json::{Map, Value, json};

use crate::StimulusError;
use crate::variant::Variant;

/// What marks a folder as one of ours, which a later run may write anew.
const TOKEN_IDS: &str = "token_ids.json";

/// Writes `variant` to `folder` and says how its weights came there.
pub fn folder(
    folder: &Path,
    variant: &Variant,
    checkpoint: &Checkpoint,
    compare: &Compare,
) -> Result<String, StimulusError> {
    let io = |doing, path: &Path| {
        let path = path.to_path_buf();
        move |source| StimulusError::Checkpoint(CheckpointError::Io { doing, path, source })
    };
    clear(folder).map_err(io("write anew", folder))?;
    let weights = if variant.reweighted {
        checkpoint.export_changed(folder, &variant.document, &variant.tensors)?;
        "weights: written with that change"
    } else {
        match checkpoint.export_linked(folder, &variant.document)? {
            Linked::Hard => "weights: the original's files, by hard links",
            Linked::Symbolic => "weights: the original's files, by symbolic links",
            Linked::Copied => "weights: a copy of the original's",
        }
    };
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(io("write", &path))
    };
    write("compare.json", config(folder, variant, compare))?;
    write(TOKEN_IDS, format!("{}\n", json!(variant.token_ids)))?;
    Ok(weights.to_string())
}

/// Refuses a `folder` that holds a checkpoint which is no stimulus of ours, at any depth at which stimuli are written.
/// Asked before a model is judged for minutes.
pub fn refuse_taken(folder: &Path) -> Result<(), StimulusError> {
    let inside = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = inside(folder).flat_map(|own| inside(&own).chain([own.clone()]).collect::<Vec<_>>());
    match folders.into_iter().find(|folder| folder.join("config.json").exists() && !folder.join(TOKEN_IDS).is_file()) {
        None => Ok(()),
        Some(folder) => {
            let reason = "it already holds a checkpoint that is no stimulus; name another output".to_string();
            Err(CheckpointError::Write { folder, reason }.into())
        }
    }
}

/// Removes the checkpoint that an earlier run wrote to `folder`, and nothing else: the engine's dump may lie there.
fn clear(folder: &Path) -> io::Result<()> {
    if !folder.join(TOKEN_IDS).is_file() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let weights = name.starts_with("model") && (name.ends_with(".safetensors") || name.ends_with(".index.json"));
        if weights || ["config.json", "tokenizer.json", "tokenizer_config.json"].contains(&name.as_str()) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// compare.json, with what to do written on top.
fn config(folder: &Path, variant: &Variant, compare: &Compare) -> String {
    let folder = folder.display();
    let dump = format!("{folder}/ENGINE_DUMP.safetensors");
    let mut keys = Map::new();
    keys.insert("check".into(), "compare".into());
    keys.insert("model".into(), folder.to_string().into());
    keys.insert("token_ids".into(), json!(variant.token_ids));
    keys.insert("candidate".into(), dump.clone().into());
    if let Some(dtype) = compare.candidate_dtype {
        keys.insert("candidate_dtype".into(), dtype.name().into());
    }
    if !compare.names.is_empty() {
        let names: Map<String, Value> =
            compare.names.iter().map(|entry| (entry.own().to_string(), entry.target().into())).collect();
        keys.insert("names".into(), names.into());
    }
    let changed: String = variant.changed.iter().map(|change| format!("//   {change}\n")).collect();
    format!(
        "// What differs from the checkpoint and prompt that were judged:\n{changed}\
         // In your engine, run the model in this folder on the ids of {TOKEN_IDS}, and write what it computes under names\n\
         // of probe points, as before, to {dump}. Then: loupe {folder}/compare.json\n{:#}\n",
        Value::Object(keys)
    )
}
