//! Whatever the file holds, the answer is a request or an error that can be shown.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use loupe_config::{ConfigError, parse, parse_matrix};
use miette::GraphicalReportHandler;
use proptest::prelude::*;

fn show(error: &ConfigError) {
    let mut text = String::new();
    GraphicalReportHandler::new().render_report(&mut text, error).unwrap();
    assert!(!text.is_empty() && !error.to_string().is_empty());
}

fn try_both(text: &str) {
    let path = Path::new("any.json");
    if let Err(error) = parse(path, text) {
        show(&error);
    }
    if let Err(error) = parse_matrix(path, text) {
        show(&error);
    }
}

/// Any JSON value, made mostly of words that mean something to Loupe.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "check",
            "model",
            "revision",
            "prompt",
            "token_ids",
            "backend",
            "device",
            "dtype",
            "precision",
            "output",
            "mistakes",
            "layer",
            "layers",
            "proj",
            "tensor",
            "against",
            "pos",
            "dim",
            "theta",
            "token",
            "probes",
            "candidates",
            "candidate",
            "reference",
            "report",
            "names",
            "positions",
            "format",
            "checks",
            "runs",
            "reports",
            "require",
            "time_limit_s",
            "embed",
            "attn",
            "weights",
            "rope",
            "layer-out",
            "trace",
            "compare",
            "export",
            "flex",
            "f32",
            "q",
            "norm",
            "text",
        ])
        .prop_map(str::to_string),
        ".{0,6}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        word.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((word.clone(), inner), 0..8)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn on_any_text(text in any::<String>()) {
        try_both(&text);
    }

    #[test]
    fn on_text_of_json_pieces(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\"check\"", "\"embed\"", "\\u", "d800", "//", "\n", "/*", "*/", "-", "0",
        "1e5", ".", "null", "tru", "é", "\u{feff}", " ", "\r", "\"layer\": ",
    ]), 0..24)) {
        try_both(&pieces.concat());
    }

    #[test]
    fn on_any_json(value in json()) {
        try_both(&value.to_string());
    }

    #[test]
    fn on_a_check_with_any_other_keys(check in prop::sample::select(vec![
        "embed", "attn", "weights", "rope", "layer-out", "trace", "compare", "export",
    ]), value in json()) {
        let mut value = value;
        if let Some(object) = value.as_object_mut() {
            object.insert("check".to_string(), check.into());
        }
        try_both(&value.to_string());
    }
}

#[test]
fn on_deep_nesting() {
    try_both(&"[".repeat(100_000));
    try_both(&"{\"a\":".repeat(100_000));
}
