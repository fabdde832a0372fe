//! What a run of the benchmark covers.

use std::fmt;
use std::path::Path;

use loupe_spec::Dtype;
use miette::{Result, bail, miette};
use serde_json::{Map, Value};

use super::cases::CHECKS;
use crate::document::{self, backend, count, dtype, list, names};

/// A backend and a dtype to run `loupe` in.
#[derive(Clone, PartialEq, Eq)]
pub struct Run {
    pub backend: String,
    pub dtype: Dtype,
}

impl Run {
    pub fn flex() -> Run {
        Run { backend: "flex".to_string(), dtype: Dtype::F32 }
    }

    /// Whether it runs on a GPU, where there is one.
    pub fn on_gpu(&self) -> bool {
        ["cuda", "wgpu"].contains(&self.backend.as_str())
    }

    /// Its keys of a config.
    pub fn keys(&self) -> Map<String, Value> {
        let keys = [("backend", self.backend.as_str()), ("dtype", self.dtype.name())];
        keys.into_iter().map(|(key, value)| (key.to_string(), value.into())).collect()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.backend, self.dtype))
    }
}

/// What to run. Every key of the config may be left out.
#[derive(Clone)]
pub struct Settings {
    /// A folder in Hugging Face layout, or builtin:tiny; `None`: a checkpoint of 2B's shape, made where it is missing.
    pub model: Option<String>,
    pub checks: Vec<String>,
    /// `["flex f32", "cuda bf16"]`
    pub runs: Vec<Run>,
    /// How often each is run; the median counts.
    pub repeats: usize,
    /// The Python that has torch and transformers; `None`: no peers.
    pub python: Option<String>,
    /// Prompts of how many tokens are timed besides, once each.
    pub lengths: Vec<usize>,
}

impl Default for Settings {
    fn default() -> Settings {
        let run = |backend: &str, dtype| Run { backend: backend.to_string(), dtype };
        Settings {
            model: None,
            checks: CHECKS.map(|(name, _)| name.to_string()).to_vec(),
            runs: vec![
                run("flex", Dtype::F32),
                run("flex", Dtype::F64),
                run("ndarray", Dtype::F32),
                run("ndarray", Dtype::F64),
                run("cuda", Dtype::F32),
                run("cuda", Dtype::Bf16),
                run("wgpu", Dtype::F32),
            ],
            repeats: 5,
            python: Some("python3".to_string()),
            lengths: vec![7, 64, 512, 4096],
        }
    }
}

impl Settings {
    /// Reads a config.
    pub fn read(path: &Path) -> Result<Settings> {
        document::read(path, Settings::of)
    }

    fn of(document: &Value) -> Result<Settings> {
        let mut settings = Settings::default();
        for (key, value) in document.as_object().ok_or_else(|| miette!("expected one JSON object"))? {
            let wrong = |expected: &str| miette!("\"{key}\" is {value}, expected {expected}");
            let positive = |value: &Value| match count(key, value)? {
                0 => Err(wrong("a count from 1")),
                count => Ok(count),
            };
            match key.as_str() {
                "model" => settings.model = Some(value.as_str().ok_or_else(|| wrong("a folder"))?.to_string()),
                "checks" => settings.checks = names(key, value)?,
                "runs" => settings.runs = list(key, value, run)?,
                "repeats" => settings.repeats = positive(value)?,
                "python" if value.is_null() => settings.python = None,
                "python" => settings.python = Some(value.as_str().ok_or_else(|| wrong("a program, or null"))?.into()),
                "lengths" => {
                    let lengths = value.as_array().ok_or_else(|| wrong("a list of counts"))?;
                    settings.lengths = lengths.iter().map(positive).collect::<Result<_>>()?;
                }
                unknown => {
                    bail!("\"{unknown}\" is no key; there are model, checks, runs, repeats, python, lengths")
                }
            }
        }
        Ok(settings)
    }
}

fn run(name: &str) -> Result<Run> {
    let (on, of) = name.split_once(' ').unwrap_or((name, "f32"));
    Ok(Run { backend: backend(on)?, dtype: dtype(of)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_is_a_backend_and_a_dtype() {
        let settings = Settings::of(&json!({"runs": ["cuda bf16", "flex"], "python": null})).unwrap();
        assert_eq!(settings.runs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["cuda bf16", "flex f32"]);
        assert_eq!((settings.python, settings.repeats), (None, 5));
    }

    #[test]
    fn a_wrong_key_or_name_is_refused() {
        for wrong in
            [json!({"run": []}), json!({"runs": ["cpu"]}), json!({"runs": ["flex i64"]}), json!({"repeats": 0})]
        {
            assert!(Settings::of(&wrong).is_err(), "{wrong}");
        }
    }
}
