//! What the configs of both benchmarks hold: an object whose keys each knows.

use std::path::Path;

use loupe_config::{BACKENDS, read_document};
use loupe_spec::Dtype;
use miette::{Result, miette};
use serde_json::Value;

/// Reads the config at `path` as `of` understands it.
pub fn read<T>(path: &Path, of: impl FnOnce(&Value) -> Result<T>) -> Result<T> {
    of(&read_document(path)?).map_err(|error| miette!("{}: {error}", path.display()))
}

/// A list of names.
pub fn names(key: &str, value: &Value) -> Result<Vec<String>> {
    let wrong = || miette!("\"{key}\" is {value}, expected a list of names");
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|name| name.as_str().map(str::to_string).ok_or_else(wrong)).collect()
}

/// A list of names, each as `of` understands it.
pub fn list<T>(key: &str, value: &Value, of: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    names(key, value)?.iter().map(|name| of(name)).collect()
}

/// A number from 0.
pub fn count(key: &str, value: &Value) -> Result<usize> {
    let wrong = || miette!("\"{key}\" is {value}, expected a count");
    value.as_u64().and_then(|count| count.try_into().ok()).ok_or_else(wrong)
}

/// A backend of Loupe's.
pub fn backend(name: &str) -> Result<String> {
    let known = BACKENDS.contains(&name).then(|| name.to_string());
    known.ok_or_else(|| miette!("there is no backend \"{name}\"; there are {}", BACKENDS.join(", ")))
}

/// A dtype that Loupe computes in.
pub fn dtype(name: &str) -> Result<Dtype> {
    let known = Dtype::FLOATS.into_iter().find(|dtype| dtype.name() == name);
    known.ok_or_else(|| miette!("there is no dtype \"{name}\" to compute in"))
}
