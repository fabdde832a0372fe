//! What is known of a mistake. The catalogue itself is crate `loupe-mistakes`.

use std::fmt;

use serde::Serialize;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The path from the root of the repository.
    pub file: &'static str,
    /// Counted from 1.
    pub line: usize,
    /// The line itself, or of a long one the piece that matters.
    pub text: &'static str,
}

/// Why a text does not name a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLine {
    /// The file does not hold it.
    Absent,
    /// The file holds it more than once.
    Ambiguous,
}

impl Code {
    /// The line at which `text` begins in `source`, the content of `file`. It is const, so that a text that no longer
    /// stands in the code fails the build.
    ///
    /// # Errors
    /// `source` does not hold `text`, or holds it more than once.
    pub const fn find(file: &'static str, source: &str, text: &'static str) -> Result<Code, NoLine> {
        let mut found = None;
        let mut line = 1;
        let mut rest = source.as_bytes();
        while let [first, after @ ..] = rest {
            if starts_with(rest, text.as_bytes()) {
                if found.is_some() {
                    return Err(NoLine::Ambiguous);
                }
                found = Some(Code { file, line, text });
            }
            if *first == b'\n' {
                line += 1;
            }
            rest = after;
        }
        match found {
            Some(code) => Ok(code),
            None => Err(NoLine::Absent),
        }
    }
}

/// `<[u8]>::starts_with`, which is not const.
const fn starts_with(mut text: &[u8], mut start: &[u8]) -> bool {
    while let ([a, text_after @ ..], [b, start_after @ ..]) = (text, start) {
        if *a != *b {
            return false;
        }
        text = text_after;
        start = start_after;
    }
    start.is_empty()
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Right and wrong code as one would write them in any language, with the names of config.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Formula {
    /// What Gemma 2 computes.
    pub right: &'static str,
    /// What the mistake computes in its place.
    pub wrong: &'static str,
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

    const SOURCE: &str = "let a = 1;\n\n    let b = a + a;\nlet c = b";

    fn line(text: &'static str) -> Result<usize, NoLine> {
        Code::find("some.rs", SOURCE, text).map(|code| code.line)
    }

    #[test]
    fn a_text_names_the_line_it_stands_on() {
        assert_eq!(line("let a = 1;"), Ok(1));
        assert_eq!(line("let b = a + a;"), Ok(3));
        assert_eq!(line("a + a"), Ok(3));
        assert_eq!(line("let c = b"), Ok(4));
    }

    #[test]
    fn a_text_that_is_absent_or_there_twice_names_none() {
        assert_eq!(line("let d"), Err(NoLine::Absent));
        assert_eq!(line("let c = b;"), Err(NoLine::Absent));
        assert_eq!(line("let "), Err(NoLine::Ambiguous));
        // The two may overlap.
        assert_eq!(Code::find("some.rs", "aaa", "aa"), Err(NoLine::Ambiguous));
    }

    #[test]
    fn it_is_written_as_an_editor_opens_it() {
        let code = Code::find("some.rs", SOURCE, "let b = a + a;").map(|code| code.to_string());
        assert_eq!(code.as_deref(), Ok("some.rs:3: let b = a + a;"));
    }
}
