//! What can be wrong with a config, and where in it.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jsonc_parser::common::Range;
use loupe_spec::echo_path;
use miette::{Diagnostic, LabeledSpan};

use crate::excerpt::Excerpt;

/// Why there is no request.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read the config {}: {reason}", echo_path(path))]
    #[diagnostic(help("loupe takes the path of one JSON file, or - for standard input{}", with_ending(path)))]
    Read {
        /// The path as given.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The path is a folder.
    #[error("the config {} is a folder, expected a JSON file", echo_path(path))]
    #[diagnostic(help("a checkpoint's folder goes into a config, as \"model\""))]
    Folder {
        /// The path as given.
        path: PathBuf,
    },
    /// What Loupe judges, and no config.
    #[error("{} is {what}, expected a config: a JSON file that says what to do with it", echo_path(path))]
    #[diagnostic(help(
        "write {{{keys}: \"{}\"}} into a file, with your own model, and give loupe that",
        echo_path(path)
    ))]
    Candidate {
        /// The path as given.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What a config says of it.
        keys: &'static str,
    },
    /// The file holds bytes that are no UTF-8 text.
    #[error("the config {} is not UTF-8 text: byte {offset} is wrong", echo_path(path))]
    #[diagnostic(help("save it as UTF-8; a dump or weights go into a config, by their path"))]
    NotUtf8 {
        /// The path as given.
        path: PathBuf,
        /// The first byte that is no UTF-8.
        offset: usize,
    },
    /// The text is no valid config.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Invalid(Box<Invalid>),
}

/// Far above any config with a prompt as long as Gemma 2's context, 8,192 tokens.
const LARGEST: u64 = 16 << 20;

/// Bytes that tell what a file is.
const HEAD: u64 = 16;

/// What to say of a path that is a file's but for its ending.
fn with_ending(path: &Path) -> String {
    let whole = path.with_added_extension("json");
    if whole.is_file() { format!("; there is a file {}", echo_path(&whole)) } else { String::new() }
}

/// What begins so is a dump, or weights; a config begins with a brace or a comment.
fn candidate(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let dump = r#""check": "compare", "model": "builtin:tiny", "candidate""#;
    Some(match bytes {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => ("a zip, as numpy's .npz and torch's .pt are", dump),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => ("an array of numpy's", dump),
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => ("a safetensors file", dump),
        [b'G', b'G', b'U', b'F', ..] => ("a GGUF", r#""check": "weights", "model": "builtin:tiny", "against""#),
        _ => return None,
    })
}

/// Reads a file, telling the ways in which that fails apart.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let owned = path.to_path_buf();
    if path.is_dir() {
        return Err(ConfigError::Folder { path: owned });
    }
    let mut begins = Vec::new();
    // A dump may be larger than any config. What cannot be read is said below.
    let head = loupe_files::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut begins));
    if let Some((what, keys)) = candidate(&begins).filter(|_| head.is_ok()) {
        return Err(ConfigError::Candidate { path: owned, what, keys });
    }
    let bytes = loupe_files::read(path, LARGEST).map_err(|reason| ConfigError::Read { path: owned, reason })?;
    in_utf8(path, bytes)
}

/// The same of standard input.
pub(crate) fn read_stdin(name: &Path) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes);
    let fits = read.and_then(|length| match length as u64 > LARGEST {
        true => Err(io::Error::other(format!("it has more than {LARGEST} bytes"))),
        false => Ok(()),
    });
    fits.map_err(|reason| ConfigError::Read { path: name.to_path_buf(), reason })?;
    in_utf8(name, bytes)
}

fn in_utf8(path: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    String::from_utf8(bytes)
        .map_err(|error| ConfigError::NotUtf8 { path: path.to_path_buf(), offset: error.utf8_error().valid_up_to() })
}

/// Everything that is wrong with a document. `Display` alone says it all, a line each; miette shows it in the text.
#[derive(Debug)]
pub struct Invalid {
    /// The document's path.
    name: String,
    /// What is shown of the document, around the problems that are shown.
    excerpt: Excerpt,
    /// In the order of the text; at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What failed, what was expected and what was found.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The bytes of the key or value meant.
    pub span: std::ops::Range<usize>,
    /// A few words beside those bytes.
    label: &'static str,
}

/// More problems than this, a person does not read at once.
const SHOWN: usize = 20;

impl Invalid {
    fn shown(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().take(SHOWN)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Invalid { name, problems, .. } = self;
        if let [Problem { message, line, column, .. }] = problems.as_slice() {
            return write!(f, "{name}:{line}:{column}: {message}");
        }
        write!(f, "{name} has {} problems", problems.len())?;
        for Problem { message, line, column, .. } in self.shown() {
            write!(f, "\n{line}:{column}: {message}")?;
        }
        match problems.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Invalid {}

impl Diagnostic for Invalid {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.excerpt)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = |(at, problem): (usize, &Problem)| (self.excerpt.span(at), problem.label);
        let mut labels: Vec<_> = self.shown().enumerate().map(place).collect();
        // Several keys may be missing at one place.
        labels.dedup();
        Some(Box::new(labels.into_iter().map(|(span, label)| LabeledSpan::at(span, label))))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let mut helps: Vec<&str> = Vec::new();
        for help in self.shown().filter_map(|problem| problem.help.as_deref()) {
            if !helps.contains(&help) {
                helps.push(help);
            }
        }
        (!helps.is_empty()).then(|| Box::new(helps.join("\n")) as Box<dyn fmt::Display>)
    }
}

/// Proof that a problem was noted. A value that could not be read is an `Err` of this, so that reading goes on and
/// the person learns of everything at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted(());

/// Where the readers of a document note what is wrong with it.
pub(crate) struct Problems<'a> {
    text: &'a str,
    noted: RefCell<Vec<Problem>>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(text: &'a str) -> Problems<'a> {
        Problems { text, noted: RefCell::default() }
    }

    /// The source of `range`.
    pub(crate) fn source(&self, range: Range) -> &'a str {
        self.text.get(range.start..range.end).unwrap_or_default()
    }

    /// Notes that `range` is wrong; `label` goes beside it.
    pub(crate) fn note(&self, range: Range, label: &'static str, message: String, help: Option<String>) -> Noted {
        let before = self.text.get(..range.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let problem = Problem {
            message,
            help,
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            span: range.start..range.end,
            label,
        };
        let mut noted = self.noted.borrow_mut();
        // A key may be read twice: `output` is of every check, and `export` cannot do without.
        if !noted.contains(&problem) {
            noted.push(problem);
        }
        Noted(())
    }

    /// `built`, unless anything was noted: then the error that says all of it.
    pub(crate) fn finish<T>(self, path: &Path, built: Result<T, Noted>) -> Result<T, ConfigError> {
        let mut problems = self.noted.into_inner();
        match built {
            Ok(value) if problems.is_empty() => Ok(value),
            _ => {
                problems.sort_by_key(|problem| problem.span.start);
                let place = |problem: &Problem| (problem.span.clone(), problem.column);
                let meant: Vec<_> = problems.iter().take(SHOWN).map(place).collect();
                let name = echo_path(path);
                let excerpt = Excerpt::of(name.clone(), self.text, &meant);
                Err(ConfigError::Invalid(Box::new(Invalid { name, excerpt, problems })))
            }
        }
    }
}
