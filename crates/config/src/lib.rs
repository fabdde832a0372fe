//! The one document that says what Loupe is to do: JSON with `//` comments in, a typed [`Document`] out (one check or a matrix), or an
//! error that points at the key.
//!
//! This crate knows which keys there are, their types, and which of them a check needs. It does not know whether a
//! model exists, has that many layers, or whether a backend is on this machine: those who open them say so.
//!
//! Relative paths inside a document (`output`, `candidates`, `against`, `report`, a `model` folder such as `./x`)
//! are relative to the current working directory, not to the document: a command means the same whichever folder
//! its config lies in.

#![forbid(unsafe_code)]

mod build;
mod check_name;
mod command;
mod common;
mod compare;
mod engine_run;
mod error;
mod excerpt;
mod fields;
mod key;
mod keys;
mod matrix;
mod matrix_keys;
mod policy;
mod read;
mod request;
mod schema;
mod shapes;
mod syntax;
mod tables;

use std::path::Path;

pub use check_name::CheckName;
pub use command::{DumpFormat, Piece, Placeholder};
pub use engine_run::EngineRun;
pub use error::{ConfigError, Invalid, Problem};
pub use keys::DEFAULT_OUTPUT;
pub use matrix::{BackendRun, DEFAULT_TIME_LIMIT, Matrix, MatrixCheck, MatrixRun};
pub use request::{
    BACKENDS, CandidateRef, Check, Common, Compare, ComputedIn, Device, Emit, Format, Input, MatmulPrecision, ModelRef,
    Proj, Reference, Rejudge, Request, Target, Typed,
};

pub use schema::{config_schema, matrix_schema};
pub use tables::{check_table, engine_table, key_table, matrix_table};

/// What stands for standard input in the place of a path.
pub const STDIN: &str = "-";

/// What a document asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// One check.
    Request(Box<Request>),
    /// Several, on several backends or of several engines.
    Matrix(Box<Matrix>),
}

/// Reads the config of one `loupe` run: a file, or [`STDIN`]. One with `runs`, `reports` or a list of `checks`, and no `check`, is a matrix.
///
/// # Errors
/// A file that cannot be read, is not UTF-8, or that [`parse`] or [`parse_matrix`] refuses.
pub fn read(path: &Path) -> Result<Document, ConfigError> {
    let (name, text) = if path == Path::new(STDIN) {
        let name = Path::new("standard input");
        (name, error::read_stdin(name)?)
    } else {
        (path, error::read_text(path)?)
    };
    syntax::document(name, &text, |fields, document| match matrix::is_one(&document) {
        true => matrix::matrix(fields, document).map(|matrix| Document::Matrix(Box::new(matrix))),
        false => build::request(fields, document).map(|request| Document::Request(Box::new(request))),
    })
}

/// The request that the document `text` makes; `path` only names it in errors.
///
/// # Errors
/// Everything that is wrong with the document, each problem at its place.
pub fn parse(path: &Path, text: &str) -> Result<Request, ConfigError> {
    syntax::document(path, text, build::request)
}

/// Reads a document with keys of its own: an object in JSON with comments, as every config of Loupe's is.
///
/// # Errors
/// A file that cannot be read, is not UTF-8, or holds no such object.
pub fn read_document(path: &Path) -> Result<serde_json::Value, ConfigError> {
    syntax::document(path, &error::read_text(path)?, |_, document| Ok(document))
}

/// The matrix that the document `text` describes; `path` only names it in errors.
///
/// # Errors
/// Everything that is wrong with the document, each problem at its place.
pub fn parse_matrix(path: &Path, text: &str) -> Result<Matrix, ConfigError> {
    syntax::document(path, text, matrix::matrix)
}
