//! Files that hold a candidate's numbers, told apart by what is in them and not by what they are called.
//!
//! | what | begins with | read by |
//! |---|---|---|
//! | safetensors | a length, then `{` | loupe-report |
//! | `.npy` | `\x93NUMPY` | `npy.rs` |
//! | `.npz` | a zip of `.npy` | `archive.rs` |
//! | torch's `.pt` | a zip with `data.pkl` | `archive.rs`, `pickle.rs`, `torch.rs` |
//! | JSON | `{` | `json.rs`; of DOPPLER `timeline.rs`, of msProbe `msprobe.rs` |
//! | `.bin`: numbers and nothing else | | `raw.rs` |
//! | a text | | `../text` |
//! | a folder of these | | `folder.rs` |
//!
//! Names and shapes are known once a file is open; numbers are read when they are asked for, a tensor at a time.

mod archive;
mod error;
mod folder;
mod json;
mod msprobe;
mod npy;
mod pickle;
mod programs;
mod raw;
mod timeline;
mod torch;

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use loupe_report::{TensorFile, read_safetensors};
use loupe_spec::{HostTensor, echo};

pub use error::SourceError;

use crate::Sample;
use crate::text::{Passed, Read, read};

/// An open candidate.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// What it is, for messages.
    pub kind: &'static str,
    tensors: Vec<(String, Vec<usize>)>,
    /// Some values of others, as text has them.
    pub samples: Vec<Sample>,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Safetensors(TensorFile),
    Archive(archive::Archive),
    Npy,
    /// Type, shape and place of each tensor in a file of numbers alone.
    Raw(BTreeMap<String, raw::Part>),
    /// A text's numbers are its samples. What was passed over.
    Text(Option<Passed>),
    /// A JSON is parsed as a whole; what it names of other files is read when it is asked for.
    Json(BTreeMap<String, json::Array>),
    /// Files, and of each name which of them holds it under which name.
    Folder(Vec<Source>, BTreeMap<String, (usize, String)>),
}

/// Bytes at a file's start that tell what it is.
const MAGIC: usize = 16;

impl Source {
    /// Opens what `path` names.
    ///
    /// # Errors
    /// It cannot be read, is of no kind that is read here, or is broken.
    pub fn open(path: &Path) -> Result<Source, SourceError> {
        if path.is_dir() {
            return folder::open(path);
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
            _ if text == Some(b'{') => json::open(path).or_else(|error| of_text(path).map_err(|_| error)),
            _ if path.extension().is_some_and(|ending| ending == "safetensors") => {
                Ok(Source::safetensors(read_safetensors(path)?))
            }
            _ if path.extension().is_some_and(|ending| ending == "bin") => raw::open(path),
            bytes if !bytes.is_empty() && bytes.iter().all(|byte| is_text(*byte)) => of_text(path),
            _ => Err(SourceError::other(path, "a file of another kind")),
        }
    }

    /// A safetensors file that is open.
    pub fn safetensors(file: TensorFile) -> Source {
        let shape = |name: &String| file.shape(name).unwrap_or_default().to_vec();
        let tensors = file.names().into_iter().map(|name| (name.clone(), shape(&name))).collect();
        let path = file.path().to_path_buf();
        Source { path, kind: "safetensors", tensors, samples: Vec::new(), reader: Reader::Safetensors(file) }
    }

    /// Samples that stand in the config itself.
    pub fn typed(samples: Vec<Sample>) -> Source {
        let (path, reader) = (PathBuf::from("the numbers in your config"), Reader::Json(BTreeMap::new()));
        Source { path, kind: "numbers of the config", tensors: Vec::new(), samples, reader }
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of every tensor, in the order of the file, those of which there are some values among them.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.iter().map(|(name, _)| name.clone()).collect();
        let mut seen: HashSet<String> = names.iter().cloned().collect();
        names.extend(self.samples.iter().map(|sample| sample.name.clone()).filter(|name| seen.insert(name.clone())));
        names
    }

    /// The shape of a tensor, without reading it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.iter().find(|(own, _)| own == name).map(|(_, shape)| shape.as_slice())
    }

    /// Whether it is lines of a log, in which nothing is certain.
    pub fn is_text(&self) -> bool {
        matches!(self.reader, Reader::Text(_))
    }

    /// What it holds that could not be read, a sentence.
    pub fn unread(&self) -> Option<String> {
        let Reader::Text(Some(Passed { line, why, count })) = &self.reader else { return None };
        let more = match count - 1 {
            0 => String::new(),
            1 => " and 1 more line".to_string(),
            more => format!(" and {more} more lines"),
        };
        Some(format!("\"{}\"{more}: not read; it holds {why}", echo(line)))
    }

    /// Reads one tensor.
    ///
    /// # Errors
    /// No tensor of that name, a type that Loupe cannot read, or a read that fails.
    pub fn get(&self, name: &str) -> Result<HostTensor, SourceError> {
        let missing = || SourceError::broken(&self.path, format!("it holds no \"{name}\""));
        match &self.reader {
            Reader::Safetensors(file) => Ok(file.get(name)?),
            Reader::Archive(archive) => archive.get(&self.path, name),
            Reader::Npy => npy::get(&self.path),
            Reader::Text(_) => Err(missing()),
            Reader::Raw(parts) => parts.get(name).ok_or_else(missing)?.get(),
            Reader::Json(arrays) => arrays.get(name).ok_or_else(missing)?.get(),
            Reader::Folder(files, held) => {
                let (file, own) = held.get(name).ok_or_else(missing)?;
                files[*file].get(own)
            }
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
    let reader = Reader::Text(passed);
    Ok(Source { path: path.to_path_buf(), kind: "a text", tensors: Vec::new(), samples, reader })
}

fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace() || byte >= 0x80 || byte == 0x1b
}

/// The name that a file gives its only tensor: its own without ending.
fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
