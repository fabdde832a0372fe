//! Fetching one file into the cache, through hf-hub.

use std::path::PathBuf;

use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::HubModel;
use crate::CheckpointError;
use crate::names::CONFIG;

impl HubModel {
    /// Fetches `file` into the cache and says where it is; `None` where the hub has no such file, or where the network
    /// is forbidden and the file is not config.json, without which there is no model.
    pub fn download(&self, file: &str) -> Result<Option<PathBuf>, CheckpointError> {
        if self.is_offline() {
            return if file == CONFIG { Err(self.offline(file)) } else { Ok(None) };
        }
        // Not `ApiBuilder::new`: that panics where there is no home folder.
        let api = ApiBuilder::from_cache(Cache::new(self.settings.cache.clone()))
            .with_endpoint(self.settings.endpoint.clone())
            .with_token(self.settings.token.clone())
            .with_progress(self.settings.progress)
            .build();
        let repo = Repo::with_revision(self.id.clone(), RepoType::Model, self.commit.clone());
        let error = match api.and_then(|api| api.repo(repo).download(file)) {
            Ok(path) => return Ok(Some(path)),
            Err(error) => error,
        };
        match status(&error) {
            Some(404) => Ok(None),
            Some(status @ (401 | 403)) => Err(self.refused(status)),
            _ => Err(self.failed(
                file,
                format!(
                    "{error}; run again to go on where it stopped, set HF_ENDPOINT to use a mirror, or give the folder \
                     of a checkpoint"
                ),
            )),
        }
    }

    /// What to do where the hub says 401 or 403. It says 401 for models that do not exist, too.
    fn refused(&self, status: u16) -> CheckpointError {
        let page = format!("{}/{}", self.settings.endpoint, self.id);
        let advice = if self.settings.token.is_some() {
            format!(
                "the token set is not allowed to read it; with the account that the token belongs to, accept the licence \
                 on {page}, and check that the token may read gated models"
            )
        } else {
            format!(
                "it is gated or private, or does not exist; accept the licence on {page}, create a token on \
                 {}/settings/tokens, and set HF_TOKEN to it (or run `hf auth login`)",
                self.settings.endpoint
            )
        };
        CheckpointError::Refused { id: self.id.clone(), status, advice }
    }
}

/// The HTTP status behind an error, if it is one.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(request) => match request.as_ref() {
            ureq::Error::StatusCode(status) => Some(*status),
            _ => None,
        },
        ApiError::TooManyRetries(last) => status(last),
        _ => None,
    }
}
