//! An open candidate, whatever file it is.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use loupe_report::TensorFile;
use loupe_spec::{HostTensor, echo};

use super::error::SourceError;
use crate::Sample;
use crate::text::Passed;

/// Opens what a path names.
pub(super) type Open = fn(&Path) -> Result<Source, SourceError>;

/// What reads the tensors of an open file.
pub(super) trait Reader: fmt::Debug {
    /// Reads the tensor `name` of the file `path`; `None`: it holds none.
    fn get(&self, path: &Path, name: &str) -> Result<Option<HostTensor>, SourceError>;
}

/// An open candidate.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// What it is, for messages.
    pub kind: &'static str,
    pub(super) tensors: Vec<(String, Vec<usize>)>,
    /// Some values of others, as text has them.
    pub samples: Vec<Sample>,
    reader: Box<dyn Reader>,
    is_text: bool,
    /// Of a text, what was passed over.
    passed: Option<Passed>,
}

impl Source {
    /// `path`, which is a `kind` of file, with these tensors and samples, and what reads the former.
    pub(super) fn new(
        path: impl Into<PathBuf>,
        kind: &'static str,
        tensors: Vec<(String, Vec<usize>)>,
        samples: Vec<Sample>,
        reader: impl Reader + 'static,
    ) -> Source {
        let (path, reader) = (path.into(), Box::new(reader));
        Source { path, kind, tensors, samples, reader, is_text: false, passed: None }
    }

    /// A text's numbers are its samples.
    pub(super) fn of_text(path: &Path, samples: Vec<Sample>, passed: Option<Passed>) -> Source {
        let source = Source::new(path, "a text", Vec::new(), samples, Nothing);
        Source { is_text: true, passed, ..source }
    }

    /// A safetensors file that is open.
    pub fn safetensors(file: TensorFile) -> Source {
        let shape = |name: &String| file.shape(name).unwrap_or_default().to_vec();
        let tensors = file.names().into_iter().map(|name| (name.clone(), shape(&name))).collect();
        Source::new(file.path().to_path_buf(), "safetensors", tensors, Vec::new(), file)
    }

    /// Samples that stand in the config itself.
    pub fn typed(samples: Vec<Sample>) -> Source {
        let path = Path::new("the numbers in your config");
        Source::new(path, "numbers of the config", Vec::new(), samples, Nothing)
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
        self.is_text
    }

    /// What it holds that could not be read, a sentence.
    pub fn unread(&self) -> Option<String> {
        let Passed { line, why, count } = self.passed.as_ref()?;
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
        self.reader.get(&self.path, name)?.ok_or_else(missing)
    }
}

/// Of what holds no tensors.
#[derive(Debug)]
struct Nothing;

impl Reader for Nothing {
    fn get(&self, _: &Path, _: &str) -> Result<Option<HostTensor>, SourceError> {
        Ok(None)
    }
}

impl Reader for TensorFile {
    fn get(&self, _: &Path, name: &str) -> Result<Option<HostTensor>, SourceError> {
        Ok(Some(self.get(name)?))
    }
}

/// The name that a file gives its only tensor: its own without ending.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
