//! An engine as a run of a matrix: the command that starts it, and what the judge is told of its dump.

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged;
use loupe_spec::nearest;
use serde_json::{Map, Value};

use crate::compare::names;
use crate::error::Noted;
use crate::fields::Fields;
use crate::keys::{CANDIDATE_DTYPE, COMMAND, DUMP_FORMAT, JUDGED_WITH, NAME, engine_run_keys};
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

/// An engine that is not Loupe's, as a run of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineRun {
    /// What it is called in the tables; the program's file name where left out.
    pub name: String,
    /// The program and its arguments, each in pieces. Not empty.
    pub command: Vec<Vec<Piece>>,
    /// Where its numbers are.
    pub format: DumpFormat,
    /// `names`, `candidate_dtype`, `positions` as written, for the judge.
    pub judged_with: Map<String, Value>,
}

impl EngineRun {
    /// Whether the command asks for `placeholder`.
    pub fn asks_for(&self, placeholder: Placeholder) -> bool {
        self.command.iter().flatten().any(|piece| *piece == Piece::Placeholder(placeholder))
    }
}

/// The engine that `fields`, an element of `runs`, describes; `document` is the same as written.
pub(crate) fn engine_run(fields: &Fields, document: &Map<String, Value>) -> Result<EngineRun, Noted> {
    let fields = fields.named("a run with \"command\"".to_string());
    fields.only(&engine_run_keys().names());
    let command = fields.required(&COMMAND);
    let format = fields.optional(&DUMP_FORMAT);
    let name = fields.optional(&NAME);
    let names = names(&fields);
    let candidate_dtype = fields.optional(&CANDIDATE_DTYPE);
    let positions = crate::compare::positions(&fields);
    let (command, format, name) = (command?, format?, name?);
    names.and(candidate_dtype.map(drop)).and(positions.map(drop))?;
    let judged_with = JUDGED_WITH.iter().map(|key| key.name());
    let judged_with = judged_with.filter_map(|key| Some((key.to_string(), document.get(key)?.clone())));
    let name = name.unwrap_or_else(|| called(&command));
    Ok(EngineRun { name, command, format: format.unwrap_or_default(), judged_with: judged_with.collect() })
}

/// The file name of a command's program: `my-engine` of `./build/my-engine`.
fn called(command: &[Vec<Piece>]) -> String {
    let program = match command.first().and_then(|pieces| pieces.first()) {
        Some(Piece::Text(text)) => text.as_str(),
        _ => "",
    };
    let name = std::path::Path::new(program).file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "engine".to_string())
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
