//! What every part of the benchmark needs.

use std::path::{Path, PathBuf};

use loupe_checkpoint::Checkpoint;
use loupe_matrix::io_error;
use loupe_spec::Config;
use miette::{Result, miette};

use super::backends::Present;
use super::recording::Recording;
use super::runner::{Run, Runner};
use super::settings::Settings;

/// The settings, the program, and what it can run on here.
pub struct Bench {
    pub settings: Settings,
    pub runner: Runner,
    pub present: Present,
}

impl Bench {
    /// The checkpoint's config.json.
    pub fn config(&self, model: &str) -> Result<Config> {
        let checkpoint = Checkpoint::open(model, None).map_err(|error| miette!("{error}"))?;
        Ok(checkpoint.config().clone())
    }

    /// A run with nothing planted.
    pub fn right(&self, run: &Run, prefix: &Path) -> Result<Recording> {
        self.traced(run, &[], prefix)
    }

    /// A run with `planted`.
    pub fn traced(&self, run: &Run, planted: &[String], prefix: &Path) -> Result<Recording> {
        self.runner.trace(run, planted, prefix)?;
        Recording::read(prefix)
    }

    /// A folder for the files of one part.
    pub fn folder(&self, parts: &[&str]) -> Result<PathBuf> {
        let name = parts.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let folder = self.settings.output.join(name);
        std::fs::create_dir_all(&folder).map_err(io_error("make the folder", &folder))?;
        Ok(folder)
    }

    /// Every line of the output can be run again by hand: its files need not stay.
    pub fn clear(&self, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
