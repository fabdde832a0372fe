//! A matrix.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use loupe_config::{
    BackendRun, Check, DEFAULT_TIME_LIMIT, Document, DumpFormat, Format, Input, MatmulPrecision, Matrix, MatrixRun,
    Piece, Placeholder, Target, parse, parse_matrix, read,
};
use loupe_spec::Dtype;
use serde_json::{Value, json};

const TEXT: &str = r#"// compare.json
{
  "model": "builtin:tiny",
  "prompt": "The color of the sky is",
  "checks": [
    "embed",
    {"check": "attn", "layer": 1},
    {"check": "weights", "layer": 0, "proj": "q"},
    {"check": "rope", "pos": 6, "dim": 8, "theta": 10000.0}
  ],
  "runs": [
    {"backend": "ndarray", "dtype": "f64"},
    {"backend": "cuda", "device": 1, "precision": "tf32"}
  ],
  "reports": ["gpu-box/cuda.json"],
  "require": ["wgpu", "cuda"],
  "time_limit_s": 2.5,
  "format": ["text", "junit"],
  "output": "out/compare"
}"#;

fn matrix(text: &str) -> Matrix {
    parse_matrix(Path::new("compare.json"), text).unwrap()
}

fn backends(matrix: &Matrix) -> Vec<&BackendRun> {
    fn backend(run: &MatrixRun) -> Option<&BackendRun> {
        match run {
            MatrixRun::Backend(run) => Some(run),
            MatrixRun::Engine(_) => None,
        }
    }
    matrix.runs.iter().filter_map(backend).collect()
}

#[test]
fn every_key_is_read() {
    let matrix = matrix(TEXT);
    assert_eq!(matrix.input, Some(Input::Prompt("The color of the sky is".to_string())));
    assert_eq!(matrix.checks.len(), 4);
    assert!(
        matches!(&matrix.checks[1].check, Check::Attn { model, layer: 1, .. } if Some(model) == matrix.model.as_ref())
    );
    assert!(matches!(&matrix.checks[2].check, Check::Weights { target: Target::LayerProj { .. }, .. }));
    assert_eq!(backends(&matrix)[0].dtype, Dtype::F64);
    assert_eq!(
        (backends(&matrix)[1].backend.as_str(), backends(&matrix)[1].precision),
        ("cuda", MatmulPrecision::Tf32)
    );
    assert_eq!(matrix.reports, [PathBuf::from("gpu-box/cuda.json")]);
    assert_eq!(matrix.require, ["wgpu", "cuda"]);
    assert_eq!(matrix.time_limit, Duration::from_millis(2500));
    assert_eq!(matrix.format, [Format::Text, Format::Junit]);
    assert_eq!(matrix.output, Some(PathBuf::from("out/compare")));
}

/// What loupe-matrix does: a check's document and a run's, put together, are a config for `loupe`.
#[test]
fn a_check_and_a_run_together_are_a_config() {
    let matrix = matrix(TEXT);
    for check in &matrix.checks {
        for run in backends(&matrix) {
            let mut config = check.document.clone();
            config.extend(run.document.clone());
            config.insert("output".to_string(), json!("out/one"));
            let request = parse(Path::new("one.json"), &Value::Object(config).to_string()).unwrap();
            assert_eq!(request.check, check.check);
            assert_eq!((&request.common.backend, request.common.dtype), (&run.backend, run.dtype));
            assert_eq!((request.common.device, request.common.precision), (run.device.clone(), run.precision));
        }
    }
}

/// The program is given one path, and its document says which of the two it is.
#[test]
fn a_document_says_by_its_keys_whether_it_is_a_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.json");
    let of = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read(&path)
    };
    assert_eq!(of(TEXT).unwrap(), Document::Matrix(Box::new(matrix(TEXT))));
    for one in [
        r#"{"model": "m", "token_ids": [2], "reports": ["a"]}"#,
        r#"{"reference": {"report": "a"}, "runs": [{"command": ["b"]}]}"#,
    ] {
        assert!(matches!(of(one).unwrap(), Document::Matrix(_)), "{one}");
    }
    let embed = r#"{"check": "embed", "model": "m", "prompt": "x"}"#;
    assert_eq!(of(embed).unwrap(), Document::Request(Box::new(parse(&path, embed).unwrap())));
    for (text, part) in [
        (r#"{"check": "embed", "model": "m", "prompt": "x", "runs": []}"#, "check \"embed\" has no key \"runs\""),
        (
            r#"{"checks": "embed", "model": "m", "prompt": "x"}"#,
            "no check has a key \"checks\"; the nearest is \"check\"",
        ),
        (r#"{"checks": ["embed"], "model": "m", "prompt": "x"}"#, "the matrix needs \"runs\" or \"reports\""),
    ] {
        let error = of(text).unwrap_err().to_string();
        assert!(error.contains(part), "no {part:?} in\n{error}");
    }
}

#[test]
fn a_matrix_may_only_join_reports() {
    let matrix = matrix(r#"{"model": "m", "token_ids": [2], "reports": ["a.json", "b.json"]}"#);
    assert!(matrix.checks.is_empty() && matrix.runs.is_empty());
    assert_eq!(matrix.time_limit, DEFAULT_TIME_LIMIT);
}

#[test]
fn an_engine_is_a_run() {
    let matrix = matrix(
        r#"{"model": "m", "prompt": "x", "runs": [
            {"command": ["./build/mine", "--ids={token_ids}", "{\"a\": {}}", "", "{output}.npz"], "format": "printed",
             "names": {"l_out-{l}": "layers.{l}.output"}, "candidate_dtype": "bf16", "positions": [3]},
            {"command": ["{model}"], "name": "other"}]}"#,
    );
    let [MatrixRun::Engine(mine), MatrixRun::Engine(other)] = matrix.runs.as_slice() else { panic!("{matrix:?}") };
    let text = |text: &str| Piece::Text(text.to_string());
    assert_eq!((mine.name.as_str(), mine.format), ("mine", DumpFormat::Printed));
    assert_eq!(mine.command[1], [text("--ids="), Piece::Placeholder(Placeholder::TokenIds)]);
    assert_eq!(mine.command[2..4], [[text("{\"a\": {}}")], [text("")]]);
    assert_eq!(mine.command[4], [Piece::Placeholder(Placeholder::Output), text(".npz")]);
    assert_eq!(mine.judged_with.keys().collect::<Vec<_>>(), ["names", "candidate_dtype", "positions"]);
    assert_eq!((other.name.as_str(), other.format), ("other", DumpFormat::Auto));
    assert!(other.asks_for(Placeholder::Model) && !other.asks_for(Placeholder::Output) && matrix.checks.is_empty());
}

#[test]
fn a_saved_report_says_the_model_and_the_prompt_of_what_is_only_judged() {
    let saved = r#""reference": {"report": "saved.json"}"#;
    let only_judged = matrix(&format!(r#"{{{saved}, "runs": [{{"command": ["a"]}}]}}"#));
    assert_eq!((only_judged.model, only_judged.input), (None, None));
    assert_eq!(only_judged.reference, Some(PathBuf::from("saved.json")));
    let run =
        parse_matrix(Path::new("m"), &format!(r#"{{{saved}, "checks": ["embed"], "runs": [{{"backend": "flex"}}]}}"#));
    assert!(run.unwrap_err().to_string().contains("check \"embed\" needs \"model\""));
}

#[test]
fn mistakes_are_named() {
    let with = |keys: &str| format!(r#"{{"model": "m", "prompt": "x", {keys}}}"#);
    for (text, part) in [
        (r#"{"prompt": "x", "reports": ["a"]}"#.to_string(), "the matrix needs \"model\""),
        (r#"{"model": "m", "prompt": "x"}"#.to_string(), "the matrix needs \"runs\" or \"reports\""),
        (with(r#""runs": [{"backend": "flex"}]"#), "the matrix needs \"checks\""),
        (with(r#""runs": [{"dtype": "f32"}], "checks": ["embed"]"#), "a run needs \"backend\" or \"command\""),
        (with(r#""runs": [{"command": []}]"#), "\"command\" is [], expected a program and its arguments"),
        (
            with(r#""runs": [{"command": "a {output}"}]"#),
            "\"command\" is \"a {output}\", expected a program and its arguments, such as",
        ),
        (with(r#""runs": [{"command": ["a", 1]}]"#), "\"command\" holds 1, expected a string"),
        (
            with(r#""runs": [{"command": ["a", "{ids}"]}]"#),
            "expected one of \"model\", \"output\", \"prompt\" or \"token_ids\" between braces",
        ),
        (with(r#""runs": [{"command": ["{outptu}"]}]"#), "the nearest is \"output\""),
        (with(r#""runs": [{"command": ["a"], "dtype": "f32"}]"#), "a run with \"command\" has no key \"dtype\""),
        (
            with(r#""runs": [{"command": ["a"], "format": "npz"}]"#),
            "\"format\" is \"npz\", expected \"auto\" or \"printed\"",
        ),
        (with(r#""runs": [{"command": ["a"], "names": {"x": "nrm"}}]"#), "the nearest is \"norm\""),
        (with(r#""runs": [{"comand": ["a"]}]"#), "a run has no key \"comand\"; the nearest is \"command\""),
        (with(r#""reports": ["a"], "reference": {}"#), "\"reference\" needs \"report\""),
        (
            r#"{"model": "m", "token_ids": [1], "runs": [{"command": ["{prompt}"]}]}"#.to_string(),
            "a command asks for {prompt}, and the matrix has none",
        ),
        (
            with(r#""runs": [{"backend": "flex", "dtpye": "f32"}]"#),
            "a run has no key \"dtpye\"; the nearest is \"dtype\"",
        ),
        (with(r#""runs": ["flex"]"#), "\"runs\" holds \"flex\", expected an object"),
        (with(r#""checks": ["atn"]"#), "\"checks\" holds \"atn\", expected \"embed\""),
        (with(r#""checks": ["atn"]"#), "the nearest is \"attn\""),
        (with(r#""checks": ["attn"]"#), "1:42: check \"attn\" needs \"layer\""),
        (with(r#""checks": [{"check": "attn", "layer": 0, "model": "n"}]"#), "check \"attn\" has no key \"model\""),
        (with(r#""checks": [{"layer": 0}]"#), "a check needs \"check\""),
        (with(r#""checks": ["compare"]"#), "check \"compare\" cannot be part of a matrix"),
        (with(r#""reports": ["a"], "require": ["cudda"]"#), "\"require\" holds \"cudda\""),
        (with(r#""reports": ["a"], "time_limit_s": 0"#), "\"time_limit_s\" is 0, expected a number above 0"),
        (with(r#""reports": ["a"], "run": []"#), "the matrix has no key \"run\"; the nearest is \"runs\""),
    ] {
        let error = parse_matrix(Path::new("compare.json"), &text).unwrap_err().to_string();
        assert!(error.contains(part), "no {part:?} in\n{error}\nfor {text}");
    }
}
