//! From text to an object whose values know where they stand.

use std::collections::HashSet;
use std::path::Path;

use jsonc_parser::ast::{ObjectProp, Value};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::errors::ParseError;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use loupe_spec::echo;

use crate::error::{ConfigError, Noted, Problems};
use crate::fields::Fields;

/// JSON with comments, and no other leniency: a document that Loupe takes is one that any JSONC reader takes.
const JSON_WITH_COMMENTS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Parses `text` and lets `build` read the object that it holds, with the document as a plain value beside it.
pub(crate) fn document<T>(
    path: &Path,
    text: &str,
    build: impl FnOnce(&Fields, serde_json::Value) -> Result<T, Noted>,
) -> Result<T, ConfigError> {
    // Editors on Windows begin a file with a byte order mark, which is no part of the document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let problems = Problems::new(text);
    let parsed = parse_to_ast(text, &CollectOptions::default(), &JSON_WITH_COMMENTS);
    let built = match parsed.map(|parsed| parsed.value) {
        Err(error) => Err(note_syntax(&problems, &error)),
        Ok(Some(Value::Object(object))) => {
            // A value that is no JSON would only cause misleading complaints about the key that has it.
            plain(&Value::Object(object.clone()), &problems)
                .and_then(|document| build(&Fields::new(&object, "the config".into(), &problems), document))
        }
        Ok(other) => {
            let (range, found) = match &other {
                Some(value) => (value.range(), kind(value)),
                None => (Range::new(0, 0), "nothing"),
            };
            Err(problems.note(
                range,
                "here",
                format!("the config holds {found}, expected an object: {{\"check\": …}}"),
                None,
            ))
        }
    };
    problems.finish(path, built)
}

fn note_syntax(problems: &Problems, error: &ParseError) -> Noted {
    problems.note(
        error.range(),
        "here",
        format!("the config is not JSON: {}", echo(&error.kind().to_string())),
        Some("a config is JSON; // comments are allowed, trailing commas and single quotes are not".into()),
    )
}

/// The value without its places, once it is known to be strict JSON.
fn plain(value: &Value, problems: &Problems) -> Result<serde_json::Value, Noted> {
    let strict = |range| strict_string(problems, range);
    Ok(match value {
        Value::NullKeyword(_) => serde_json::Value::Null,
        Value::BooleanLit(literal) => literal.value.into(),
        Value::NumberLit(literal) => {
            let number = literal.value.parse::<serde_json::Number>().map_err(|_| {
                let message = format!("{} is no number that JSON can hold in 64 bits", echo(literal.value));
                problems.note(literal.range, "this number", message, None)
            })?;
            serde_json::Value::Number(number)
        }
        Value::StringLit(literal) => {
            strict(literal.range)?;
            literal.value.as_ref().into()
        }
        Value::Array(array) => {
            array.elements.iter().map(|element| plain(element, problems)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(object) => {
            let mut seen = HashSet::new();
            let mut map = serde_json::Map::new();
            for property in &object.properties {
                let name = property.name.as_str();
                strict(property.name.range())?;
                if !seen.insert(name) {
                    return Err(note_duplicate(problems, property));
                }
                map.insert(name.to_string(), plain(&property.value, problems)?);
            }
            map.into()
        }
    })
}

fn note_duplicate(problems: &Problems, property: &ObjectProp) -> Noted {
    let message = format!("\"{}\" is written twice in one object", echo(property.name.as_str()));
    problems.note(property.name.range(), "the second", message, Some("keep one of them".into()))
}

/// The parser lets a string run over the end of a line, which hides where a missing quote is.
fn strict_string(problems: &Problems, range: Range) -> Result<(), Noted> {
    if problems.source(range).contains(|c: char| c < ' ') {
        let message = "a string holds a line break or another control character".to_string();
        let help = "close the string on its own line, or write \\n for a line break and \\t for a tab".to_string();
        return Err(problems.note(range, "this string", message, Some(help)));
    }
    Ok(())
}

/// What kind of JSON value this is, with its article.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::NullKeyword(_) => "null",
        Value::BooleanLit(_) => "a boolean",
        Value::NumberLit(_) => "a number",
        Value::StringLit(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
