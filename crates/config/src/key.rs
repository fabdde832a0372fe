//! A key of a config: its name, what it takes, what it means. Reading, the schemas and the tables of the docs are made of these.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use crate::read::Takes;

/// What a document tells an editor: where its schema is.
pub(crate) const EDITORS: &str = "$schema";

/// A key.
pub(crate) struct Key<R> {
    pub name: &'static str,
    pub takes: R,
    /// What leaving it out means, where a check that has it goes without.
    pub default: Option<&'static str>,
    /// What it means.
    pub says: &'static str,
}

/// A key that has to be there, or whose absence no value stands for.
pub(crate) const fn key<R>(name: &'static str, takes: R, says: &'static str) -> Key<R> {
    Key { name, takes, default: None, says }
}

/// A key for whose absence `default` stands.
pub(crate) const fn with_default<R>(name: &'static str, takes: R, default: &'static str, says: &'static str) -> Key<R> {
    Key { name, takes, default: Some(default), says }
}

/// A key, whatever it takes.
pub(crate) trait AnyKey: Sync {
    fn name(&self) -> &'static str;
    fn default(&self) -> Option<&'static str>;
    fn says(&self) -> &'static str;
    fn words(&self) -> String;
    fn schema(&self) -> Json;
}

impl<R: Takes + Sync> AnyKey for Key<R> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default(&self) -> Option<&'static str> {
        self.default
    }

    fn says(&self) -> &'static str {
        self.says
    }

    fn words(&self) -> String {
        self.takes.words()
    }

    fn schema(&self) -> Json {
        let mut schema = self.takes.schema();
        schema["description"] = self.says.into();
        if let Some(default) = self.default {
            // `300` and `false` are themselves, all else is a string.
            schema["default"] = serde_json::from_str(default).unwrap_or_else(|_| default.into());
        }
        schema
    }
}

/// Which keys an object has.
#[derive(Clone, Default)]
pub(crate) struct Shape {
    pub keys: Vec<&'static dyn AnyKey>,
    pub required: Vec<&'static str>,
    pub one_of: Vec<Sets>,
}

/// Sets of keys.
pub(crate) type Sets = &'static [&'static [&'static str]];

impl Shape {
    /// Keys that have to be there.
    pub fn must(mut self, keys: &[&'static dyn AnyKey]) -> Shape {
        self.required.extend(keys.iter().map(|key| key.name()));
        self.may(keys)
    }

    /// Keys that may be there.
    pub fn may(mut self, keys: &[&'static dyn AnyKey]) -> Shape {
        self.keys.extend(keys);
        self
    }

    /// Of these sets all keys of one are there, and none of the others'.
    pub fn one_of(mut self, sets: Sets) -> Shape {
        self.one_of.push(sets);
        self
    }

    /// Whether an object without any key has this shape.
    pub fn needs_nothing(&self) -> bool {
        self.required.is_empty() && self.one_of.is_empty()
    }

    /// The names of its keys.
    pub fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name()).collect()
    }

    /// Any object with these keys and no others.
    pub fn schema(&self) -> Json {
        let properties: Map<String, Json> =
            self.keys.iter().map(|key| (key.name().to_string(), key.schema())).collect();
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        if !self.one_of.is_empty() {
            schema["allOf"] = self.one_of.iter().map(|sets| one_of(sets)).collect();
        }
        schema
    }
}

fn one_of(sets: Sets) -> Json {
    let all: BTreeSet<&str> = sets.iter().copied().flatten().copied().collect();
    let of = |set: &&[&str]| {
        let others: Map<String, Json> =
            all.iter().filter(|key| !set.contains(key)).map(|key| (key.to_string(), Json::Bool(false))).collect();
        json!({"required": set, "properties": others})
    };
    json!({"anyOf": sets.iter().map(of).collect::<Vec<_>>()})
}

/// An object with keys of its own, or several in a list, or anything else that a schema is made for.
pub(crate) struct Nested {
    pub words: &'static str,
    pub schema: fn() -> Json,
}

impl Takes for Nested {
    fn words(&self) -> String {
        self.words.to_string()
    }

    fn schema(&self) -> Json {
        (self.schema)()
    }
}
