//! Writing a checkpoint's files: each under a temporary name, renamed when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};

use crate::CheckpointError;

/// Refuses a folder that already holds a checkpoint, and creates it where it is missing.
pub(crate) fn prepare_folder(folder: &Path) -> Result<(), CheckpointError> {
    let taken = ["config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"];
    if let Some(name) = taken.into_iter().find(|name| folder.join(name).exists()) {
        let reason = format!("it already holds {name}, and nothing is overwritten; name a new folder");
        return Err(CheckpointError::Write { folder: folder.into(), reason });
    }
    fs::create_dir_all(folder).map_err(|source| CheckpointError::Io { doing: "create", path: folder.into(), source })
}

/// Writes `folder/name`: `fill` writes the content. A failure leaves nothing behind.
pub(crate) fn write_file(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CheckpointError> {
    let path = folder.join(name);
    let partial = Partial(folder.join(format!(".{name}.partial")));
    let write = || {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial.0)?);
        fill(&mut out)?;
        out.into_inner()?.sync_all()?;
        fs::rename(&partial.0, &path)
    };
    write().map_err(|source| CheckpointError::Io { doing: "write", path: path.clone(), source })
}

/// A file that goes away with this value, unless it has been renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already where it was renamed; where removing fails there is nobody left to tell.
        let _ = fs::remove_file(&self.0);
    }
}

/// The length and the header of a safetensors file of these tensors (name, type, shape), in this order, padded to 8
/// bytes. The data follows, tensor after tensor.
pub(crate) fn header(tensors: &[(String, safetensors::Dtype, Vec<usize>)]) -> io::Result<Vec<u8>> {
    let mut offset = 0;
    let infos = tensors.iter().map(|(name, dtype, shape)| {
        let start = offset;
        // No overflow: config.json's sizes are below 2^24 and tensors have two axes, as the table says.
        offset += shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (name.clone(), TensorInfo { dtype: *dtype, shape: shape.clone(), data_offsets: (start, offset) })
    });
    // transformers before 5 refuses a file whose metadata does not say which framework its layout is of.
    let format = [("format".to_string(), "pt".to_string())].into();
    let metadata = Metadata::new(Some(format), infos.collect()).map_err(io::Error::other)?;
    let mut text = serde_json::to_vec(&metadata)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes(), text.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing_and_says_which_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_file(folder.path(), "a.json", |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        let text = error.unwrap_err().to_string();
        assert!(text.contains("a.json: disk full"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        write_file(folder.path(), "a.json", |out| out.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(folder.path().join("a.json")).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
