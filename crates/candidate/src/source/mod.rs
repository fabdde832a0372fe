//! Files that hold a candidate's numbers, told apart by what is in them and not by what they are called.
//!
//! | what | begins with | read by |
//! |---|---|---|
//! | safetensors | a length, then `{` | loupe-report |
//! | `.npy` | `\x93NUMPY` | `npy.rs` |
//! | `.npz` | a zip of `.npy` | `archive.rs` |
//! | torch's `.pt` | a zip with `data.pkl` | `archive.rs`, `pickle.rs`, `torch.rs` |
//! | JSON | `{` | `json.rs`, `document.rs`; of DOPPLER `timeline.rs`, of msProbe `msprobe.rs` |
//! | `.bin`: numbers and nothing else | | `raw.rs` |
//! | a text | | `../text` |
//! | a folder of these | | `folder.rs` |
//!
//! Names and shapes are known once a file is open; numbers are read when they are asked for, a tensor at a time.

mod archive;
mod array;
mod document;
mod error;
mod folder;
mod json;
mod msprobe;
mod npy;
mod opened;
mod pickle;
mod programs;
mod raw;
mod timeline;
mod torch;

use std::io::Read as _;
use std::path::Path;

use loupe_report::read_safetensors;
use loupe_spec::echo;

pub use error::SourceError;
pub use opened::Source;

use crate::text::{Passed, Read, read};

/// Bytes at a file's start that tell what it is.
const MAGIC: usize = 16;

impl Source {
    /// Opens what `path` names.
    ///
    /// # Errors
    /// It cannot be read, is of no kind that is read here, or is broken.
    pub fn open(path: &Path) -> Result<Source, SourceError> {
        if path.is_dir() {
            return folder::open(path, Source::open);
        }
        let mut magic = Vec::new();
        let file = loupe_files::open(path).map_err(SourceError::io(path))?;
        file.take(MAGIC as u64).read_to_end(&mut magic).map_err(SourceError::io(path))?;
        let text = magic.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
        match magic.as_slice() {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => npy::open(path),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => archive::open(path),
            [b'G', b'G', b'U', b'F', ..] => {
                Err(SourceError::other(path, "weights, which are what an engine starts from"))
            }
            [0x80, 2..=5, ..] => Err(SourceError::OldTorch { path: path.to_path_buf() }),
            // The header's length is below a terabyte; a JSON has no zeros.
            [_, _, _, _, _, 0, 0, 0, b'{', ..] => Ok(Source::safetensors(read_safetensors(path)?)),
            // An engine may print its settings before its numbers.
            _ if text == Some(b'{') => json::open(path, Source::open).or_else(|error| of_text(path).map_err(|_| error)),
            _ if path.extension().is_some_and(|ending| ending == "safetensors") => {
                Ok(Source::safetensors(read_safetensors(path)?))
            }
            _ if path.extension().is_some_and(|ending| ending == "bin") => raw::open(path),
            bytes if !bytes.is_empty() && bytes.iter().all(|byte| is_text(*byte)) => of_text(path),
            _ => Err(SourceError::other(path, "a file of another kind")),
        }
    }
}

/// A log of this size has been cut to what matters, or is no log of one prompt.
const LARGEST_TEXT: u64 = 256 << 20;

fn of_text(path: &Path) -> Result<Source, SourceError> {
    let bytes = loupe_files::read(path, LARGEST_TEXT).map_err(SourceError::io(path))?;
    let mut text = read(&String::from_utf8_lossy(&bytes));
    if text.samples.is_empty() {
        text.samples = text.of_one_token();
        text.passed = text.passed.filter(|_| text.samples.is_empty());
    }
    let Read { samples, passed, .. } = text;
    if samples.is_empty() {
        let near =
            passed.map_or(String::new(), |Passed { line, why, .. }| format!("; \"{}\" holds {why}", echo(&line)));
        return Err(SourceError::NoNumbers { path: path.to_path_buf(), near });
    }
    Ok(Source::of_text(path, samples, passed))
}

fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace() || byte >= 0x80 || byte == 0x1b
}
