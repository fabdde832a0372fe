//! The keys of a matrix.

use serde_json::json;

use crate::CheckName;
use crate::key::{Key, Nested, Shape, key};
use crate::keys::*;
use crate::shapes::{backend_run_keys, engine_run_keys};

/// The checks that a matrix can hold: those that make a report.
pub(crate) const MATRIX_CHECKS: [CheckName; 6] =
    [CheckName::Embed, CheckName::Attn, CheckName::Weights, CheckName::Rope, CheckName::LayerOut, CheckName::Trace];
pub(crate) const CHECKS: Key<Nested> = key(
    "checks",
    Nested {
        words: "list",
        schema: || {
            let names = MATRIX_CHECKS.into_iter().filter(|name| name.own().needs_nothing()).map(CheckName::name);
            let object = |name: CheckName| {
                let mut schema = name.own().must(&[&CHECK]).schema();
                schema["properties"]["check"] = json!({"const": name.name()});
                schema
            };
            let any = std::iter::once(json!({"enum": names.collect::<Vec<_>>()})).chain(MATRIX_CHECKS.map(object));
            json!({"type": "array", "items": {"anyOf": any.collect::<Vec<_>>()}})
        },
    },
    "names of checks, or objects with `check` and that check's own keys",
);
pub(crate) const RUNS: Key<Nested> = key(
    "runs",
    Nested {
        words: "list",
        schema: || json!({"type": "array", "items": {"anyOf": [backend_run_keys().schema(), engine_run_keys().schema()]}}),
    },
    "what runs them: backends, and engines that are started",
);

/// A matrix.
pub(crate) fn matrix_keys() -> Shape {
    let model = Shape::default().may(&[&MODEL, &REVISION]).may(INPUT).one_of(AT_MOST_ONE_INPUT);
    model.may(&[&MATRIX_REFERENCE, &CHECKS, &RUNS, &REPORTS, &REQUIRE, &TIME_LIMIT, &MATRIX_FORMAT, &MATRIX_OUTPUT])
}
