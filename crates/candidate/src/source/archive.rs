//! Zip files: numpy's `.npz` and torch's `.pt`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use loupe_spec::HostTensor;
use zip::ZipArchive;

use super::error::SourceError;
use super::npy::Npy;
use super::opened::{Reader, Source, stem};
use super::torch::{self, Torch};

/// An open zip file.
#[derive(Debug)]
pub(super) struct Archive {
    zip: Mutex<ZipArchive<BufReader<File>>>,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// The entry of each array.
    Npz(BTreeMap<String, String>),
    Torch(Torch),
}

pub(super) fn open(path: &Path) -> Result<Source, SourceError> {
    let file = loupe_files::open(path).map_err(SourceError::io(path))?;
    let broken = |what: String| SourceError::broken(path, what);
    let mut zip =
        ZipArchive::new(BufReader::new(file)).map_err(|error| broken(format!("a broken zip file: {error}")))?;
    let entries: Vec<String> = zip.file_names().map(str::to_string).collect();
    let (kind, tensors, held);
    if let Some(pickle) = entries.iter().find(|name| name.ends_with("/data.pkl") || *name == "data.pkl") {
        let mut bytes = Vec::new();
        {
            let entry = zip.by_name(pickle).map_err(|error| broken(error.to_string()))?;
            entry.take(torch::LARGEST_PICKLE + 1).read_to_end(&mut bytes).map_err(SourceError::io(path))?;
        }
        let torch = Torch::of(&bytes, pickle.trim_end_matches("data.pkl"), &stem(path)).map_err(broken)?;
        tensors = torch.shapes();
        (kind, held) = ("torch's .pt", Held::Torch(torch));
    } else {
        let arrays: BTreeMap<String, String> =
            entries.iter().filter_map(|entry| Some((entry.strip_suffix(".npy")?.to_string(), entry.clone()))).collect();
        if arrays.is_empty() {
            return Err(SourceError::other(path, "a zip file with neither arrays of numpy's nor tensors of torch's"));
        }
        let shape = |(name, entry): (&String, &String)| {
            let mut entry = zip.by_name(entry).map_err(|error| broken(format!("\"{name}\": {error}")))?;
            let declared = entry.size();
            let npy = Npy::read(&mut entry).map_err(|what| broken(format!("\"{name}\": {what}")))?;
            if npy.bytes().is_none_or(|bytes| bytes as u64 > declared) {
                let what = format!("\"{name}\": shape {:?} is more than its {declared} bytes", npy.shape);
                return Err(broken(what));
            }
            Ok((name.clone(), npy.shape))
        };
        tensors = arrays.iter().map(shape).collect::<Result<Vec<_>, SourceError>>()?;
        (kind, held) = ("numpy's .npz", Held::Npz(arrays));
    }
    Ok(Source::new(path, kind, tensors, Vec::new(), Archive { zip: Mutex::new(zip), held }))
}

impl Reader for Archive {
    fn get(&self, path: &Path, name: &str) -> Result<Option<HostTensor>, SourceError> {
        let broken = |what: String| SourceError::broken(path, format!("\"{name}\": {what}"));
        // Each entry is opened anew, so a thread that panicked while holding the lock left nothing wrong.
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.held {
            Held::Npz(arrays) => {
                let entry = arrays.get(name).ok_or_else(|| broken("there is no such array".to_string()))?;
                let mut entry = zip.by_name(entry).map_err(|error| broken(error.to_string()))?;
                Npy::read(&mut entry).and_then(|npy| npy.values(&mut entry)).map(Some).map_err(broken)
            }
            Held::Torch(torch) => {
                let tensor = torch.get(name).ok_or_else(|| broken("there is no such tensor".to_string()))?;
                let entry = zip.by_name(&torch.entry(tensor)).map_err(|error| broken(error.to_string()))?;
                tensor.read(entry).map(Some).map_err(broken)
            }
        }
    }
}
