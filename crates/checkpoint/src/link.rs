//! A second checkpoint over the same weights, without a second copy of them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

use crate::names::{INDEX, SINGLE};
use crate::writer::{prepare_folder, write_file};
use crate::{Checkpoint, CheckpointError};

/// How a checkpoint's weights came to stand in a second folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Linked {
    /// The same file under a second name.
    Hard,
    /// A link that points at the first name.
    Symbolic,
    /// Copied: the weights are inside the program, or the file system has no links.
    Copied,
}

impl Checkpoint {
    /// Writes a folder with `config` as config.json, the tokenizer, and this checkpoint's weights: hard links, symbolic
    /// ones where those are refused (another disk), copies where both are. Says the costliest of what was needed.
    ///
    /// # Errors
    /// As [`Checkpoint::export`].
    pub fn export_linked(&self, folder: &Path, config: &Value) -> Result<Linked, CheckpointError> {
        let text = self.edited_config(folder, config)?;
        let tensors = self.tensors()?;
        prepare_folder(folder)?;
        let mut linked = Linked::Hard;
        for shard in tensors.shards() {
            linked = linked.max(link(&shard.path, &shard.bytes, folder)?);
        }
        if !tensors.shards().iter().any(|shard| shard.path.ends_with(SINGLE))
            && let Some(index) = self.source.file(INDEX)?
        {
            linked = linked.max(link(&index.path, &index.bytes, folder)?);
        }
        self.write_beside(folder, &text)?;
        Ok(linked)
    }
}

/// Brings the file `path`, which holds `bytes`, into `folder` under its own name.
fn link(path: &Path, bytes: &Bytes, folder: &Path) -> Result<Linked, CheckpointError> {
    let name = path.file_name().unwrap_or_default();
    // In the hub's cache a file is itself a link: the second folder should outlive the first name. What is inside the
    // program has no path that resolves.
    if let Ok(original) = fs::canonicalize(path) {
        if fs::hard_link(&original, folder.join(name)).is_ok() {
            return Ok(Linked::Hard);
        }
        if symlink(&original, &folder.join(name)).is_ok() {
            return Ok(Linked::Symbolic);
        }
    }
    write_file(folder, &name.to_string_lossy(), |out: &mut dyn Write| out.write_all(bytes))?;
    Ok(Linked::Copied)
}

#[cfg(unix)]
fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(original, link)
}

#[cfg(not(unix))]
fn symlink(_original: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::SMALL;
    use crate::{Change, RowSelection, write_random};
    use loupe_spec::{Dtype, Weight};

    fn open(folder: &Path) -> Checkpoint {
        Checkpoint::open(folder.to_str().unwrap(), None).unwrap()
    }

    #[test]
    fn linked_weights_are_the_same_and_take_no_room() {
        let scratch = tempfile::tempdir().unwrap();
        let [first, second, inside] = ["first", "second", "inside"].map(|name| scratch.path().join(name));
        write_random(SMALL, &first, 3, 5, &mut |_, _| ()).unwrap();
        let mut config: Value = serde_json::from_str(SMALL).unwrap();
        config["sliding_window"] = 2.into();
        assert_eq!(open(&first).export_linked(&second, &config).unwrap(), Linked::Hard);
        let linked = open(&second);
        assert_eq!(linked.config().sliding_window, 2);
        let [a, b] =
            [open(&first), linked].map(|c| c.tensors().unwrap().read(Weight::NORM, RowSelection::All, Dtype::F32));
        assert_eq!(a.unwrap(), b.unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let shard = second.join("model-00002-of-00003.safetensors");
            assert_eq!(fs::metadata(shard).unwrap().nlink(), 2);
        }
        let builtin = Checkpoint::open("builtin:tiny", None).unwrap();
        let config = serde_json::from_str(builtin.config_json()).unwrap();
        assert_eq!(builtin.export_linked(&inside, &config).unwrap(), Linked::Copied);
        assert!(open(&inside).encode("The color").is_ok());
    }

    #[test]
    fn changed_weights_read_as_they_are_written() {
        let scratch = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| scratch.path().join(name));
        write_random(SMALL, &first, 1, 5, &mut |_, _| ()).unwrap();
        let checkpoint = open(&first);
        let query = "model.layers.1.self_attn.q_proj.weight".parse().unwrap();
        let changes = [(query, Change::Times(8.0)), (Weight::NORM, Change::NormTimes(3.0))];
        let changed = checkpoint.tensors().unwrap().changed(changes);
        let config = serde_json::from_str(checkpoint.config_json()).unwrap();
        checkpoint.export_changed(&second, &config, &changed).unwrap();
        let (plain, written) = (checkpoint.tensors().unwrap(), open(&second).tensors().unwrap());
        for weight in checkpoint.graph().weights() {
            let [plain, changed, written] = [&plain, &changed, &written]
                .map(|t| t.read(weight, RowSelection::All, Dtype::F64).unwrap().values.to_f64());
            assert_eq!(changed, written, "{weight}");
            for (w, c) in plain.into_iter().zip(changed) {
                let expected = match weight {
                    Weight::NORM => Dtype::Bf16.round(3.0 * (1.0 + w) - 1.0),
                    w1 if w1 == query => 8.0 * w,
                    _ => w,
                };
                assert_eq!(c, expected, "{weight}");
            }
        }
        // A run of rows too: those of the second half.
        let rows = changed.read(query, RowSelection::Range(4..8), Dtype::F64).unwrap().values;
        assert_eq!(rows.to_f64(), written.read(query, RowSelection::Range(4..8), Dtype::F64).unwrap().values.to_f64());
    }
}
