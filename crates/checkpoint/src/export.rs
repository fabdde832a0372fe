//! Writing a checkpoint as a Hugging Face folder, so that another engine can run the same weights.

use std::io;
use std::path::Path;

use loupe_spec::{Config, Graph, Weight};
use serde_json::Value;

use crate::names::{CONFIG, TOKENIZER, TOKENIZER_CONFIG};
use crate::table::stored;
use crate::writer::{header, prepare_folder, write_file};
use crate::{Checkpoint, CheckpointError, Tensors};

/// Files that go along unchanged where the checkpoint has them.
const ALONG: [&str; 2] = [TOKENIZER, TOKENIZER_CONFIG];

impl Checkpoint {
    /// Writes config.json, one model.safetensors and the tokenizer (if there is one) to `folder`, which is created where
    /// missing. Tensors are copied as they are stored; those that nothing reads are left out. With `config`, that is
    /// written as config.json in place of the checkpoint's own.
    ///
    /// # Errors
    /// As [`Checkpoint::tensors`]; a folder that already holds a checkpoint; a `config` that is not a Gemma 2's or calls
    /// for tensors of other names or shapes; or a disk that is full.
    pub fn export(&self, folder: &Path, config: Option<&Value>) -> Result<(), CheckpointError> {
        let tensors = self.tensors()?;
        let text = match config {
            Some(edited) => self.edited_config(folder, edited)?,
            None => self.config_json().to_string(),
        };
        self.write(folder, &text, &tensors)
    }

    /// The same with `tensors`, this checkpoint's own with changes, each in the type that it is stored in.
    ///
    /// # Errors
    /// As [`Checkpoint::export`].
    pub fn export_changed(&self, folder: &Path, config: &Value, tensors: &Tensors) -> Result<(), CheckpointError> {
        self.write(folder, &self.edited_config(folder, config)?, tensors)
    }

    fn write(&self, folder: &Path, config: &str, tensors: &Tensors) -> Result<(), CheckpointError> {
        let weights = self.graph().weights().map(|weight| Ok((weight, tensors.entry(weight)?)));
        let weights = weights.collect::<Result<Vec<_>, CheckpointError>>()?;
        let info = |(_, e): &(Weight, crate::Entry<'_>)| (e.name.to_string(), stored(e.dtype), e.shape.to_vec());
        let infos: Vec<_> = weights.iter().map(info).collect();
        prepare_folder(folder)?;
        write_file(folder, "model.safetensors", |out| {
            out.write_all(&header(&infos)?)?;
            weights.iter().try_for_each(|(weight, entry)| {
                match tensors.change(*weight) {
                    Some(change) => {
                        change.parts(entry.dtype, entry.bytes).try_for_each(|part| out.write_all(&part))?;
                    }
                    None => out.write_all(entry.bytes)?,
                }
                tensors.release(*weight, entry.bytes);
                Ok(())
            })
        })?;
        self.write_beside(folder, config)
    }

    /// The tokenizer, and config.json last, so that a folder with a config.json is whole.
    pub(crate) fn write_beside(&self, folder: &Path, config: &str) -> Result<(), CheckpointError> {
        for name in ALONG {
            if let Some(file) = self.source.file(name)? {
                write_file(folder, name, |out| out.write_all(&file.bytes))?;
            }
        }
        write_file(folder, CONFIG, |out| out.write_all(config.as_bytes()))
    }

    /// `edited` as text, once it is known to fit these tensors.
    pub(crate) fn edited_config(&self, folder: &Path, edited: &Value) -> Result<String, CheckpointError> {
        let path = folder.join(CONFIG);
        let io = |e: serde_json::Error| CheckpointError::Io {
            doing: "write",
            path: path.clone(),
            source: io::Error::from(e),
        };
        let text = serde_json::to_string_pretty(edited).map_err(io)?;
        let config =
            Config::from_json(&text).map_err(|source| CheckpointError::Config { path: path.clone(), source })?;
        let shapes = |graph: &Graph| graph.weights().map(|w| (w, graph.weight_shape(w))).collect::<Vec<_>>();
        if shapes(&Graph::of(&config)) == shapes(self.graph()) {
            return Ok(text);
        }
        let reason =
            "the changed config.json calls for tensors of other names or shapes than the checkpoint has".into();
        Err(CheckpointError::Write { folder: folder.into(), reason })
    }
}
