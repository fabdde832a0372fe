//! What a name means, and whose it is.

use loupe_spec::Probe;

use crate::dialects::{ALL, Holds, look_up};

/// What one of a candidate's names means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// These values: the first is what the name says, the others what is written under it, too.
    Values(Vec<Probe>),
    /// Several probe points side by side along the last axis.
    Fused(Vec<Probe>),
    /// What enters each layer, and what leaves the last after the final norm, one after the other along the first axis.
    Stacked,
    /// `rope.*` and `weights.*`, which no forward pass computes.
    Recorded,
    /// Known, and no probe point's: what it is.
    Nothing(&'static str),
    /// Not known; the known name that is most like it.
    Unknown(Option<String>),
}

/// Whose names a dump has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// The config's "names".
    Config,
    /// Loupe's own.
    Loupe,
    /// The dialect at this place of the table.
    Dialect(usize),
}

impl Whose {
    /// What a message calls it.
    pub fn name(self) -> &'static str {
        match self {
            Whose::Config => "the config's \"names\"",
            Whose::Loupe => "Loupe's probe points",
            Whose::Dialect(at) => ALL[at].name,
        }
    }

    /// What `name` holds, and of which layer, in these names.
    pub(crate) fn look_up(self, name: &str) -> Option<(Holds, usize)> {
        match self {
            Whose::Config => None,
            Whose::Loupe => Probe::named(name).map(|probe| (Holds::Probe(probe), probe.layer().unwrap_or(0))),
            Whose::Dialect(at) => look_up(at, name),
        }
    }
}
