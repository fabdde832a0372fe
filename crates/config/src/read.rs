//! Readers: from one JSON value to one Rust value, or what was expected instead.

use std::path::PathBuf;

use jsonc_parser::ast::Value;
use jsonc_parser::common::{Range, Ranged};
use loupe_spec::{Dtype, Probe, nearest};

/// A value that is not what its key wants.
pub(crate) struct Mismatch {
    /// Where: an element's place, if the value is a list.
    pub at: Range,
    /// Ends the sentence "…, expected".
    pub expected: String,
    /// The name that may have been meant.
    pub nearest: Option<String>,
}

impl Mismatch {
    pub(crate) fn new(value: &Value, expected: &str) -> Mismatch {
        Mismatch { at: value.range(), expected: expected.to_string(), nearest: None }
    }
}

/// A string that is not empty.
pub(crate) fn text(value: &Value) -> Result<String, Mismatch> {
    value
        .as_string_lit()
        .map(|literal| literal.value.to_string())
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Mismatch::new(value, "a string that is not empty"))
}

/// A path of a file.
pub(crate) fn path(value: &Value) -> Result<PathBuf, Mismatch> {
    text(value).map(PathBuf::from).map_err(|_| Mismatch::new(value, "a path"))
}

/// A path that the names of files are made from, by appending `.json` and the like.
pub(crate) fn prefix(value: &Value) -> Result<PathBuf, Mismatch> {
    let path = path(value)?;
    let folder = path.file_name().is_none() || path.to_string_lossy().ends_with(std::path::is_separator);
    let whole = path.extension().is_some_and(|ending| ending == "json" || ending == "safetensors");
    if folder || whole {
        return Err(Mismatch::new(value, "a path that ends in a name without ending, such as \"out/run\""));
    }
    Ok(path)
}

/// true or false.
pub(crate) fn boolean(value: &Value) -> Result<bool, Mismatch> {
    value.as_boolean_lit().map(|literal| literal.value).ok_or_else(|| Mismatch::new(value, "true or false"))
}

/// A count, a size or a place: 0, 1, 2, …
pub(crate) fn index(value: &Value) -> Result<usize, Mismatch> {
    number_as(value).ok_or_else(|| Mismatch::new(value, "an integer of 0 or more"))
}

/// An integer of either sign.
pub(crate) fn integer(value: &Value) -> Result<i64, Mismatch> {
    number_as(value).ok_or_else(|| Mismatch::new(value, "an integer"))
}

/// A number as it is written.
pub(crate) fn number(value: &Value) -> Result<String, Mismatch> {
    let written = value.as_number_lit().map(|literal| literal.value.to_string());
    written
        .filter(|written| written.parse::<f64>().is_ok_and(f64::is_finite))
        .ok_or_else(|| Mismatch::new(value, "a number"))
}

/// A finite number above 0.
pub(crate) fn positive(value: &Value) -> Result<f64, Mismatch> {
    number_as::<f64>(value)
        .filter(|number| number.is_finite() && *number > 0.0)
        .ok_or_else(|| Mismatch::new(value, "a number above 0"))
}

/// As wide as any size in a config.json may be.
const MOST_LANES: usize = 1 << 24;

/// An even number of lanes above 0: RoPE rotates two halves.
pub(crate) fn even(value: &Value) -> Result<usize, Mismatch> {
    number_as::<usize>(value)
        .filter(|number| (2..=MOST_LANES).contains(number) && number.is_multiple_of(2))
        .ok_or_else(|| Mismatch::new(value, "an even integer from 2 to 16777216: RoPE rotates two halves"))
}

fn number_as<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_number_lit().and_then(|literal| literal.value.parse().ok())
}

/// A list, which may be empty.
pub(crate) fn any_list<T>(
    element: impl Fn(&Value) -> Result<T, Mismatch>,
) -> impl Fn(&Value) -> Result<Vec<T>, Mismatch> {
    move |value| match value {
        Value::Array(array) => array.elements.iter().map(&element).collect(),
        other => Err(Mismatch::new(other, "a list")),
    }
}

/// A list of at least one element.
pub(crate) fn list<T>(element: impl Fn(&Value) -> Result<T, Mismatch>) -> impl Fn(&Value) -> Result<Vec<T>, Mismatch> {
    move |value| match value {
        Value::Array(array) if !array.elements.is_empty() => array.elements.iter().map(&element).collect(),
        other => Err(Mismatch::new(other, "a list of at least one element")),
    }
}

/// One of a few names.
pub(crate) fn choice<T: Copy>(options: &[(&'static str, T)]) -> impl Fn(&Value) -> Result<T, Mismatch> {
    move |value| {
        let found = value.as_string_lit().map(|literal| literal.value.as_ref());
        let names = || options.iter().map(|(name, _)| *name);
        options.iter().find(|(name, _)| Some(*name) == found).map(|(_, option)| *option).ok_or_else(|| Mismatch {
            at: value.range(),
            expected: alternatives(names()),
            nearest: found.and_then(|found| nearest(found, names())).map(str::to_string),
        })
    }
}

/// A type that a forward pass can compute in.
pub(crate) fn float(value: &Value) -> Result<Dtype, Mismatch> {
    choice(&Dtype::FLOATS.map(|dtype| (dtype.name(), dtype)))(value)
}

/// The name of a probe point.
pub(crate) fn probe(value: &Value) -> Result<Probe, Mismatch> {
    text(value)?.parse().map_err(|unknown: loupe_spec::UnknownProbe| Mismatch {
        at: value.range(),
        expected: "the name of a probe point".to_string(),
        nearest: unknown.nearest,
    })
}

/// The name of a probe point, or a pattern whose `*` stand for any text.
pub(crate) fn probe_pattern(value: &Value) -> Result<String, Mismatch> {
    let text = text(value)?;
    if text.contains('*') { Ok(text) } else { probe(value).map(|_| text) }
}

/// `"a", "b" or "c"`.
pub(crate) fn alternatives<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut quoted: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.pop() {
        Some(last) if !quoted.is_empty() => format!("{} or {last}", quoted.join(", ")),
        Some(only) => only,
        None => "nothing".to_string(),
    }
}
