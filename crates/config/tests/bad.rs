//! Documents that Loupe refuses: what the person sees.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use loupe_config::{ConfigError, Invalid, parse, read};
use miette::{GraphicalReportHandler, GraphicalTheme};

/// The error as the program shows it, on a wide terminal.
fn shown(error: &ConfigError) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::none()).with_width(400);
    handler.render_report(&mut text, error).unwrap();
    text
}

fn refused(text: &str) -> String {
    shown(&parse(Path::new("configs/test.json"), text).unwrap_err())
}

fn problems(text: &str) -> Invalid {
    match parse(Path::new("configs/test.json"), text).unwrap_err() {
        ConfigError::Invalid(invalid) => *invalid,
        other => unreachable!("{other}"),
    }
}

/// The document's text, and parts that the error must have.
const CASES: &[(&str, &[&str])] = &[
    // Not the JSON of an object.
    ("", &["holds nothing, expected an object"]),
    ("// only this", &["holds nothing, expected an object"]),
    ("[1]", &["holds a list, expected an object"]),
    ("\"embed\"", &["holds a string, expected an object"]),
    ("{\n  \"check\": \"embed\",\n}", &["test.json:2:19", "not JSON: Trailing commas are not allowed", "comments are"]),
    ("{\"check\": 'embed'}", &["Single-quoted strings are not allowed"]),
    ("{check: \"embed\"}", &["Expected string for object property"]),
    ("{\"check\": \"embed\" \"model\": \"m\"}", &["Expected comma"]),
    ("{\"check\": \"embed\"", &["Unterminated object"]),
    ("{} {}", &["more than one JSON value"]),
    ("{\"layer\": 0x10}", &["Hexadecimal"]),
    ("{\"layer\": 1e999}", &["1e999 is no number that JSON can hold"]),
    ("{\"a\": {\"b\": 1,\n\"b\": 2}}", &["test.json:2:1", "\"b\" is written twice in one object"]),
    ("{\"prompt\": \"The color\nof\"}", &["control character", "on its own line"]),
    // Which check.
    (
        "{\"check\": \"layer_out\"}",
        &["\"check\" is \"layer_out\", expected \"embed\", ", "or \"export\"", "nearest is \"layer-out\""],
    ),
    ("{\"check\": 3}", &["\"check\" is 3, expected \"embed\""]),
    ("{}", &["has no \"check\"", "weights: model, layer, proj", "write \"check\", one of embed, attn"]),
    ("{\"model\": \"m\", \"prompt\": \"x\", \"backend\": \"flex\"}", &["write \"check\": \"embed\" if that is meant"]),
    ("{\"model\": \"m\",\n \"promt\": \"x\"}", &["test.json", "2:2: no check has a key \"promt\"", "is \"prompt\""]),
    // Which keys.
    (
        "{\"check\": \"attn\", \"model\": \"m\", \"prompt\": \"x\",\n  \"lyer\": 0, \"layer\": 0}",
        &["test.json:2:3", "check \"attn\" has no key \"lyer\"; the nearest is \"layer\"", "its keys are layer, check"],
    ),
    (
        "{\"check\": \"embed\", \"model\": \"m\", \"prompt\": \"x\", \"pos\": 1}",
        &["check \"embed\" has no key \"pos\""],
    ),
    ("{\"check\": \"rope\", \"mistakes\": [\"a\"]}", &["check \"rope\" has no key \"mistakes\""]),
    ("{\"check\": \"embed\", \"prompt\": \"x\"}", &["check \"embed\" needs \"model\""]),
    ("{\"check\": \"embed\", \"model\": \"m\"}", &["check \"embed\" needs \"prompt\" or \"token_ids\""]),
    (
        "{\"check\": \"embed\", \"model\": \"m\", \"prompt\": \"x\", \"token_ids\": [2]}",
        &["\"prompt\" and \"token_ids\" are both there", "delete one"],
    ),
    ("{\"check\": \"weights\", \"model\": \"m\"}", &["needs the tensor to look at", "\"layer\" and \"proj\""]),
    ("{\"check\": \"weights\", \"model\": \"m\", \"layer\": 0}", &["check \"weights\" needs \"proj\""]),
    (
        "{\"check\": \"weights\", \"model\": \"m\", \"tensor\": \"t\", \"proj\": \"q\"}",
        &["\"tensor\" and \"proj\" are both there"],
    ),
    ("{\"check\": \"export\", \"model\": \"m\"}", &["check \"export\" needs \"output\""]),
    ("{\"check\": \"rejudge\", \"verdict\": \"v.json\"}", &["check \"rejudge\" needs \"policy\""]),
    (
        "{\"check\": \"rejudge\", \"verdict\": \"v.json\", \"policy\": {\"without\": [\"silu\"]}}",
        &["\"policy\" has no key \"without\"", "its keys are rtol, atol, max_abs"],
    ),
    (
        "{\"check\": \"rejudge\", \"verdict\": \"v.json\", \"policy\": [\"torhc\"]}",
        &[
            "\"policy\" holds \"torhc\", expected \"torch\", \"polygraphy\", \"llama-nmse\" or \"doppler\"; the nearest is \"torch\"",
        ],
    ),
    (
        "{\"check\": \"rejudge\", \"verdict\": \"v.json\", \"policy\": []}",
        &["\"policy\" is [], expected a list of at least one element"],
    ),
    (
        "{\"check\": \"rejudge\", \"verdict\": \"v.json\", \"policy\": {}}",
        &["\"policy\" is {}, expected one of rtol, atol"],
    ),
    (
        "{\"check\": \"rejudge\", \"verdict\": \"v.json\", \"policy\": {\"rtol\": -1}}",
        &["\"rtol\" is -1, expected a number of 0 or more"],
    ),
    (
        "{\"check\": \"trace\", \"model\": \"m\", \"prompt\": \"x\", \"emit\": \"doppler.boundary-provider-capture/v1\"}",
        &["\"emit\" writes a file, and there is no \"output\" to say where", "out/trace.doppler.json"],
    ),
    (
        "{\"check\": \"rejudge\", \"verdict\": \"v.json\", \"policy\": {\"cosine\": 1.5}}",
        &["\"cosine\" is 1.5, expected a number from 0 to 1"],
    ),
    // Which values.
    ("{\"model\": \"m\", \"prompt\": \"\"}", &["\"prompt\" is \"\", expected a string that is not empty"]),
    ("{\"model\": 2, \"prompt\": \"x\"}", &["\"model\" is 2, expected a string"]),
    ("{\"model\": null, \"prompt\": \"x\"}", &["\"model\" is null"]),
    ("{\"check\": \"embed\", \"model\": \"m\", \"token_ids\": []}", &["\"token_ids\" is [], expected a list of at"]),
    (
        "{\"check\": \"embed\", \"model\": \"m\", \"token_ids\": [2, -1]}",
        &["\"token_ids\" holds -1, expected an integer"],
    ),
    ("{\"model\": \"m\", \"prompt\": \"x\", \"layer\": -1}", &["\"layer\" is -1, expected an integer of 0 or more"]),
    ("{\"model\": \"m\", \"prompt\": \"x\", \"layer\": 1.5}", &["\"layer\" is 1.5, expected an integer"]),
    ("{\"model\": \"m\", \"prompt\": \"x\", \"layer\": [0]}", &["\"layer\" is a list, expected an integer"]),
    (
        "{\"model\": \"m\", \"prompt\": \"x\", \"layers\": 3, \"token\": \"-1\"}",
        &["\"layers\" is 3", "\"token\" is \"-1\""],
    ),
    ("{\"model\": \"m\", \"layer\": 0, \"proj\": \"gte\"}", &["\"proj\" is \"gte\"", "nearest is \"gate\""]),
    ("{\"model\": \"m\", \"pos\": 0, \"dim\": 5, \"theta\": 0}", &["\"dim\" is 5, expected an even", "\"theta\" is 0"]),
    (
        "{\"check\": \"trace\", \"model\": \"m\", \"prompt\": \"x\", \"probes\": [\"layers.0.outptu\"]}",
        &["\"probes\" holds \"layers.0.outptu\"", "the nearest is \"layers.0.output\""],
    ),
    ("{\"check\": \"embed\", \"backend\": \"wgup\"}", &["\"flex\", \"ndarray\", \"wgpu\" or \"cuda\"", "is \"wgpu\""]),
    ("{\"check\": \"embed\", \"dtype\": \"i64\"}", &["\"dtype\" is \"i64\", expected \"f64\", \"f32\""]),
    ("{\"check\": \"embed\", \"precision\": \"tf23\"}", &["\"strict\" or \"tf32\"; the nearest is \"tf32\""]),
    ("{\"check\": \"embed\", \"device\": -1}", &["\"device\" is -1, expected a name such as"]),
    ("{\"check\": \"embed\", \"output\": \"out/\"}", &["\"output\" is \"out/\", expected a path that ends in a name"]),
    ("{\"check\": \"embed\", \"output\": \"run.json\"}", &["\"output\" is \"run.json\", expected"]),
    ("{\"check\": \"embed\", \"mistakes\": \"rope\"}", &["\"mistakes\" is \"rope\", expected a list"]),
    // compare
    ("{\"check\": \"compare\", \"model\": \"m\", \"prompt\": \"x\"}", &["needs \"candidates\" or \"candidate\""]),
    ("{\"check\": \"compare\", \"candidate\": \"a\", \"candidates\": [\"b\"]}", &["are both there"]),
    (
        "{\"check\": \"compare\", \"candidate\": \"a\", \"reference\": \"b\"}",
        &["\"reference\" is \"b\", expected an object"],
    ),
    (
        "{\"check\": \"compare\", \"candidate\": \"a\", \"reference\": {\"modle\": \"m\"}}",
        &["\"reference\" has no key \"modle\"; the nearest is \"model\""],
    ),
    (
        "{\"check\": \"compare\", \"candidate\": \"a\", \"model\": \"m\", \"reference\": {\"model\": \"n\", \"prompt\": \"x\"}}",
        &["\"model\" is there twice"],
    ),
    (
        "{\"check\": \"compare\", \"candidate\": \"a\", \"model\": \"m\", \"prompt\": \"x\", \"names\": {\"a\": \"layers.0.q\"}}",
        &["\"a\" is \"layers.0.q\", expected the name of a probe point"],
    ),
    (
        "{\"check\": \"compare\", \"candidate\": \"a\", \"model\": \"m\", \"prompt\": \"x\", \"names\": {\"a\": \"norm\", \"b\": \"norm\"}}",
        &["\"b\" and \"a\" are both named norm"],
    ),
    (
        "{\"check\": \"compare\", \"candidate\": \"a\", \"reference\": {\"report\": \"r\", \"revision\": \"v\"}}",
        &["\"reference\" needs \"model\""],
    ),
    ("{\"check\": \"compare\", \"candidate\": \"a\", \"stimulus\": 1}", &["\"stimulus\" is 1, expected true or false"]),
    (
        "{\"check\": \"compare\", \"candidate\": \"a\", \"stimulus\": true}",
        &["\"stimulus\" writes checkpoints, and there is no \"output\"", "add \"output\": \"out/verdict\""],
    ),
    ("{\"check\": \"compare\", \"format\": [\"txt\"]}", &["\"format\" holds \"txt\"", "the nearest is \"text\""]),
];

#[test]
fn each_mistake_is_named_at_its_place() {
    for (text, parts) in CASES {
        let shown = refused(text);
        for part in *parts {
            assert!(shown.contains(part), "no {part:?} in\n{shown}\nfor {text}");
        }
    }
}

#[test]
fn every_problem_is_told_in_the_order_of_the_text() {
    let invalid = problems("{\"check\": \"attn\",\n\"layer\": -1,\n\"dtype\": \"f33\", \"modle\": \"m\"}");
    let messages: Vec<&str> = invalid.problems.iter().map(|problem| problem.message.as_str()).collect();
    let starts = [
        "check \"attn\" needs \"model\"",
        "check \"attn\" needs \"prompt\" or \"token_ids\"",
        "\"layer\" is -1",
        "\"dtype\" is \"f33\"",
        "check \"attn\" has no key \"modle\"",
    ];
    assert_eq!(messages.len(), starts.len(), "{messages:#?}");
    for (message, start) in messages.iter().zip(starts) {
        assert!(message.starts_with(start), "{message}");
    }
    assert_eq!((invalid.problems[3].line, invalid.problems[3].column), (3, 10));
    assert!(invalid.to_string().starts_with("configs/test.json has 5 problems\n1:11: check"), "{invalid}");
    // Two keys are missing at one place, which is marked once.
    assert_eq!(shown(&ConfigError::Invalid(Box::new(invalid))).matches("incomplete").count(), 1);
}

#[test]
fn a_key_that_is_read_twice_is_told_once() {
    let invalid = problems(r#"{"check": "export", "model": "m", "output": "out/"}"#);
    assert_eq!(invalid.problems.len(), 1, "{invalid}");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = shown(&read(&folder.path().join("none.json")).unwrap_err());
    assert!(missing.contains("cannot read the config") && missing.contains("none.json"), "{missing}");
    assert!(shown(&read(folder.path()).unwrap_err()).contains("is a folder, expected a JSON file"));
    // A path without its ending, and a dump in the place of a config.
    std::fs::write(folder.path().join("mine.json"), "{}").unwrap();
    let near = shown(&read(&folder.path().join("mine")).unwrap_err());
    assert!(near.contains("; there is a file ") && near.contains("mine.json"), "{near}");
    for (bytes, what, key) in [
        (&b"PK\x03\x04rest"[..], "is a zip", "\"candidate\": "),
        (b"\x93NUMPY\x01", "is an array of numpy's", "\"candidate\": "),
        (b"\x40\0\0\0\0\0\0\0{\"a\"", "is a safetensors file", "\"candidate\": "),
        (b"GGUF\x03", "is a GGUF", "\"against\": "),
    ] {
        let path = folder.path().join("dump");
        std::fs::write(&path, bytes).unwrap();
        let shown = shown(&read(&path).unwrap_err());
        assert!(shown.contains(what) && shown.contains(key), "{shown}");
    }
    let latin = folder.path().join("latin.json");
    std::fs::write(&latin, b"{\"prompt\": \"\xe9\"}").unwrap();
    assert!(shown(&read(&latin).unwrap_err()).contains("is not UTF-8 text: byte 12 is wrong"));
}

#[test]
fn a_long_value_is_cut_and_the_column_counts_characters() {
    let shown = refused(&format!("{{\"model\": \"é\", \"layer\": 0, \"proj\": \"{}\"}}", "é".repeat(500)));
    assert!(shown.contains("1:36: \"proj\" is \"é"), "{shown}");
    assert!(shown.contains("é…, expected \"q\", \"k\""), "{shown}");
}
