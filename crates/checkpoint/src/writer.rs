//! Writing a checkpoint's files: each under a temporary name, renamed when it is whole.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use loupe_files::NewFile;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::CheckpointError;
use crate::names::ALL;

/// Refuses a folder that already holds a checkpoint, and creates it where it is missing.
pub(crate) fn prepare_folder(folder: &Path) -> Result<(), CheckpointError> {
    if let Some(name) = ALL.into_iter().find(|name| folder.join(name).exists()) {
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
    let write = || {
        let new = NewFile::write(folder, fill)?;
        new.sync()?;
        new.rename(&path)
    };
    write().map_err(|source| CheckpointError::Io { doing: "write", path: path.clone(), source })
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
