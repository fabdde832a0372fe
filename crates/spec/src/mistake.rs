//! What is known of a mistake. The catalogue itself is crate `loupe-mistakes`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Change, Probe};

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

/// A line of this repository. `Display` writes `file:line: text`.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// The path from the root of the repository.
    pub file: &'static str,
    /// What stands in it.
    pub source: &'static str,
    /// The line itself, or of a long one the piece that matters.
    pub text: &'static str,
}

impl Code {
    /// The number of the line, counted from 1; `None` where the file no longer holds the text, or holds it more than once: a test
    /// of the catalogue finds that.
    pub fn line(&self) -> Option<usize> {
        let mut found = self.source.match_indices(self.text);
        let (at, _) = found.next()?;
        found.next().is_none().then(|| self.source[..at].matches('\n').count() + 1)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line() {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.text),
            None => write!(f, "{}: {}", self.file, self.text),
        }
    }
}

/// Right and wrong code as one would write them in any language, with the names of config.json.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Formula<T = &'static str> {
    /// What Gemma 2 computes.
    pub right: T,
    /// What the mistake computes in its place.
    pub wrong: T,
}

impl Formula {
    /// As a verdict holds it, which may come from a file.
    pub fn owned(&self) -> Formula<String> {
        Formula { right: self.right.to_string(), wrong: self.wrong.to_string() }
    }
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
    /// Right and wrong code.
    pub formula: Formula,
    /// The line of the right code: what the mistake gets wrong.
    pub right: Code,
    /// When it cannot be seen.
    pub hidden_when: &'static str,
    /// The probes it changes.
    pub at: fn(Probe) -> bool,
    /// What it is as data; a wrong formula stands in crate `loupe-mistakes`.
    pub changes: &'static [Change],
}

impl Mistake {
    /// Whether it is the one called so.
    pub fn is(&self, id: &str, variant: Option<&str>) -> bool {
        self.id == id && self.variant == variant
    }

    /// Whether it changes a value of this kind.
    pub fn touches(&self, is_meant: impl Fn(Probe) -> bool) -> bool {
        Probe::each().any(|probe| is_meant(probe) && (self.at)(probe))
    }

    /// `id`, or `id--variant`.
    pub fn name(&self) -> String {
        self.variant.map_or_else(|| self.id.to_string(), |variant| format!("{}--{variant}", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &'static str) -> Code {
        Code { file: "some.rs", source: "let a = 1;\n\n    let b = a + a;\nlet c = b", text }
    }

    #[test]
    fn a_text_names_the_line_it_stands_on() {
        assert_eq!(code("let a = 1;").line(), Some(1));
        assert_eq!(code("a + a").line(), Some(3));
        assert_eq!(code("let c = b").to_string(), "some.rs:4: let c = b");
        // A line that is gone, or stands twice, is none.
        assert_eq!(code("let d").to_string(), "some.rs: let d");
        assert_eq!(code("let ").line(), None);
    }
}
