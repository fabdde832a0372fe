//! Configs for `loupe`, and the reports that it leaves.

use std::fs;
use std::path::Path;

use loupe_config::Matrix;
use loupe_report::Report;
use loupe_spec::{echo, echo_path};
use miette::{Result, miette};
use serde_json::{Map, Value};

/// The name of the verdict, in the folder of the output.
pub const VERDICT: &str = "verdict";

/// The names of what `loupe` makes for engines, there too: the prompt's ids, the built-in model.
pub const TOKENS: &str = "tokens";
pub const EXPORT: &str = "export";

/// The model and the prompt of `matrix`, as a config has them.
pub fn question(matrix: &Matrix) -> Map<String, Value> {
    let keys = ["model", "revision", "prompt", "token_ids", "reference"];
    keys.iter().filter_map(|key| Some((key.to_string(), matrix.document.get(*key)?.clone()))).collect()
}

/// A path as a config holds it.
pub fn path_value(path: &Path) -> Result<Value> {
    let text = path.to_str().ok_or_else(|| miette!("the path {} is not UTF-8, and a config is", echo_path(path)))?;
    Ok(text.into())
}

/// The JSON of a report; an error is the reason alone.
pub fn read(path: &Path) -> Result<Report, String> {
    let failed = |error: String| format!("{}: {error}", echo_path(path));
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(echo(&error.to_string())))
}
