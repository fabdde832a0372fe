//! What an answer is made of: text prints the parts below each other, a page sets them side by side.

use std::fmt;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is about.
    pub title: String,
    /// What is said of that.
    pub lines: Vec<Line>,
}

/// A line of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `yours`, `right`, `where`
    pub label: &'static str,
    /// What it says.
    pub text: String,
}

pub(super) fn line(label: &'static str, text: String) -> Line {
    Line { label, text }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        self.lines.iter().try_for_each(|Line { label, text }| writeln!(f, "  {label:<9} {text}"))
    }
}
