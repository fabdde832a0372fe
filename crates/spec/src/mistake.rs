//! What is known of a mistake. The catalogue itself is crate `loupe-mistakes`.

use crate::Probe;

/// What a mistake belongs to: an error in the architecture, a choice of where to round, or a broken kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MistakeKind {
    /// The mathematics is wrong.
    Architectural,
    /// The mathematics is right; a cast stands elsewhere than transformers has it.
    DtypePolicy,
    /// The program is right; what ran it is not.
    BackendFault,
}

/// What is known of a mistake.
#[derive(Clone, Copy, Debug)]
pub struct Mistake {
    /// The name used in configs and verdicts.
    pub id: &'static str,
    /// For a mistake that has been made in more than one way: which. Planted as `id--variant`.
    pub variant: Option<&'static str>,
    /// What kind of thing it is.
    pub kind: MistakeKind,
    /// One sentence: what the wrong code does, against what is right.
    pub what: &'static str,
    /// Public engines and threads in which it happened.
    pub seen_in: &'static str,
    /// Where the right code stands in this repository.
    pub right: &'static str,
    /// When it cannot be seen.
    pub hidden_when: &'static str,
    /// The probes it changes.
    pub at: fn(Probe) -> bool,
}

impl Mistake {
    /// `id`, or `id--variant`.
    pub fn name(&self) -> String {
        self.variant.map_or_else(|| self.id.to_string(), |variant| format!("{}--{variant}", self.id))
    }
}
