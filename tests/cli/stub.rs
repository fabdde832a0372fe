//! A stub in the place of the `loupe` that a matrix starts, and the verdicts that it copies.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::repository;

/// What stands in for `loupe`.
pub fn stub() -> PathBuf {
    repository().canonicalize().unwrap().join("tests/cli/stub.sh")
}

/// A verdict on `path` that says what `said` does, and nothing else.
pub fn stub_verdict(path: &Path, said: Value) -> Value {
    let mut verdict = json!({
        "schema": "loupe.verdict/1", "detail": null, "first_divergence": null,
        "candidate": {"path": path, "backend": null, "check": null, "dtype": "f32", "dtype_inferred": false},
        "coverage": {
            "tokens": 2, "of_tokens": 2, "last_token": 1, "layers": [], "of_layers": 1, "probes": 1, "of": 1, "values": 1,
            "of_values": 1, "ignored": [], "unknown": 0, "not_comparable": [],
        },
        "mistakes": [], "fitted": [], "unexplained": [], "indistinguishable": [], "unseen": [], "stimuli": [],
        "structure": [], "notes": [], "next": null, "stages": [],
    });
    verdict.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    verdict
}

/// Where a verdict says that it first goes wrong.
pub fn divergence(probe: &str, token: usize, error: f64, budget: f64) -> Value {
    json!({"probe": probe, "token": token, "coordinate": [token, 0], "values": [1.0, 2.0], "from": "own_inputs",
        "local_error": error, "budget": budget})
}
