//! The command that starts an engine: a program and its arguments, with placeholders.

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged;
use loupe_spec::nearest;
use serde_json::Value;

use crate::read::{Mismatch, Reads, Takes, alternatives};

/// What is put in the place of `{name}` in an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The folder of the checkpoint; a built-in model is written to one first.
    Model,
    /// The path of the dump, whole or without its ending.
    Output,
    /// The prompt as the matrix has it.
    Prompt,
    /// The prompt's ids with commas between them.
    TokenIds,
}

impl Placeholder {
    /// Every placeholder.
    pub const ALL: [Placeholder; 4] =
        [Placeholder::Model, Placeholder::Output, Placeholder::Prompt, Placeholder::TokenIds];

    /// As it stands in an argument, without the braces.
    pub fn name(self) -> &'static str {
        match self {
            Placeholder::Model => "model",
            Placeholder::Output => "output",
            Placeholder::Prompt => "prompt",
            Placeholder::TokenIds => "token_ids",
        }
    }
}

/// A piece of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Text(String),
    /// Filled in when the engine is started.
    Placeholder(Placeholder),
}

/// Where an engine's numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DumpFormat {
    /// In the file or folder that it leaves at `{output}`, or where it leaves none, in what it prints.
    #[default]
    Auto,
    /// In what it prints.
    Printed,
}

impl DumpFormat {
    /// Every format.
    pub const ALL: [DumpFormat; 2] = [DumpFormat::Auto, DumpFormat::Printed];

    /// The name in configs.
    pub fn name(self) -> &'static str {
        match self {
            DumpFormat::Auto => "auto",
            DumpFormat::Printed => "printed",
        }
    }
}

/// A program and its arguments.
pub(crate) struct Command;

impl Takes for Command {
    fn words(&self) -> String {
        "[string]".to_string()
    }

    fn schema(&self) -> Value {
        serde_json::json!({"type": "array", "items": {"type": "string"}, "minItems": 1})
    }
}

impl Reads for Command {
    type Out = Vec<Vec<Piece>>;

    fn read(&self, value: &Ast) -> Result<Vec<Vec<Piece>>, Mismatch> {
        match value {
            Ast::Array(array) if !array.elements.is_empty() => array.elements.iter().map(argument).collect(),
            other => Err(Mismatch::new(other, "a program and its arguments, such as [\"./my-engine\", \"{output}\"]")),
        }
    }
}

/// An argument with `{name}` in it wherever something is to be filled in. Other braces are text: `{"a": 1}`, `{}`.
fn argument(value: &Ast) -> Result<Vec<Piece>, Mismatch> {
    let whole = value.as_string_lit().map(|literal| literal.value.to_string());
    let mut rest = whole.as_deref().ok_or_else(|| Mismatch::new(value, "a string"))?;
    let mut pieces = Vec::new();
    while let Some((before, name, after)) = next_placeholder(rest) {
        let known = Placeholder::ALL.into_iter().find(|placeholder| placeholder.name() == name);
        let Some(placeholder) = known else {
            let names = Placeholder::ALL.map(Placeholder::name);
            let expected = format!("one of {} between braces", alternatives(names));
            let nearest = nearest(name, names).map(str::to_string);
            return Err(Mismatch { at: value.range(), expected, nearest });
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_string()));
        }
        pieces.push(Piece::Placeholder(placeholder));
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.to_string()));
    }
    Ok(pieces)
}

/// The first `{name}` of `text`, with what is before and after it. A name is of small letters and `_`.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('{').find_map(|(at, _)| {
        let inner = &text[at + 1..];
        let end = inner.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
        (end > 0 && inner[end..].starts_with('}')).then(|| (&text[..at], &inner[..end], &inner[end + 1..]))
    })
}
