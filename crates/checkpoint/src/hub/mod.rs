//! Models of the Hugging Face hub: the cache first, the network only for what it lacks.

mod announced;
mod cache;
mod client;
mod content_hash;
mod download;
mod patience;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cache::ModelCache;
use client::Trouble;
use download::Fetched;

use crate::CheckpointError;
use crate::names::CONFIG;
pub(crate) use settings::HubSettings;

const WHAT_TO_DO: &str =
    "run again to go on where it stopped, set HF_ENDPOINT to use a mirror, or give the folder of a checkpoint";

/// A model of the hub at one commit.
#[derive(Clone, Debug)]
pub(crate) struct HubModel {
    id: String,
    /// All files are read at this commit, even if the branch moves on meanwhile. Before config.json has been found it is
    /// the revision asked for.
    commit: String,
    settings: HubSettings,
    /// Whether the hub has answered in this run.
    reached: Arc<AtomicBool>,
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
            model.commit = model.fetch(CONFIG)?.ok_or_else(|| model.no_such_file(CONFIG))?.commit;
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
        let mut model =
            HubModel { id: id.into(), commit: revision.into(), settings: settings.clone(), reached: Arc::default() };
        if let Some(commit) = model.cache().commit_of(revision) {
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
        self.cache().snapshot(&self.commit)
    }

    fn cache(&self) -> ModelCache {
        ModelCache::new(&self.id, &self.settings)
    }

    /// Fetches `file` into the cache and says where it is; `None` where the hub has no such file, or where the network
    /// is forbidden and the file is not config.json, without which there is no model.
    pub fn download(&self, file: &str) -> Result<Option<PathBuf>, CheckpointError> {
        Ok(self.fetch(file)?.map(|fetched| fetched.path))
    }

    fn fetch(&self, file: &str) -> Result<Option<Fetched>, CheckpointError> {
        if self.is_offline() {
            return if file == CONFIG { Err(self.offline(file)) } else { Ok(None) };
        }
        match download::fetch(&self.id, &self.commit, file, &self.settings, &self.reached) {
            Ok(fetched) => Ok(Some(fetched)),
            Err(Trouble::Status(404)) => Ok(None),
            Err(Trouble::Status(status @ (401 | 403))) => Err(self.refused(status)),
            Err(Trouble::Status(status)) => Err(self.failed(file, format!("it answers {status}; {WHAT_TO_DO}"))),
            Err(Trouble::Passing(what, _) | Trouble::Unreachable(what) | Trouble::Final(what)) => {
                Err(self.failed(file, format!("{what}; {WHAT_TO_DO}")))
            }
        }
    }

    /// Not in the cache, and the network is off.
    pub fn offline(&self, file: &str) -> CheckpointError {
        CheckpointError::Offline {
            id: self.id.clone(),
            revision: self.commit.clone(),
            file: file.into(),
            looked: self.cache().folder(),
        }
    }

    /// The hub answered that it has no such file.
    pub fn no_such_file(&self, file: &str) -> CheckpointError {
        self.failed(file, "there is no such model, revision or file there".to_string())
    }

    /// What to do where the hub says 401 or 403. It says 401 for models that do not exist, too.
    fn refused(&self, status: u16) -> CheckpointError {
        let endpoint = self.settings.shown_endpoint();
        let page = format!("{endpoint}/{}", self.id);
        let advice = if self.settings.token.is_some() {
            // A token that is none any more gets a 401 even for what anybody may read.
            let no_token = if status == 401 { "; or it is no token any more: make a new one, or unset it" } else { "" };
            format!(
                "the token set is not allowed to read it; with the account that the token belongs to, accept the licence \
                 on {page}, and check that the token may read gated models{no_token}"
            )
        } else {
            format!(
                "it is gated or private, or does not exist; accept the licence on {page}, create a token on \
                 {endpoint}/settings/tokens, and set HF_TOKEN to it (or run `hf auth login`)"
            )
        };
        CheckpointError::Refused { id: self.id.clone(), status, advice }
    }

    fn failed(&self, file: &str, reason: String) -> CheckpointError {
        CheckpointError::Hub {
            id: self.id.clone(),
            revision: self.commit.clone(),
            file: file.into(),
            endpoint: self.settings.shown_endpoint(),
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
