//! Models of the Hugging Face hub: the cache first, the network only for what it lacks.

mod download;
mod settings;

use std::path::PathBuf;

use crate::CheckpointError;
use crate::names::CONFIG;
pub(crate) use settings::HubSettings;

/// A model of the hub at one commit.
#[derive(Clone, Debug)]
pub(crate) struct HubModel {
    id: String,
    /// All files are read at this commit, even if the branch moves on meanwhile. Before config.json has been found it is
    /// the revision asked for.
    commit: String,
    settings: HubSettings,
}

impl HubModel {
    /// Finds the commit that `revision` (default `main`) means, by finding its config.json.
    pub fn find(id: &str, revision: Option<&str>, settings: &HubSettings) -> Result<HubModel, CheckpointError> {
        let revision = revision.unwrap_or("main");
        let mut model = HubModel::known(id, revision, settings);
        if !is_revision(revision) {
            return Err(model.failed(CONFIG, "that is no name of a branch, a tag or a commit".into()));
        }
        if !model.snapshot().join(CONFIG).is_file() {
            // What the cache lacks is asked for as the person named it: a branch may have moved on.
            model.commit = revision.into();
            let fetched = model.download(CONFIG)?.ok_or_else(|| model.no_such_file(CONFIG))?;
            let commit = fetched.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
            model.commit = commit.unwrap_or(revision).into();
        }
        Ok(model)
    }

    /// The folder of the cache that holds `revision` (default `main`) of the model; `None` where there is none.
    pub fn cached(id: &str, revision: Option<&str>, settings: &HubSettings) -> Option<PathBuf> {
        let revision = revision.unwrap_or("main");
        let folder =
            (is_hub_id(id) && is_revision(revision)).then(|| HubModel::known(id, revision, settings).snapshot());
        folder.filter(|folder| folder.is_dir())
    }

    /// The model at the commit that the cache has for `revision`; without one, at `revision` itself.
    fn known(id: &str, revision: &str, settings: &HubSettings) -> HubModel {
        let mut model = HubModel { id: id.into(), commit: revision.into(), settings: settings.clone() };
        if let Some(commit) = model.cached_commit(revision) {
            model.commit = commit;
        }
        model
    }

    /// The commit that is read.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    pub fn is_offline(&self) -> bool {
        self.settings.offline
    }

    /// The folder of the cache that holds the files of this commit.
    pub fn snapshot(&self) -> PathBuf {
        self.folder().join("snapshots").join(&self.commit)
    }

    /// `models--org--name` in the cache.
    fn folder(&self) -> PathBuf {
        self.settings.cache.join(format!("models--{}", self.id.replace('/', "--")))
    }

    /// The commit that the cache has for `revision`, which may be a commit itself.
    fn cached_commit(&self, revision: &str) -> Option<String> {
        if !is_revision(revision) {
            return None;
        }
        let recorded = std::fs::read_to_string(self.folder().join("refs").join(revision)).ok();
        recorded.map(|commit| commit.trim().to_string()).filter(|commit| is_revision(commit))
    }

    /// Not in the cache, and the network is off.
    pub fn offline(&self, file: &str) -> CheckpointError {
        CheckpointError::Offline {
            id: self.id.clone(),
            revision: self.commit.clone(),
            file: file.into(),
            looked: self.folder(),
        }
    }

    /// The hub answered that it has no such file.
    pub fn no_such_file(&self, file: &str) -> CheckpointError {
        self.failed(file, "there is no such model, revision or file there".to_string())
    }

    fn failed(&self, file: &str, reason: String) -> CheckpointError {
        CheckpointError::Hub {
            id: self.id.clone(),
            revision: self.commit.clone(),
            file: file.into(),
            endpoint: self.settings.endpoint.clone(),
            reason,
        }
    }
}

/// Whether `model` reads as `org/name`, by the hub's own rules.
pub(crate) fn is_hub_id(model: &str) -> bool {
    let part = |part: &str| {
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let edge = |c: char| "-.".contains(c);
        plain && !part.is_empty() && !part.starts_with(edge) && !part.ends_with(edge)
    };
    let doubled = model.contains("--") || model.contains("..");
    !doubled && model.split_once('/').is_some_and(|(org, name)| part(org) && part(name))
}

/// Whether `revision` can be a branch, tag or commit. It becomes part of a path, which must not lead elsewhere.
fn is_revision(revision: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    revision.split('/').all(plain) && revision.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+".contains(c))
}

#[cfg(test)]
mod tests;
