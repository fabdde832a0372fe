//! Where a checkpoint's files come from: a folder, the hub, or the program itself.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use loupe_spec::{echo_path, nearest};

use crate::CheckpointError;
use crate::builtin;
use crate::hub::{HubModel, HubSettings, is_hub_id};
use crate::map::{Pages, map};

/// A file of a checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Where it is, for messages: `builtin:tiny/config.json` where it is in the program.
    pub path: PathBuf,
    /// Memory-mapped, unless it is in the program.
    pub bytes: Bytes,
    /// Its map, unless it is in the program.
    pub pages: Option<Pages>,
}

/// What `model` in a config names.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Folder(PathBuf),
    Hub(Box<HubModel>),
    Builtin,
}

impl Source {
    /// Decides what `model` names; a folder that exists wins over a hub id of the same spelling.
    ///
    /// # Errors
    /// A name that is none of the three, a revision beside a folder or the built-in model, an id of the hub whose
    /// config.json can be found neither in the cache nor on the hub.
    pub fn find(model: &str, revision: Option<&str>, settings: &HubSettings) -> Result<Source, CheckpointError> {
        let wrong = |reason: String| CheckpointError::NoModel { model: model.into(), reason };
        let no_revision = |is| match revision {
            Some(revision) => Err(CheckpointError::Revision { revision: revision.into(), model: model.into(), is }),
            None => Ok(()),
        };
        let path = Path::new(model);
        if model.starts_with("builtin:") {
            if model != builtin::NAME {
                return Err(wrong(format!("the only model inside the program is \"{}\"", builtin::NAME)));
            }
            no_revision("inside the program")?;
            Ok(Source::Builtin)
        } else if path.is_dir() {
            no_revision("a folder")?;
            Ok(Source::Folder(path.into()))
        } else if path.is_file() {
            Err(wrong("is a file; name the folder that holds config.json and model.safetensors".into()))
        } else if is_hub_id(model) {
            HubModel::find(model, revision, settings)
                .map(|hub| Source::Hub(Box::new(hub)))
                .map_err(|error| not_here(model, error))
        } else {
            let here = std::env::current_dir().map(|d| format!(" (from {})", echo_path(&d))).unwrap_or_default();
            Err(wrong(format!(
                "there is no such folder{here}, and it does not read as a hub id such as google/gemma-2-2b-it; \
                 \"{}\" is the model inside the program",
                builtin::NAME
            )))
        }
    }

    /// The file called `name`, downloaded if need be; `None` where the checkpoint has no such file.
    pub fn file(&self, name: &str) -> Result<Option<File>, CheckpointError> {
        match (self.local_file(name)?, self) {
            (None, Source::Hub(hub)) => hub.download(name)?.map(open).transpose(),
            (found, _) => Ok(found),
        }
    }

    /// The file called `name` if it is on this machine.
    pub fn local_file(&self, name: &str) -> Result<Option<File>, CheckpointError> {
        let folder = match self {
            Source::Builtin => {
                let path = Path::new(builtin::NAME).join(name);
                return Ok(builtin::file(name)?.map(|bytes| File { path, bytes, pages: None }));
            }
            Source::Folder(folder) => folder.clone(),
            Source::Hub(hub) => hub.snapshot(),
        };
        let path = folder.join(name);
        if path.exists() { open(path).map(Some) } else { Ok(None) }
    }

    /// The error for a checkpoint without `expected`, the name or names of a file that every checkpoint has.
    pub fn missing(&self, expected: &'static str, advice: &str) -> CheckpointError {
        let folder = match self {
            Source::Hub(hub) => return self.offline(expected).unwrap_or_else(|| hub.no_such_file(expected)),
            Source::Folder(folder) => folder.clone(),
            Source::Builtin => builtin::NAME.into(),
        };
        CheckpointError::MissingFile { folder, expected, advice: advice.into() }
    }

    /// The error for a file that is not there because the network is forbidden; `None` where that is not why.
    pub fn offline(&self, file: &str) -> Option<CheckpointError> {
        match self {
            Source::Hub(hub) if hub.is_offline() => Some(hub.offline(file)),
            _ => None,
        }
    }

    /// The commit read, for an id of the hub.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Source::Hub(hub) => Some(hub.commit()),
            Source::Folder(_) | Source::Builtin => None,
        }
    }
}

fn open(path: PathBuf) -> Result<File, CheckpointError> {
    match map(&path) {
        Ok((bytes, pages)) => Ok(File { path, bytes, pages: Some(pages) }),
        Err(source) => Err(CheckpointError::Io { doing: "read", path, source }),
    }
}
/// What to say of a name that may be a folder's, where the hub was asked and said `error`.
fn not_here(model: &str, error: CheckpointError) -> CheckpointError {
    let beside = |parent: &Path| -> Option<String> {
        let names: Vec<String> = std::fs::read_dir(parent)
            .ok()?
            .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()))
            .filter_map(|entry| parent.join(entry.file_name()).to_str().map(str::to_string))
            .collect();
        nearest(model, names.iter().map(String::as_str)).map(str::to_string)
    };
    let near = Path::new(model).parent().and_then(beside);
    // What the hub says of a model that it knows is said as it is.
    if near.is_none() && !matches!(error, CheckpointError::Hub { .. }) {
        return error;
    }
    let here = std::env::current_dir().unwrap_or_default();
    CheckpointError::NotHere { model: model.to_string(), here, near, hub: Box::new(error) }
}
