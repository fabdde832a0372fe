//! A folder of files, each with one tensor or several: `layer_0/q_proj.npy` is the tensor `layer_0/q_proj`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loupe_spec::HostTensor;

use super::error::SourceError;
use super::opened::{Open, Reader, Source, stem};
use super::programs::{called, is_weight};

/// A folder with more files than this is somebody's home.
const MOST_FILES: usize = 100_000;
/// Folders below folders.
const DEEPEST: usize = 8;
const ENDINGS: [&str; 6] = ["npy", "npz", "pt", "pth", "bin", "safetensors"];

pub(super) fn open(path: &Path, open: Open) -> Result<Source, SourceError> {
    let mut files = Vec::new();
    gather(path, DEEPEST, &ENDINGS, &mut files)?;
    files.sort();
    let (mut tensors, mut sources, mut held) = (Vec::new(), Vec::new(), BTreeMap::new());
    for file in files {
        let source = open(&file)?;
        let stem = stem(&file);
        if is_weight(&stem) {
            continue;
        }
        // Some programs say in the file's name what it holds; of others a file of one array is called as its tensor is, and of
        // several, the folder says where they belong.
        let called = called(&stem);
        let parent = file.strip_prefix(path).ok().and_then(Path::parent).unwrap_or(Path::new(""));
        for (name, shape) in &source.tensors {
            let inside = match &called {
                // Beside the value SGLang's dumper writes about it.
                Some(_) if *name != stem && name != "value" => continue,
                Some(called) => called.clone(),
                None => parent.join(name).to_string_lossy().into_owned(),
            };
            // What was recorded once more is shown under its file's name.
            let is_again = called.is_some() && held.contains_key(&inside);
            let inside = if is_again { format!("{inside} ({stem})") } else { inside };
            if held.insert(inside.clone(), (sources.len(), name.clone())).is_some() {
                return Err(SourceError::broken(path, format!("two of its files hold a tensor \"{inside}\"")));
            }
            tensors.push((inside, shape.clone()));
        }
        sources.push(source);
    }
    if tensors.is_empty() {
        let mut statistics = Vec::new();
        gather(path, DEEPEST, &["json"], &mut statistics)?;
        statistics.retain(|file| file.file_name().is_some_and(|name| name == "dump.json"));
        if let [one] = statistics.as_slice() {
            return open(one);
        }
        let what = format!(
            "no file in it ends in {}; a log or a JSON is named itself",
            ENDINGS.map(|ending| format!(".{ending}")).join(", ")
        );
        return Err(SourceError::broken(path, what));
    }
    Ok(Source::new(path, "a folder", tensors, Vec::new(), Folder { sources, held }))
}

/// Files, and of each name which of them holds it under which name.
#[derive(Debug)]
struct Folder {
    sources: Vec<Source>,
    held: BTreeMap<String, (usize, String)>,
}

impl Reader for Folder {
    fn get(&self, _: &Path, name: &str) -> Result<Option<HostTensor>, SourceError> {
        self.held.get(name).map(|(file, own)| self.sources[*file].get(own)).transpose()
    }
}

fn gather(folder: &Path, depth: usize, endings: &[&str], files: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    for entry in std::fs::read_dir(folder).map_err(SourceError::io(folder))? {
        let path = entry.map_err(SourceError::io(folder))?.path();
        if path.is_dir() {
            if depth > 0 {
                gather(&path, depth - 1, endings, files)?;
            }
        } else if path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(SourceError::broken(folder, format!("more than {MOST_FILES} files")));
        }
    }
    Ok(())
}
