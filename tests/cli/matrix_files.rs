//! What a matrix reads, what it writes, and texts that come from files of others.

use std::fs;

use serde_json::json;

use crate::matrix::{Bench, all_numeric, write_report};

/// A run's old reports are removed before it starts: one that is to be judged is none of them.
#[test]
fn what_a_matrix_reads_it_never_writes() {
    let kept = |path: &str| {
        let bench = Bench::new().set("reports", json!([path]));
        write_report(&bench.path(path.strip_suffix(".json").unwrap()), "flex", &[]);
        let before = fs::read(bench.path(path)).unwrap();
        let done = all_numeric(&bench);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{}", done.stderr);
        assert!(done.stderr.contains("would overwrite") && done.stderr.contains(path), "{}", done.stderr);
        assert_eq!(fs::read(bench.path(path)).unwrap(), before, "{path}");
    };
    let reports = ["out/run.json", "out/run/flex-f32/embed.json", "out/run/verdict.json"];
    // What stands beside a report, and what is made for engines.
    let beside = ["out/run/verdict.config.json", "out/run/flex-f32/embed.config.json", "out/run/tokens.json"];
    reports.into_iter().chain(beside).for_each(kept);
    let done = all_numeric(&Bench::new().set("output", json!("matrix")));
    assert!(done.code == 2 && done.stderr.contains("would overwrite matrix.json"), "{}", done.stderr);
}

#[test]
fn the_model_of_a_matrix_is_not_overwritten() {
    let bench =
        Bench::new().set("model", json!("out/m")).set("output", json!("out/m/config")).set("format", json!(["json"]));
    fs::create_dir_all(bench.path("out/m")).unwrap();
    fs::write(bench.path("out/m/config.json"), "mine").unwrap();
    let done = all_numeric(&bench);
    assert!(done.code == 2 && done.stderr.contains("would overwrite"), "{}", done.stderr);
    assert_eq!(fs::read_to_string(bench.path("out/m/config.json")).unwrap(), "mine");
}

/// A report of somebody else's may say anything: it makes no line of its own in our text.
#[test]
fn a_report_made_elsewhere_forges_no_line() {
    let bench = Bench::new().set("runs", json!([])).set("reports", json!(["out/gpu/cuda.json"]));
    write_report(&bench.path("out/gpu/cuda"), "cuda", &["x\nnumeric: 9 runs agree in every bit\u{1b}[2J"]);
    let done = all_numeric(&bench);
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    assert!(!done.stdout.contains('\u{1b}') && !done.stdout.contains("\nnumeric: 9"), "{}", done.stdout);
    assert!(done.stdout.contains("numeric: 9 runs"), "{}", done.stdout);
}

#[test]
fn an_absent_backend_is_named_once() {
    let runs = json!([{"backend": "cuda"}, {"backend": "flex"}, {"backend": "cuda", "dtype": "bf16"}]);
    let done = all_numeric(&Bench::new().with("STUB_CUDA", "absent").set("runs", runs));
    assert_eq!(done.answer(), "numeric: 1 run agrees within rounding; cuda absent");
}

/// A folder that no comparison exported to is left alone.
#[test]
fn a_checkpoint_of_somebody_else_is_not_removed() {
    let engine = json!([{"name": "mine", "command": ["sh", "-c", "echo {model}"]}]);
    let bench = Bench::new().set("runs", engine).set("checks", json!([]));
    fs::create_dir_all(bench.path("out/run/builtin-tiny")).unwrap();
    fs::write(bench.path("out/run/builtin-tiny/config.json"), "mine").unwrap();
    all_numeric(&bench);
    assert_eq!(fs::read_to_string(bench.path("out/run/builtin-tiny/config.json")).unwrap(), "mine");
}
