//! What a mistake changes, as data.

use crate::{Config, Node};

/// A part of a mistake that is data. Parts of several mistakes at one value follow each other; the second config is the right
/// one.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// config.json is read as if this had been done to it: `export` can write that, too.
    Config(fn(&mut Config, &Config)),
    /// Another operation, another number in it, another tensor, other inputs.
    Node(fn(&mut Node, &Config)),
    /// Another prompt is tokenized.
    Prompt(fn(&str) -> String),
    /// Other token ids are run.
    Tokens(fn(&[usize]) -> Vec<usize>),
}
