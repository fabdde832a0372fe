//! One safetensors file: its header, checked.

use std::path::PathBuf;

use bytes::Bytes;
use loupe_spec::echo;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, SafeTensorError, TensorInfo};

use crate::CheckpointError;
use crate::map::Pages;
use crate::source::File;

/// Bytes of the little-endian length that precedes the header.
const LENGTH: usize = 8;

/// A safetensors file whose header is sound: every tensor lies inside the file, none overlap, nothing is left over.
#[derive(Debug)]
pub(crate) struct Shard {
    pub path: PathBuf,
    pub bytes: Bytes,
    pages: Option<Pages>,
    /// Where the data starts.
    data: usize,
    metadata: Metadata,
}

impl Shard {
    /// Reads and checks the header.
    pub fn read(file: File) -> Result<Shard, CheckpointError> {
        match SafeTensors::read_metadata(&file.bytes) {
            Ok((header, metadata)) => {
                Ok(Shard { path: file.path, bytes: file.bytes, pages: file.pages, data: LENGTH + header, metadata })
            }
            Err(error) => Err(CheckpointError::Safetensors { reason: explain(&error, &file.bytes), path: file.path }),
        }
    }

    /// Header length and header, as in the file.
    pub fn header(&self) -> &[u8] {
        self.bytes.get(..self.data).unwrap_or_default()
    }

    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.metadata.info(name)
    }

    /// A tensor's bytes, row-major, little-endian.
    pub fn tensor(&self, info: &TensorInfo) -> &[u8] {
        let (start, end) = info.data_offsets;
        // Inside the file: `read_metadata` checked it.
        self.bytes.get(self.data + start..self.data + end).unwrap_or_default()
    }
}

impl Shard {
    /// Lets go of the memory behind `part`, which was read.
    pub fn release(&self, part: &[u8]) {
        if let Some(pages) = &self.pages {
            pages.release(part);
        }
    }
}

/// What is wrong with the file, in words for someone who did not write it.
fn explain(error: &SafeTensorError, bytes: &[u8]) -> String {
    use SafeTensorError as E;
    let length = bytes.len();
    if bytes.starts_with(b"version https://git-lfs") {
        return "it is a git-lfs pointer, the data was not fetched; run `git lfs pull` in its folder".into();
    }
    let claimed = bytes.first_chunk().map(|first| u64::from_le_bytes(*first)).unwrap_or(0);
    match error {
        E::HeaderTooSmall => format!("it has {length} bytes, less than the {LENGTH} that give its header's length"),
        E::HeaderTooLarge | E::InvalidHeaderLength => format!(
            "it claims a header of {claimed} bytes, but has {length} bytes in all: \
             it is cut off or of another format; fetch it again"
        ),
        E::InvalidHeader(utf8) => format!("its header is not text: {utf8}"),
        E::InvalidHeaderDeserialization(json) | E::JsonError(json) => {
            format!("its header is not readable: {}", echo(&json.to_string()))
        }
        E::InvalidOffset(name) => {
            format!(
                "the data_offsets of {} in its header overlap those of another tensor, or leave a gap before it",
                echo(name)
            )
        }
        E::TensorInvalidInfo => "a tensor's data_offsets do not span shape x dtype bytes".into(),
        E::ValidationOverflow => "a tensor's shape in its header is too large to exist".into(),
        E::MetadataIncompleteBuffer => {
            let header = bytes.get(LENGTH..).and_then(|rest| rest.get(..usize::try_from(claimed).ok()?));
            let needed = header.and_then(|h| serde_json::from_slice::<Metadata>(h).ok()).map_or(0, |m| m.data_len());
            let expected = needed as u64 + claimed + LENGTH as u64;
            let trouble = if (length as u64) < expected { "cut off" } else { "followed by something else" };
            format!(
                "its header describes a file of {expected} bytes, but it has {length}: it is {trouble}; fetch it again"
            )
        }
        other => echo(&other.to_string()),
    }
}
