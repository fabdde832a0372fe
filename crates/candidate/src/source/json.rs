//! Arrays in a JSON: nested lists, base64 of their bytes, or the name of a file with them.
//!
//! ```json
//! {"layers.0.output": [[0.5, -1.25], [3.0, 0.125]],
//!  "norm": {"shape": [2, 2], "dtype": "f32", "data": "AAAAPwAAoL8AAEBAAAAAPg=="},
//!  "logits": {"shape": [2, 412], "dtype": "f16", "file": "logits.bin", "offset": 0}}
//! ```

use std::path::Path;

use super::array::{Array, Arrays};
use super::document::{Described, Document, Entry};
use super::error::SourceError;
use super::msprobe;
use super::opened::{Open, Source};
use super::timeline::{Timeline, timeline};
use crate::sample::{Printed, Sample, lanes_from};

/// Printed numbers take ten bytes each: more of them belong into a binary file.
const LARGEST: u64 = 256 << 20;

/// Opens a JSON; what it names of a folder is opened by `open`.
pub(super) fn open(path: &Path, open: Open) -> Result<Source, SourceError> {
    let bytes = loupe_files::read(path, LARGEST).map_err(SourceError::io(path))?;
    let bytes = numbers_quoted(&bytes);
    if let Some(Timeline { tensors, samples }) = timeline(&bytes) {
        let shapes = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
        let arrays: Arrays = tensors.into_iter().map(|(name, tensor)| (name, Array::Held(tensor))).collect();
        return Ok(Source::new(path, "operator diagnostics", shapes, samples, arrays));
    }
    if let Some(samples) = msprobe::samples(&bytes) {
        let values = loupe_files::folder_of(path).join(msprobe::VALUES);
        if values.is_dir() {
            return open(&values);
        }
        return Ok(Source::new(path, "msProbe's statistics", Vec::new(), samples, Arrays::default()));
    }
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| {
        SourceError::broken(
            path,
            format!("it is to be one JSON object of arrays by name, {{\"norm\": [[…], …]}}: {error}"),
        )
    })?;
    let folder = loupe_files::folder_of(path);
    let (mut tensors, mut arrays, mut samples) = (Vec::new(), Arrays::default(), Vec::new());
    for (name, entry) in document.0 {
        let array = match entry {
            Entry::Described(Described { token: Some(token), first: Some(first), from, .. }) => {
                let numbers: Vec<Printed> = first.values.into_iter().map(Printed::of).collect();
                let lanes = lanes_from(from, numbers.len());
                samples.push(Sample { name, token, lanes, numbers, ..Sample::default() });
                continue;
            }
            Entry::List(list) => Array::Held(list.tensor()),
            // An object of settings.
            Entry::Described(described) if described.is_no_array() => continue,
            Entry::Described(described) => {
                described.array(folder).map_err(|what| SourceError::broken(path, format!("\"{name}\": {what}")))?
            }
            // Names of models, times and the like.
            Entry::Text(_) | Entry::Number(_) | Entry::Other => continue,
        };
        tensors.push((name.clone(), array.shape()));
        arrays.insert(name, array);
    }
    if tensors.is_empty() && samples.is_empty() {
        let what = "it holds no arrays; write {\"norm\": [[…], …]}, or {\"norm\": {\"shape\": […], \"dtype\": \"f32\", \
                    \"data\": \"base64\"}}";
        return Err(SourceError::broken(path, what));
    }
    Ok(Source::new(path, "a JSON", tensors, samples, arrays))
}

/// Python's json writes NaN and Infinity, which are no JSON: put in quotes outside of strings, they are.
fn numbers_quoted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut in_string) = (0, false);
    while let Some(byte) = bytes.get(at).copied() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| bytes[at..].starts_with(word.as_bytes()));
        match (in_string, byte, word) {
            (false, _, Some(word)) => {
                out.push(b'"');
                out.extend(word.as_bytes());
                out.push(b'"');
                at += word.len();
                continue;
            }
            (true, b'\\', _) => {
                out.push(byte);
                out.extend(bytes.get(at + 1));
                at += 2;
                continue;
            }
            (_, b'"', _) => in_string = !in_string,
            _ => {}
        }
        out.push(byte);
        at += 1;
    }
    out
}
