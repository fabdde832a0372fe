//! What the planted mistakes run on: the backends and dtypes that are here.

use std::path::Path;

use loupe_spec::Dtype;
use miette::{Result, bail};

use super::runner::{Run, Runner};
use super::settings::Settings;
use loupe_matrix::required_by_environment;

/// Backends with a dtype each, and why others are left out.
#[derive(Debug, Default)]
pub struct Present {
    pub runs: Vec<(String, Dtype)>,
    pub skipped: Vec<String>,
}

impl Present {
    /// Tries each backend in each dtype of the settings on one token. One that the environment requires must be there.
    pub fn of(settings: &Settings, runner: &Runner, folder: &Path) -> Result<Present> {
        let required = required_by_environment()?;
        if let Some(unasked) = required.iter().find(|backend| !settings.backends.contains(backend)) {
            bail!("LOUPE_REQUIRE names {unasked}, which \"backends\" of the config leaves out");
        }
        let mut present = Present::default();
        for backend in &settings.backends {
            let mut reasons: Vec<String> = Vec::new();
            for dtype in &settings.dtypes {
                let run = Run {
                    model: "builtin:tiny".to_string(),
                    backend: backend.clone(),
                    dtype: *dtype,
                    token_ids: vec![2],
                };
                match runner.trace(&run, &[], &folder.join(format!("{backend}-{dtype}"))) {
                    Ok(()) => present.runs.push((backend.clone(), *dtype)),
                    Err(why) => reasons.push(format!("{backend} in {dtype}: {why}")),
                }
            }
            if required.contains(backend) && reasons.len() == settings.dtypes.len() {
                bail!("LOUPE_REQUIRE names {backend}, which does not run here: {}", reasons.join("; "));
            }
            present.skipped.append(&mut reasons);
        }
        Ok(present)
    }

    pub fn has(&self, backend: &str) -> bool {
        self.runs.iter().any(|(present, _)| present == backend)
    }

    /// Each checkpoint on each of them.
    pub fn groups(&self, checkpoints: &[String]) -> Vec<(String, String, Dtype)> {
        let of = |model: &String| -> Vec<_> {
            self.runs.iter().map(|(backend, dtype)| (model.clone(), backend.clone(), *dtype)).collect()
        };
        checkpoints.iter().flat_map(of).collect()
    }
}
