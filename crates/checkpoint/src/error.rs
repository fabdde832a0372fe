//! Everything that can be wrong with a checkpoint, each said in full: what, where, expected, found, what to do.

use std::io;
use std::path::PathBuf;

use loupe_spec::{ConfigError, echo, echo_path, hint};

/// Why a checkpoint could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// `model` names nothing that exists.
    #[error("model \"{}\": {reason}", echo(model))]
    NoModel {
        /// As given.
        model: String,
        /// What was tried, and what would work.
        reason: String,
    },
    /// `revision` beside something that has none.
    #[error(
        "revision \"{}\" is given, but only a hub id (org/name) has revisions, and model \"{}\" is {is}",
        echo(revision),
        echo(model)
    )]
    Revision {
        /// As given.
        revision: String,
        /// As given.
        model: String,
        /// "a folder", "inside the program".
        is: &'static str,
    },
    /// The operating system refused.
    #[error("could not {doing} {}: {source}", echo_path(path))]
    Io {
        /// "read", "create", …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A folder without a file that every checkpoint has.
    #[error("{} holds no {expected}; {advice}", echo_path(folder))]
    MissingFile {
        /// Where it was looked for.
        folder: PathBuf,
        /// The name or names that would do.
        expected: &'static str,
        /// What to do.
        advice: String,
    },
    /// config.json is not a Gemma 2's.
    #[error("{}: {source}", echo_path(path))]
    Config {
        /// The config.json.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// `prompt` is the empty string.
    #[error("the prompt is empty; give at least one character, or token_ids in its place")]
    EmptyPrompt,
    /// A prompt, and nothing to turn it into token ids.
    #[error(
        "{} holds no tokenizer.json, so the prompt cannot become token ids; give token_ids in its place, or put the model's tokenizer.json there",
        echo(location)
    )]
    NoTokenizer {
        /// The folder or hub id.
        location: String,
    },
    /// tokenizer.json is there, but does not work.
    #[error("{}: {reason}", echo_path(path))]
    Tokenizer {
        /// The tokenizer.json.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// model.safetensors.index.json is wrong.
    #[error("{}: {reason}", echo_path(path))]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file that is not a whole safetensors file.
    #[error("{} is not a whole safetensors file: {reason}", echo_path(path))]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The tensors there are not the tensors that config.json calls for.
    #[error("the tensors of {} are not those that its config.json calls for:{}", echo(location), list(problems))]
    Tensors {
        /// The folder or hub id.
        location: String,
        /// One sentence a tensor: missing, misshapen, of a type that is not read, then unused ones.
        problems: Vec<String>,
    },
    /// A tensor that this checkpoint does not have.
    #[error("this checkpoint has no tensor {}: {reason}", echo(name))]
    NoSuchTensor {
        /// Its state-dict name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Rows that the tensor does not have.
    #[error("{name} {shape:?}: {reason}")]
    RowSelection {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What was asked for.
        reason: String,
    },
    /// NaN or infinity where a number belongs.
    #[error("{} in {} {reason}, at index {index:?}", echo(name), echo_path(file))]
    NotFinite {
        /// The tensor.
        name: String,
        /// Where it is.
        file: PathBuf,
        /// The first such element, by axis.
        index: Vec<usize>,
        /// "holds NaN", …
        reason: String,
    },
    /// Not in the cache, and the network is off.
    #[error(
        "{file} of {} (revision {}) is not in the cache (looked in {}) and HF_HUB_OFFLINE forbids the network; unset HF_HUB_OFFLINE, or set HF_HOME or HF_HUB_CACHE to a cache that holds it",
        echo(id),
        echo(revision),
        echo_path(looked)
    )]
    Offline {
        /// org/name
        id: String,
        /// Branch, tag or commit.
        revision: String,
        /// The file wanted.
        file: String,
        /// The folder of the cache.
        looked: PathBuf,
    },
    /// 401 or 403.
    #[error("the hub refused {} ({status}): {advice}", echo(id))]
    Refused {
        /// org/name
        id: String,
        /// 401 or 403.
        status: u16,
        /// What to do.
        advice: String,
    },
    /// Any other trouble with the hub.
    #[error("could not fetch {file} of {} (revision {}) from {}: {reason}", echo(id), echo(revision), echo(endpoint))]
    Hub {
        /// org/name
        id: String,
        /// Branch, tag or commit.
        revision: String,
        /// The file wanted.
        file: String,
        /// The hub's address.
        endpoint: String,
        /// Why, and what to do.
        reason: String,
    },
    /// No folder, and no model that could be had from the hub.
    #[error("there is no folder \"{}\" in {}{}; as a model of the hub: {hub}", echo(model), echo_path(here), hint(near.as_deref()))]
    NotHere {
        /// As given.
        model: String,
        /// The working folder.
        here: PathBuf,
        /// The folder beside it that is most like it.
        near: Option<String>,
        /// What the hub said.
        hub: Box<CheckpointError>,
    },
    /// A checkpoint that cannot be written as asked.
    #[error("cannot write a checkpoint to {}: {reason}", echo_path(folder))]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
}

/// More than this many lines help nobody: one wrong prefix makes every tensor of a checkpoint both missing and unused.
const LISTED: usize = 24;

fn list(problems: &[String]) -> String {
    let mut text: String = problems.iter().take(LISTED).map(|problem| format!("\n  {problem}")).collect();
    if problems.len() > LISTED {
        text.push_str(&format!("\n  and {} more", problems.len() - LISTED));
    }
    text
}
