//! One program's names, as a table.

use std::collections::HashMap;

use loupe_spec::Probe;

/// What a name says that a tensor holds; of what belongs to a layer, in the layer that the name is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Holds {
    /// This probe point: the name is Loupe's own.
    Probe(Probe),
    /// These values, by their paths: the first is what the program documents, the others what it writes under the same name
    /// besides.
    Values(&'static [&'static str]),
    /// transformers' `hidden_states[{l}]`: what enters layer `{l}`; the last is after the final norm.
    HiddenState,
    /// All of those in one tensor, one after the other along the first axis.
    HiddenStates,
    /// Several in one, side by side along the last axis.
    Fused(&'static [&'static str]),
    /// Nothing that is a probe point: the sentence says what it is.
    Nothing(&'static str),
}

/// One program's names.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// What a message calls it.
    pub name: &'static str,
    /// What stands before every name.
    pub roots: &'static [&'static str],
    /// What stands before a layer's names, with `{l}` for its number.
    pub layers: &'static [&'static str],
    /// What stands after a layer's names, with `{l}` for its number.
    pub after: &'static [&'static str],
    /// Names in a layer.
    pub in_layer: &'static [(&'static str, Holds)],
    /// Names outside of the layers, or with `{l}` at a place of their own.
    pub elsewhere: &'static [(&'static str, Holds)],
    /// What may stand after a name and means nothing.
    pub tails: &'static [&'static str],
}

impl Dialect {
    pub fn table(&self) -> HashMap<String, Holds> {
        let in_layer = self
            .layers
            .iter()
            .flat_map(|layer| self.in_layer.iter().map(move |(name, holds)| (format!("{layer}{name}"), *holds)));
        let after = self
            .after
            .iter()
            .flat_map(|layer| self.in_layer.iter().map(move |(name, holds)| (format!("{name}{layer}"), *holds)));
        let elsewhere = self.elsewhere.iter().map(|(name, holds)| (name.to_string(), *holds));
        let names: Vec<(String, Holds)> = in_layer.chain(after).chain(elsewhere).collect();
        let rooted = self
            .roots
            .iter()
            .flat_map(|root| names.iter().map(move |(name, holds)| (squashed(&format!("{root}{name}")), *holds)));
        rooted.collect()
    }
}

/// `name` in lower case with every separator an underscore.
pub(crate) fn squashed(name: &str) -> String {
    let separator = |c: char| matches!(c, '.' | '/' | '-' | ':' | ' ' | '\\' | '[' | ']');
    let squashed: String = name.chars().map(|c| if separator(c) { '_' } else { c.to_ascii_lowercase() }).collect();
    squashed.trim_matches('_').to_string()
}
