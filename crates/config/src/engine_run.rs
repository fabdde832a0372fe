//! An engine as a run of a matrix: the command that starts it, and what the judge is told of its dump.

use serde_json::{Map, Value};

use crate::command::{DumpFormat, Piece, Placeholder};
use crate::compare::{names, positions};
use crate::error::Noted;
use crate::fields::Fields;
use crate::keys::{CANDIDATE_DTYPE, COMMAND, DUMP_FORMAT, JUDGED_WITH, NAME};
use crate::shapes::engine_run_keys;

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
    let positions = positions(&fields);
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
