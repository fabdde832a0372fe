//! JSON Schemas of a config and of a matrix, for editors and for programs that write them.

use serde_json::{Value as Json, json};

use crate::CheckName;
use crate::key::Shape;
use crate::keys::{CHECK, SCHEMA};
use crate::matrix_keys::matrix_keys;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a config of one check. `parse` takes no document that it refuses; what it cannot say (a list that ascends, a
/// key that makes sense beside another alone) `parse` finds.
pub fn config_schema() -> Json {
    let of = |name: CheckName| {
        let then = name.shape().may(&[&SCHEMA]).schema();
        json!({"if": {"required": ["check"], "properties": {"check": {"const": name.name()}}}, "then": then})
    };
    let without = CheckName::ALL.into_iter().filter_map(|name| {
        let keys = name.shape().keys;
        let wants = name.inferred_from()?;
        let exactly = keys.into_iter().filter(|key| wants.contains(&key.name())).collect::<Vec<_>>();
        Some(Shape::default().must(&exactly).may(&[&SCHEMA]).schema())
    });
    let without = json!({
        "if": {"not": {"required": ["check"]}},
        "then": {"anyOf": without.collect::<Vec<_>>()},
    });
    let all: Vec<Json> = CheckName::ALL.into_iter().map(of).chain([without]).collect();
    json!({
        "$schema": DRAFT,
        "title": "A config of loupe: one check",
        "type": "object",
        "properties": Shape::default().may(&[&SCHEMA, &CHECK]).schema()["properties"],
        "allOf": all,
    })
}

/// The schema of a matrix, in the same way.
pub fn matrix_schema() -> Json {
    let mut schema = matrix_keys().may(&[&SCHEMA]).schema();
    schema["$schema"] = DRAFT.into();
    schema["title"] = "A matrix of loupe: checks on several backends, and engines".into();
    schema
}
