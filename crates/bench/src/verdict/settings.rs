//! What a run of the benchmark covers.

use std::path::{Path, PathBuf};

use loupe_config::BACKENDS;
use loupe_spec::Dtype;
use miette::{Result, bail, miette};
use serde_json::Value;

use super::cases::{self, Case, fit};
use super::recording::Extent;
use super::sites::Site;
use crate::document::{self, backend, count, dtype, list, names};

/// The built-in checkpoint, and the fixtures that transformers made.
const CHECKPOINTS: [&str; 5] = [
    "builtin:tiny",
    "tests/fixtures/parity",
    "tests/fixtures/sharded",
    "tests/fixtures/layer_types",
    "tests/fixtures/mini",
];
const KEYS: &str = "checkpoints, backends, dtypes, mistakes, sites, recordings, every, transformers, leave_one_out, benign, \
                    pairs, output";

/// What to run. Every key of the config may be left out.
#[derive(Clone, Debug)]
pub struct Settings {
    pub checkpoints: Vec<String>,
    pub backends: Vec<String>,
    pub dtypes: Vec<Dtype>,
    pub mistakes: Vec<&'static Case>,
    pub sites: Vec<Site>,
    pub recordings: Vec<Extent>,
    /// On backends other than flex, one of how many of the planted mistakes on each checkpoint.
    pub every: usize,
    /// Whether the mistakes planted in transformers are judged too.
    pub transformers: bool,
    /// Whether each mistake is planted with its name forgotten, too.
    pub leave_one_out: bool,
    /// How many benign variants, at least.
    pub benign: usize,
    /// How many pairs of mistakes.
    pub pairs: usize,
    /// Where the traces go while they are needed; the results with endings.
    pub output: PathBuf,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            checkpoints: CHECKPOINTS.map(str::to_string).to_vec(),
            backends: BACKENDS.map(str::to_string).to_vec(),
            dtypes: vec![Dtype::F32, Dtype::Bf16, Dtype::F16],
            mistakes: cases::ALL.iter().collect(),
            sites: Site::ALL.map(|(_, site)| site).to_vec(),
            recordings: Extent::ALL.to_vec(),
            every: 3,
            transformers: true,
            leave_one_out: true,
            benign: 1000,
            pairs: 100,
            output: PathBuf::from("target/xtask/bench-verdict"),
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
        let object = document.as_object().ok_or_else(|| miette!("expected one JSON object"))?;
        for (key, value) in object {
            match key.as_str() {
                "checkpoints" => settings.checkpoints = names(key, value)?,
                "backends" => settings.backends = list(key, value, backend)?,
                "dtypes" => settings.dtypes = list(key, value, dtype)?,
                "mistakes" => settings.mistakes = list(key, value, mistake)?,
                "sites" => settings.sites = list(key, value, Site::of)?,
                "recordings" => settings.recordings = list(key, value, recording)?,
                "every" => settings.every = count(key, value)?.max(1),
                "transformers" => settings.transformers = yes(key, value)?,
                "leave_one_out" => settings.leave_one_out = yes(key, value)?,
                "benign" => settings.benign = count(key, value)?,
                "pairs" => settings.pairs = count(key, value)?,
                "output" => {
                    let path = value.as_str().ok_or_else(|| miette!("\"output\" is {value}, expected a path"))?;
                    settings.output = PathBuf::from(path);
                }
                unknown => bail!("\"{unknown}\" is no key; there are {KEYS}"),
            }
        }
        let drawn = &settings.mistakes;
        if settings.pairs > 0 && !drawn.iter().any(|a| drawn.iter().any(|b| fit(a, b))) {
            bail!("no two of \"mistakes\" can be planted together: add others, or \"pairs\": 0");
        }
        Ok(settings)
    }
}

fn yes(key: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| miette!("\"{key}\" is {value}, expected true or false"))
}

fn mistake(name: &str) -> Result<&'static Case> {
    let known = cases::ALL.iter().find(|case| case.name == name);
    known.ok_or_else(|| miette!("there is no mistake \"{name}\"; crates/mistakes has them all"))
}

fn recording(name: &str) -> Result<Extent> {
    let names = || Extent::ALL.map(Extent::name).join(", ");
    let known = Extent::ALL.into_iter().find(|extent| extent.name() == name);
    known.ok_or_else(|| miette!("there is no recording \"{name}\"; there are {}", names()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_config_leaves_out_is_the_full_benchmark() {
        let part =
            json!({"dtypes": ["bf16"], "sites": ["last"], "recordings": ["full"], "mistakes": ["silu"], "pairs": 0});
        let settings = Settings::of(&part).unwrap();
        assert_eq!(settings.dtypes, [Dtype::Bf16]);
        assert_eq!(settings.sites, [Site::Last]);
        assert_eq!(settings.recordings, [Extent::Full]);
        assert_eq!(settings.mistakes[0].name, "silu");
        assert_eq!((settings.checkpoints.len(), settings.backends.len()), (5, BACKENDS.len()));
        assert_eq!((settings.benign, settings.leave_one_out), (1000, true));
    }

    #[test]
    fn a_wrong_key_or_name_is_refused() {
        for wrong in [
            json!({"dtype": []}),
            json!({"dtypes": ["i64"]}),
            json!({"sites": ["second"]}),
            json!({"backends": ["metal"]}),
            json!({"mistakes": ["swish"]}),
            json!({"recordings": ["half"]}),
            json!({"mistakes": ["silu", "gelu_erf"]}),
            json!([]),
        ] {
            assert!(Settings::of(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_configs_of_this_repository_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let quick = Settings::read(&folder.join("bench-verdict-quick.json")).unwrap();
        assert!(quick.leave_one_out && quick.benign > 0 && quick.pairs > 0 && quick.transformers);
    }
}
