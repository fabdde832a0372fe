//! Readers: from one JSON value to one of Rust, or what was expected instead; and the same as a JSON Schema.

use std::path::PathBuf;
use std::str::FromStr;

use jsonc_parser::ast::Value;
use jsonc_parser::common::{Range, Ranged};
use loupe_spec::{Probe, UnknownProbe, nearest};
use serde_json::{Value as Json, json};

use crate::Device;

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

/// What a key takes, for people and for other programs.
pub(crate) trait Takes {
    /// As a page has it.
    fn words(&self) -> String;

    /// As a JSON Schema: all that is taken, and more where a schema cannot say it.
    fn schema(&self) -> Json;
}

/// How what a key takes is read.
pub(crate) trait Reads: Takes {
    /// What it becomes.
    type Out;

    /// `value` as that, or what was expected in its place.
    fn read(&self, value: &Value) -> Result<Self::Out, Mismatch>;
}

/// A value without parts.
pub(crate) struct Scalar<T> {
    take: fn(&Value) -> Option<T>,
    words: &'static str,
    /// Ends the sentence "…, expected".
    expected: &'static str,
    schema: fn() -> Json,
}

impl<T> Takes for Scalar<T> {
    fn words(&self) -> String {
        self.words.to_string()
    }

    fn schema(&self) -> Json {
        (self.schema)()
    }
}

impl<T> Reads for Scalar<T> {
    type Out = T;

    fn read(&self, value: &Value) -> Result<T, Mismatch> {
        (self.take)(value).ok_or_else(|| Mismatch::new(value, self.expected))
    }
}

/// A string that is not empty.
pub(crate) const TEXT: Scalar<String> = Scalar {
    take: |value| value.as_string_lit().map(|literal| literal.value.to_string()).filter(|text| !text.is_empty()),
    words: "string",
    expected: "a string that is not empty",
    schema: || json!({"type": "string", "minLength": 1}),
};

/// A path of a file.
pub(crate) const PATH: Scalar<PathBuf> = Scalar {
    take: |value| (TEXT.take)(value).map(PathBuf::from),
    words: "path",
    expected: "a path",
    schema: TEXT.schema,
};

/// A path that the names of files are made from, by appending `.json` and the like.
pub(crate) const PREFIX: Scalar<PathBuf> = Scalar {
    take: |value| {
        let path = (PATH.take)(value)?;
        let folder = path.file_name().is_none() || path.to_string_lossy().ends_with(std::path::is_separator);
        let whole = path.extension().is_some_and(|ending| ending == "json" || ending == "safetensors");
        (!folder && !whole).then_some(path)
    },
    words: "path without ending",
    expected: "a path that ends in a name without ending, such as \"out/run\"",
    schema: || json!({"type": "string", "minLength": 1, "not": {"pattern": r"(/|[^/]\.json|[^/]\.safetensors)$"}}),
};

/// true or false.
pub(crate) const BOOLEAN: Scalar<bool> = Scalar {
    take: |value| value.as_boolean_lit().map(|literal| literal.value),
    words: "`true`, `false`",
    expected: "true or false",
    schema: || json!({"type": "boolean"}),
};

/// A count, a size or a place: 0, 1, 2, …
pub(crate) const INDEX: Scalar<usize> = Scalar {
    take: parsed,
    words: "integer ≥ 0",
    expected: "an integer of 0 or more",
    schema: || json!({"type": "integer", "minimum": 0}),
};

/// An integer of either sign.
pub(crate) const INTEGER: Scalar<i64> =
    Scalar { take: parsed, words: "integer", expected: "an integer", schema: || json!({"type": "integer"}) };

/// A number as it is written.
pub(crate) const NUMBER: Scalar<String> = Scalar {
    take: |value| {
        let written = value.as_number_lit()?.value.to_string();
        parsed::<f64>(value).filter(|number| number.is_finite()).map(|_| written)
    },
    words: "number",
    expected: "a number",
    schema: || json!({"type": "number"}),
};

/// A finite number above 0.
pub(crate) const POSITIVE: Scalar<f64> = Scalar {
    take: |value| parsed(value).filter(|number: &f64| number.is_finite() && *number > 0.0),
    words: "number > 0",
    expected: "a number above 0",
    schema: || json!({"type": "number", "exclusiveMinimum": 0}),
};

/// A finite number of 0 or more.
pub(crate) const NOT_NEGATIVE: Scalar<f64> = Scalar {
    take: |value| parsed(value).filter(|number: &f64| number.is_finite() && *number >= 0.0),
    words: "number ≥ 0",
    expected: "a number of 0 or more",
    schema: || json!({"type": "number", "minimum": 0}),
};

/// A likeness, of which 1 is that nothing differs.
pub(crate) const UP_TO_1: Scalar<f64> = Scalar {
    take: |value| parsed(value).filter(|number: &f64| (0.0..=1.0).contains(number)),
    words: "number from 0 to 1",
    expected: "a number from 0 to 1, which is that nothing differs",
    schema: || json!({"type": "number", "minimum": 0, "maximum": 1}),
};

/// An even number of lanes above 0, and no more than any size in a config.json may be: RoPE rotates two halves.
pub(crate) const EVEN: Scalar<usize> = Scalar {
    take: |value| parsed(value).filter(|number: &usize| (2..=1 << 24).contains(number) && number.is_multiple_of(2)),
    words: "even integer",
    expected: "an even integer from 2 to 16777216: RoPE rotates two halves",
    schema: || json!({"type": "integer", "minimum": 2, "maximum": 1 << 24, "multipleOf": 2}),
};

/// A device, as its backend names it.
pub(crate) const DEVICE: Scalar<Device> = Scalar {
    take: |value| (TEXT.take)(value).map(Device::Name).or_else(|| parsed(value).map(Device::Index)),
    words: "string, or integer ≥ 0",
    expected: "a name such as \"cpu\", \"discrete:0\", or an integer of 0 or more",
    schema: || json!({"anyOf": [TEXT.schema(), INDEX.schema()]}),
};

fn parsed<T: FromStr>(value: &Value) -> Option<T> {
    value.as_number_lit().and_then(|literal| literal.value.parse().ok())
}

/// A list.
pub(crate) struct List<R> {
    of: R,
    may_be_empty: bool,
}

/// A list of at least one element.
pub(crate) const fn list<R>(of: R) -> List<R> {
    List { of, may_be_empty: false }
}

/// A list, which may be empty.
pub(crate) const fn any_list<R>(of: R) -> List<R> {
    List { of, may_be_empty: true }
}

impl<R: Takes> Takes for List<R> {
    fn words(&self) -> String {
        format!("[{}]", self.of.words())
    }

    fn schema(&self) -> Json {
        json!({"type": "array", "items": self.of.schema(), "minItems": usize::from(!self.may_be_empty)})
    }
}

impl<R: Reads> Reads for List<R> {
    type Out = Vec<R::Out>;

    fn read(&self, value: &Value) -> Result<Vec<R::Out>, Mismatch> {
        match value {
            Value::Array(array) if self.may_be_empty || !array.elements.is_empty() => {
                array.elements.iter().map(|element| self.of.read(element)).collect()
            }
            other if self.may_be_empty => Err(Mismatch::new(other, "a list")),
            other => Err(Mismatch::new(other, "a list of at least one element")),
        }
    }
}

/// One of a few names, each with what it stands for.
pub(crate) struct Choice<T>(pub fn() -> Vec<(&'static str, T)>);

impl<T> Choice<T> {
    fn names(&self) -> Vec<&'static str> {
        (self.0)().into_iter().map(|(name, _)| name).collect()
    }
}

impl<T> Takes for Choice<T> {
    fn words(&self) -> String {
        self.names().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    fn schema(&self) -> Json {
        json!({"enum": self.names()})
    }
}

impl<T> Reads for Choice<T> {
    type Out = T;

    fn read(&self, value: &Value) -> Result<T, Mismatch> {
        let found = value.as_string_lit().map(|literal| literal.value.as_ref());
        let option = (self.0)().into_iter().find(|(name, _)| Some(*name) == found);
        option.map(|(_, option)| option).ok_or_else(|| {
            let nearest = found.and_then(|found| nearest(found, self.names())).map(str::to_string);
            Mismatch { nearest, ..Mismatch::new(value, &alternatives(self.names())) }
        })
    }
}

/// One value, or a list of them.
pub(crate) struct OneOrList<R>(pub List<R>);

impl<R: Takes> Takes for OneOrList<R> {
    fn words(&self) -> String {
        format!("{}; or a list of these", self.0.of.words())
    }

    fn schema(&self) -> Json {
        json!({"anyOf": [self.0.of.schema(), self.0.schema()]})
    }
}

impl<R: Reads> Reads for OneOrList<R> {
    type Out = Vec<R::Out>;

    fn read(&self, value: &Value) -> Result<Vec<R::Out>, Mismatch> {
        if matches!(value, Value::Array(_)) { self.0.read(value) } else { Ok(vec![self.0.of.read(value)?]) }
    }
}

/// The name of a probe point, or a pattern whose `*` stand for any text.
pub(crate) struct ProbePattern;

impl Takes for ProbePattern {
    fn words(&self) -> String {
        "probe point, `*` allowed".to_string()
    }

    fn schema(&self) -> Json {
        TEXT.schema()
    }
}

impl Reads for ProbePattern {
    type Out = String;

    fn read(&self, value: &Value) -> Result<String, Mismatch> {
        let text = TEXT.read(value)?;
        let unknown = |unknown: UnknownProbe| Mismatch {
            nearest: unknown.nearest,
            ..Mismatch::new(value, "the name of a probe point")
        };
        if text.contains('*') { Ok(text) } else { text.parse::<Probe>().map(|_| text).map_err(unknown) }
    }
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
