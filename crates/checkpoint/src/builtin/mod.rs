//! `builtin:tiny`: a whole Gemma 2 checkpoint made by the program, so that a fresh machine runs everything.
//!
//! Its sizes make every branch of the model matter; [`weights`] says which. Its files have the names and the form that
//! a folder's have, and go through the same reading and checking.

mod tokenizer;
mod weights;

use bytes::Bytes;

use crate::CheckpointError;
use crate::names::{CONFIG, SINGLE, TOKENIZER};

/// What `model` says to mean it.
pub(crate) const NAME: &str = "builtin:tiny";

const CONFIG_JSON: &str = include_str!("config.json");

/// The file called `name`; `None` where it has none of that name.
pub(crate) fn file(name: &str) -> Result<Option<Bytes>, CheckpointError> {
    Ok(match name {
        CONFIG => Some(Bytes::from_static(CONFIG_JSON.as_bytes())),
        TOKENIZER => Some(tokenizer::json().into()),
        SINGLE => Some(weights::safetensors(NAME, CONFIG_JSON)?.into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
