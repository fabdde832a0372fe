//! A matrix with a stub in the place of the `loupe` that it starts: what becomes of a backend that is absent, panics, hangs
//! or computes zeros, and of the run as a whole.

#![allow(clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use loupe_config::{Document, Matrix, MatrixRun};
use loupe_report::{Backend, Loupe, Model, Report, SCHEMA};
use loupe_spec::{Dtype, HostTensor, Values};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stub::{divergence, stub, stub_verdict};
use crate::{program, repository};

/// A folder in which the matrix runs, with the stub beside it.
pub struct Bench {
    pub folder: TempDir,
    matrix: Value,
    environment: Vec<(&'static str, String)>,
}

/// What a run came to.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// Checks embed and trace on flex, wgpu and cuda.
    pub fn new() -> Bench {
        let bench = Bench {
            folder: tempfile::tempdir().unwrap(),
            matrix: json!({
                "model": "builtin:tiny",
                "token_ids": [2, 3],
                "checks": ["embed", "trace"],
                "runs": [{"backend": "flex"}, {"backend": "wgpu"}, {"backend": "cuda", "precision": "tf32"}],
                "time_limit_s": 600,
                "output": "out/run",
            }),
            environment: Vec::new(),
        };
        write_report(&bench.path("canned"), "flex", &[]);
        bench
    }

    pub fn with(mut self, variable: &'static str, value: &str) -> Bench {
        self.environment.push((variable, value.to_string()));
        self
    }

    pub fn set(mut self, key: &str, value: Value) -> Bench {
        self.matrix[key] = value;
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the matrix; the judge finds every report numeric but those whose path has `wrong` in it.
    fn run(&self, wrong: &str, verdict: &Value) -> Done {
        fs::write(self.path("verdicts.json"), verdicts(wrong, verdict).to_string()).unwrap();
        fs::write(self.path("matrix.json"), self.matrix.to_string()).unwrap();
        let mut loupe = program();
        loupe.arg("matrix.json").current_dir(self.folder.path());
        loupe.env_remove("LOUPE_REQUIRE").env("LOUPE_BIN", stub()).env("STUB_REPORT", self.path("canned"));
        loupe.env("STUB_VERDICTS", self.path("verdicts.json")).env("STUB_CALLS", self.path("calls"));
        loupe.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = loupe.output().unwrap();
        Done {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Which checks were spawned on a backend.
    fn calls(&self, backend: &str) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().filter_map(|call| call.strip_prefix(backend)).map(|check| check.trim().to_string()).collect()
    }
}

impl Done {
    pub fn answer(&self) -> &str {
        self.stdout.lines().next_back().unwrap_or_default()
    }

    /// The cells of the table of runs in the row of `run`.
    pub fn row(&self, run: &str) -> Vec<&str> {
        let line = self.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{run} ")));
        let line = line.unwrap_or_else(|| panic!("no row {run} in\n{}", self.stdout));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
    }
}

pub fn write_report(prefix: &Path, backend: &str, findings: &[&str]) {
    let tensors = [("embed.raw".to_string(), HostTensor { shape: vec![2, 1], values: Values::F32(vec![1.0, 2.0]) })];
    let report = Report {
        schema: SCHEMA.to_string(),
        loupe: Loupe { version: "0".to_string(), burn: "0".to_string() },
        config: json!({"check": "embed"}),
        model: Model { id: "builtin:tiny".to_string(), revision: None, checkpoint_id: None },
        token_ids: vec![2, 3],
        backend: Backend { name: backend.to_string(), device: "stub cpu".to_string(), driver: None, compiler: None },
        dtype: Dtype::F32,
        precision: "strict".to_string(),
        tensors: Report::summaries(&tensors),
        timings_s: vec![],
        findings: findings.iter().map(|finding| finding.to_string()).collect(),
    };
    loupe_report::write(prefix, &report, &tensors).unwrap();
}

/// What the judge says: of every report that a test makes, whether or not it is there.
fn verdicts(wrong: &str, verdict: &Value) -> Value {
    let runs = ["run/flex-f32/embed", "run/flex-f32/trace", "run/wgpu-f32/embed", "run/wgpu-f32/trace"];
    let paths = [&runs[..], &["run/cuda-f32-tf32/embed", "run/cuda-f32-tf32/trace", "gpu/cuda"]].concat();
    let one = |name: &str| {
        let path = PathBuf::from(format!("out/{name}.json"));
        match !wrong.is_empty() && name.contains(wrong) {
            true => stub_verdict(&path, verdict.clone()),
            false => stub_verdict(&path, json!({"verdict": "numeric", "exit_code": 0})),
        }
    };
    let all: Vec<Value> = paths.iter().map(|name| one(name)).collect();
    json!({"schema": "loupe.verdict/1", "exit_code": 0, "verdicts": all})
}

pub fn all_numeric(bench: &Bench) -> Done {
    bench.run("", &Value::Null)
}

#[test]
fn all_run_and_agree() {
    let bench = Bench::new();
    let done = all_numeric(&bench);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.starts_with("the judge's own text\n"), "{}", done.stdout);
    assert_eq!(done.answer(), "numeric: 3 runs agree within rounding");
    assert_eq!(done.row("flex-f32")[..4], ["flex-f32", "stub cpu", "2 of 2", "numeric"]);
    assert_eq!(bench.calls("cuda"), ["embed", "trace"]);
    let config = fs::read_to_string(bench.path("out/run/cuda-f32-tf32/trace.config.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&config).unwrap(),
        json!({
            "check": "trace", "model": "builtin:tiny", "token_ids": [2, 3], "backend": "cuda", "precision": "tf32",
            "output": "out/run/cuda-f32-tf32/trace",
        })
    );
    let judge = fs::read_to_string(bench.path("out/run/verdict.config.json")).unwrap();
    let judge: Value = serde_json::from_str(&judge).unwrap();
    assert_eq!(judge["check"], "compare");
    assert_eq!(judge["candidates"].as_array().unwrap().len(), 6);
    assert_eq!(judge["output"], "out/run/verdict");
}

#[test]
fn a_backend_that_panics_is_a_backend_fault_and_the_others_go_on() {
    let bench = Bench::new().with("STUB_WGPU", "panic");
    let done = all_numeric(&bench);
    assert_eq!(done.code, 3, "{}", done.stdout);
    assert_eq!(done.row("wgpu-f32")[1..4], ["-", "0 of 2", "crashed in embed"]);
    assert_eq!(done.answer(), "backend fault: wgpu-f32 crashed in embed; 2 runs agree within rounding");
    let why = "wgpu-f32 embed crashed: exit status: 101: thread 'main' panicked: no adapter";
    assert!(done.stdout.contains(why), "{}", done.stdout);
    // The first check crashed: the others would, too.
    assert_eq!(bench.calls("wgpu"), ["embed"]);
    assert_eq!(bench.calls("cuda"), ["embed", "trace"]);
}

/// The stub would sleep for ten minutes, and then have no report. Alone in its matrix: the limit holds for every run.
#[test]
fn a_backend_that_hangs_is_killed_at_the_limit() {
    let only = json!([{"backend": "cuda", "precision": "tf32"}]);
    let bench = Bench::new().with("STUB_CUDA", "hang").set("time_limit_s", json!(1)).set("runs", only);
    let done = all_numeric(&bench);
    assert_eq!((done.code, done.answer()), (2, "could not run: no report to judge; cuda-f32-tf32 hung in embed"));
    assert_eq!(done.row("cuda-f32-tf32")[2..4], ["0 of 2", "hung in embed"]);
    assert!(done.stdout.contains("cuda-f32-tf32 embed hung: still running after 1 s\n"), "{}", done.stdout);
    assert!(!bench.calls("cuda").contains(&"trace".to_string()));
}

#[test]
fn a_backend_that_fails_its_self_test_or_is_killed_is_a_backend_fault() {
    let done = all_numeric(&Bench::new().with("STUB_CUDA", "broken").with("STUB_WGPU", "kill"));
    assert_eq!(done.code, 3, "{}", done.stdout);
    assert_eq!(done.row("cuda-f32-tf32")[2..4], ["0 of 2", "broken in embed"]);
    assert!(done.stdout.contains("wgpu-f32 embed crashed: signal: 9 (SIGKILL)\n"), "{}", done.stdout);
}

#[test]
fn a_later_crash_leaves_the_earlier_reports() {
    let bench = Bench::new().with("STUB_WGPU", "late-panic");
    let done = all_numeric(&bench);
    assert_eq!(done.code, 3, "{}", done.stdout);
    assert_eq!(done.row("wgpu-f32")[1..4], ["stub cpu", "1 of 2", "crashed in trace"]);
}

#[test]
fn a_backend_whose_report_is_zeros_is_a_backend_fault() {
    let fault = json!({"verdict": "backend_fault", "detail": null, "exit_code": 3,
        "first_divergence": divergence("embed.scaled", 1, 1.0, 2e-7)});
    let done = Bench::new().with("STUB_JUDGE", "3").run("wgpu-f32/trace", &fault);
    assert_eq!(done.code, 3, "{}", done.stdout);
    assert_eq!(done.row("wgpu-f32")[2..4], ["2 of 2", "backend fault in trace"]);
    let first = "first at embed.scaled, token 1: error 1.0e0, limit 2.0e-7";
    assert_eq!(
        done.answer(),
        format!("backend fault: wgpu-f32 backend fault in trace, {first}; 2 runs agree within rounding")
    );
}

#[test]
fn an_absent_backend_is_shown_and_fails_only_where_it_is_required() {
    let bench = Bench::new().with("STUB_CUDA", "absent");
    let done = all_numeric(&bench);
    assert_eq!(done.code, 0, "{}", done.stdout);
    assert_eq!(done.row("cuda-f32-tf32")[1..4], ["-", "0 of 2", "absent"]);
    assert_eq!(done.answer(), "numeric: 2 runs agree within rounding; cuda absent");
    assert_eq!(bench.calls("cuda"), ["embed"]);

    let answer = "could not run: cuda is required by \"require\" and absent; 2 runs agree within rounding; cuda absent";
    let done = all_numeric(&Bench::new().with("STUB_CUDA", "absent").set("require", json!(["cuda"])));
    assert_eq!((done.code, done.answer()), (2, answer));

    let bench = Bench::new().with("STUB_CUDA", "absent").with("LOUPE_REQUIRE", "wgpu,cuda");
    let done = all_numeric(&bench);
    assert_eq!((done.code, done.answer()), (2, answer.replace("\"require\"", "LOUPE_REQUIRE").as_str()));

    let bench = Bench::new().with("LOUPE_REQUIRE", "ndarray");
    let done = all_numeric(&bench);
    assert_eq!(done.code, 2);
    assert!(done.answer().contains("ndarray is required by LOUPE_REQUIRE, and no run or report is of it"));

    let done = all_numeric(&Bench::new().with("LOUPE_REQUIRE", "metal"));
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("LOUPE_REQUIRE names \"metal\""), "{}", done.stderr);
}

#[test]
fn nothing_to_judge_is_no_success() {
    let bench = Bench::new().with("STUB_CUDA", "absent").set("runs", json!([{"backend": "cuda"}]));
    let done = all_numeric(&bench);
    assert_eq!((done.code, done.answer()), (2, "could not run: no report to judge; cuda absent"));
}

#[test]
fn could_not_run_is_before_backend_fault_is_before_architectural() {
    let wrong = json!({"verdict": "architectural", "detail": "rope_interleaved", "exit_code": 1,
        "first_divergence": divergence("layers.1.self_attn.q_rope", 1, 0.5, 1e-7)});
    let done = Bench::new().with("STUB_JUDGE", "1").run("flex", &wrong);
    assert_eq!(done.code, 1, "{}", done.stdout);
    assert!(done.answer().starts_with("architectural: flex-f32 architectural: rope_interleaved in embed, first at layers.1.self_attn.q_rope, token 1"), "{}", done.answer());

    let done = Bench::new().with("STUB_JUDGE", "1").with("STUB_WGPU", "panic").run("flex", &wrong);
    assert_eq!(done.code, 3, "{}", done.stdout);

    let bench = Bench::new().with("STUB_JUDGE", "1").with("STUB_WGPU", "panic").with("STUB_CUDA", "fail");
    let done = bench.run("flex", &wrong);
    assert_eq!(done.code, 2, "{}", done.stdout);
    assert!(done.stdout.contains("cuda-f32-tf32 trace failed: no such model"), "{}", done.stdout);
    // One check's failure says nothing of the next.
    assert_eq!(bench.calls("cuda"), ["embed", "trace"]);
}

#[test]
fn what_a_check_finds_by_itself_counts_though_every_number_is_right() {
    let bench = Bench::new().set("runs", json!([{"backend": "flex"}]));
    write_report(&bench.path("canned"), "flex", &["theta is not the checkpoint's"]);
    let done = all_numeric(&bench);
    assert_eq!((done.code, done.answer()), (1, "a check's own finding: flex-f32 finding in embed"));
    assert!(done.stdout.contains("flex-f32 trace finding: theta is not the checkpoint's"), "{}", done.stdout);
}

#[test]
fn a_process_that_ends_well_without_a_report_has_failed() {
    let bench = Bench::new();
    // What an earlier run left is not taken for this one's.
    assert_eq!(all_numeric(&bench).code, 0);
    assert!(bench.path("out/run/wgpu-f32/trace.json").exists());
    let bench = bench.with("STUB_WGPU", "silent");
    let done = all_numeric(&bench);
    assert_eq!(done.code, 2, "{}", done.stdout);
    assert!(done.stdout.contains("wgpu-f32 trace failed: it ended well but left no report"), "{}", done.stdout);
}

#[test]
fn a_judge_that_crashes_or_leaves_a_report_out_is_no_success() {
    let done = all_numeric(&Bench::new().with("STUB_JUDGE", "crash"));
    assert_eq!(done.code, 2, "{}", done.stdout);
    assert!(done.answer().starts_with("could not run: the judge failed: exit status: 101"), "{}", done.answer());

    // A run of which the canned verdicts know nothing.
    let bench = Bench::new().set("runs", json!([{"backend": "flex"}, {"backend": "flex", "dtype": "f64"}]));
    let done = all_numeric(&bench);
    assert_eq!(done.code, 2, "{}", done.stdout);
    assert!(done.answer().contains("its verdict leaves out 2 of the reports"), "{}", done.answer());
}

#[test]
fn reports_made_elsewhere_join_in_and_alone_spawn_only_the_judge() {
    let bench = Bench::new().set("reports", json!(["out/gpu/cuda.json"])).with("STUB_CUDA", "absent");
    write_report(&bench.path("out/gpu/cuda"), "cuda", &[]);
    let done = all_numeric(&bench);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(done.row("cuda-f32"), ["cuda-f32", "stub cpu", "1 of 1", "numeric", "elsewhere"]);
    assert_eq!(done.answer(), "numeric: 3 runs agree within rounding; cuda absent");

    let bench = bench.set("runs", json!([])).set("require", json!(["cuda"]));
    fs::remove_file(bench.path("calls")).unwrap();
    let done = all_numeric(&bench);
    assert_eq!((done.code, done.answer()), (0, "numeric: 1 run agrees within rounding"), "{}", done.stderr);
    assert!(!bench.path("calls").exists());

    let done = all_numeric(&bench.set("reports", json!(["out/gpu/cuda.json", "gpu-box/cuda.json"])));
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("no such report:"), "{}", done.stderr);
}

#[test]
fn json_and_junit_hold_every_run_and_check() {
    let wrong = json!({"verdict": "architectural", "detail": "unnamed", "exit_code": 1,
        "first_divergence": divergence("norm", 0, 0.5, 1e-7)});
    let bench = Bench::new().set("format", json!(["json", "junit"]));
    let bench = bench.with("STUB_CUDA", "absent").with("STUB_WGPU", "late-panic").with("STUB_JUDGE", "1");
    let done = bench.run("flex-f32/trace", &wrong);
    assert_eq!(done.code, 3);
    // No text was asked for: what was written, and the answer.
    let written = "written: out/run.json\nwritten: out/run.junit.xml\n";
    let answer = done.stdout.strip_prefix(written);
    assert_eq!(answer.map(|answer| answer.lines().count()), Some(1), "{}", done.stdout);

    let document: Value = serde_json::from_str(&fs::read_to_string(bench.path("out/run.json")).unwrap()).unwrap();
    assert_eq!(document["exit_code"], 3);
    assert_eq!(document["runs"].as_array().unwrap().len(), 3);
    assert_eq!(document["runs"][0]["checks"][1]["verdict"], "architectural: unnamed");
    assert_eq!(document["runs"][1]["checks"][1]["outcome"], "crashed");
    assert_eq!(document["runs"][2]["checks"][1]["outcome"], "skipped");
    assert_eq!(document["verdicts"].as_array().unwrap().len(), 7);

    let xml = fs::read_to_string(bench.path("out/run.junit.xml")).unwrap();
    for expected in [
        r#"<testsuite name="flex-f32" tests="2" failures="1" errors="0" skipped="0">"#,
        r#"<testsuite name="wgpu-f32" tests="2" failures="0" errors="1" skipped="0">"#,
        r#"<testsuite name="cuda-f32-tf32" tests="2" failures="0" errors="0" skipped="2">"#,
        r#"<failure message="architectural: unnamed: first at norm, token 0: error 5.0e-1, limit 1.0e-7"/>"#,
        r#"<error message="crashed: exit status: 101"/>"#,
    ] {
        assert!(xml.contains(expected), "{expected} in\n{xml}");
    }
}

#[test]
fn the_configs_of_ci_name_the_reports_that_its_jobs_keep() {
    let read = |name: &str| -> Matrix {
        match loupe_config::read(&repository().join("configs").join(name)).unwrap() {
            Document::Matrix(matrix) => *matrix,
            Document::Request(request) => panic!("{request:?}"),
        }
    };
    let whole = read("compare.json");
    let kept = |backends: &[&str]| {
        let mut reports: Vec<PathBuf> = Vec::new();
        for matrix in backends.iter().map(|backend| read(&format!("ci/{backend}.json"))) {
            assert_eq!(matrix.checks, whole.checks);
            let output = matrix.output.unwrap();
            for run in &matrix.runs {
                let MatrixRun::Backend(run) = run else { panic!("{run:?}") };
                let folder = output.join(format!("{}-{}", run.backend, run.dtype));
                reports.extend(matrix.checks.iter().map(|check| folder.join(format!("{}.json", check.check.name()))));
            }
        }
        reports
    };
    assert_eq!(read("ci/join.json").reports, kept(&["ndarray", "flex", "wgpu"]));
    assert_eq!(read("ci/join-gpu.json").reports, kept(&["ndarray", "flex", "wgpu", "cuda"]));
}
