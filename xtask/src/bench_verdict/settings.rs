//! What a run of the benchmark covers.

use std::path::Path;

use loupe_config::BACKENDS;
use loupe_spec::Dtype;
use miette::{Result, bail, miette};
use serde_json::Value;

use crate::io_error;

/// The built-in checkpoint, and the fixtures that transformers made.
const CHECKPOINTS: [&str; 5] = [
    "builtin:tiny",
    "tests/fixtures/parity",
    "tests/fixtures/sharded",
    "tests/fixtures/layer_types",
    "tests/fixtures/mini",
];

/// Where a mistake is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    Everywhere,
    First,
    Middle,
    Last,
}

impl Site {
    const ALL: [(&str, Site); 4] =
        [("everywhere", Site::Everywhere), ("first", Site::First), ("middle", Site::Middle), ("last", Site::Last)];

    /// The layer of a model with `layers` of them.
    pub fn layer(self, layers: usize) -> Option<usize> {
        match self {
            Site::Everywhere => None,
            Site::First => Some(0),
            Site::Middle => Some(layers / 2),
            Site::Last => Some(layers - 1),
        }
    }
}

/// What to run. Every key of the config may be left out.
#[derive(Clone, Debug)]
pub struct Settings {
    pub checkpoints: Vec<String>,
    pub backends: Vec<String>,
    pub dtypes: Vec<Dtype>,
    pub sites: Vec<Site>,
    /// How many benign variants, at least.
    pub benign: usize,
    /// How many pairs of mistakes.
    pub pairs: usize,
    /// Whether the mistakes planted in transformers are judged too.
    pub transformers: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            checkpoints: CHECKPOINTS.map(str::to_string).to_vec(),
            backends: vec!["flex".to_string(), "ndarray".to_string()],
            dtypes: vec![Dtype::F32, Dtype::Bf16, Dtype::F16],
            sites: Site::ALL.map(|(_, site)| site).to_vec(),
            benign: 1000,
            pairs: 100,
            transformers: true,
        }
    }
}

impl Settings {
    /// Reads a config: one JSON object, lines of comment allowed.
    pub fn read(path: &Path) -> Result<Settings> {
        let text = std::fs::read_to_string(path).map_err(io_error("read", path))?;
        let bare: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let document: Value =
            serde_json::from_str(&bare.join("\n")).map_err(|error| miette!("{}: {error}", path.display()))?;
        Settings::of(&document).map_err(|error| miette!("{}: {error}", path.display()))
    }

    fn of(document: &Value) -> Result<Settings> {
        let mut settings = Settings::default();
        let object = document.as_object().ok_or_else(|| miette!("expected one JSON object"))?;
        for (key, value) in object {
            match key.as_str() {
                "checkpoints" => settings.checkpoints = names(key, value)?,
                "backends" => {
                    settings.backends = names(key, value)?;
                    if let Some(unknown) = settings.backends.iter().find(|name| !BACKENDS.contains(&name.as_str())) {
                        bail!("there is no backend \"{unknown}\"; there are {}", BACKENDS.join(", "));
                    }
                }
                "dtypes" => {
                    settings.dtypes = names(key, value)?.iter().map(|name| dtype(name)).collect::<Result<_>>()?
                }
                "sites" => settings.sites = names(key, value)?.iter().map(|name| site(name)).collect::<Result<_>>()?,
                "benign" => settings.benign = count(key, value)?,
                "pairs" => settings.pairs = count(key, value)?,
                "transformers" => {
                    settings.transformers = value
                        .as_bool()
                        .ok_or_else(|| miette!("\"transformers\" is {value}, expected true or false"))?;
                }
                unknown => bail!(
                    "\"{unknown}\" is no key; there are checkpoints, backends, dtypes, sites, benign, pairs, transformers"
                ),
            }
        }
        Ok(settings)
    }
}

fn names(key: &str, value: &Value) -> Result<Vec<String>> {
    let wrong = || miette!("\"{key}\" is {value}, expected a list of names");
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|name| name.as_str().map(str::to_string).ok_or_else(wrong)).collect()
}

fn count(key: &str, value: &Value) -> Result<usize> {
    let wrong = || miette!("\"{key}\" is {value}, expected a count");
    value.as_u64().and_then(|count| count.try_into().ok()).ok_or_else(wrong)
}

fn dtype(name: &str) -> Result<Dtype> {
    let known = Dtype::FLOATS.into_iter().find(|dtype| dtype.name() == name);
    known.ok_or_else(|| miette!("there is no dtype \"{name}\" to compute in"))
}

fn site(name: &str) -> Result<Site> {
    let known = Site::ALL.into_iter().find(|(known, _)| *known == name);
    let names = Site::ALL.map(|(name, _)| name).join(", ");
    known.map(|(_, site)| site).ok_or_else(|| miette!("there is no site \"{name}\"; there are {names}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_config_leaves_out_is_the_full_benchmark() {
        let settings = Settings::of(&json!({"dtypes": ["bf16"], "sites": ["last"]})).unwrap();
        assert_eq!(settings.dtypes, [Dtype::Bf16]);
        assert_eq!(settings.sites, [Site::Last]);
        assert_eq!(settings.checkpoints.len(), 5);
        assert_eq!(settings.benign, 1000);
    }

    #[test]
    fn a_wrong_key_or_name_is_refused() {
        for wrong in [json!({"dtype": []}), json!({"dtypes": ["i64"]}), json!({"sites": ["second"]}), json!([])] {
            assert!(Settings::of(&wrong).is_err(), "{wrong}");
        }
    }
}
