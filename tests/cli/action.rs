//! The step of action.yml that judges, run as a runner would: bash, with files for its output and its summary.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use saphyr_parser::{Event, Parser};
use serde_json::json;

use crate::repository;
use crate::stub::{stub, stub_verdict};

/// The script of the step called `name`: what stands after the next `run`. The file is YAML to its end.
fn script(name: &str) -> String {
    let action = fs::read_to_string(repository().join("action.yml")).unwrap();
    let events = Parser::new_from_str(&action).map(|event| event.unwrap().0);
    let scalars: Vec<String> = events
        .filter_map(|event| match event {
            Event::Scalar(text, ..) => Some(text.into_owned()),
            _ => None,
        })
        .collect();
    let step = scalars.windows(2).position(|pair| pair == ["name", name]).unwrap();
    let run = scalars[step..].iter().position(|key| key == "run").unwrap();
    scalars[step + run + 1].clone()
}

/// The code of the step, the output that it sets, and its summary.
fn compared(engine: &str, formats: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
    fs::create_dir_all(path("target/release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_loupe"), path("target/release/loupe")).unwrap();
    let matrix = json!({
        "model": "m", "token_ids": [2], "output": "out/run", "format": formats,
        "runs": [{"name": "mine", "command": ["sh", "-c", engine]}],
    });
    fs::write(path("matrix.json"), matrix.to_string()).unwrap();
    let verdict = stub_verdict(&path("out/run/mine/mine"), json!({"verdict": "numeric", "exit_code": 0}));
    let verdicts = json!({"schema": "loupe.verdict/1", "exit_code": 0, "verdicts": [verdict]});
    fs::write(path("verdicts.json"), verdicts.to_string()).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script("compare")]).current_dir(path(""));
    bash.env("CONFIG", "matrix.json")
        .env("TARGET", path("target"))
        .env("LOUPE_BIN", stub())
        .env("STUB_VERDICTS", path("verdicts.json"));
    bash.env("GITHUB_OUTPUT", path("output")).env("GITHUB_STEP_SUMMARY", path("summary"));
    let done = bash.env_remove("LOUPE_REQUIRE").output().unwrap();
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    (done.status.code().unwrap(), read("output"), read("summary"))
}

#[test]
fn the_answer_is_the_step_s_and_so_is_the_code() {
    let (code, output, summary) = compared("echo x > {output}", &["text"]);
    assert_eq!((code, output.as_str()), (0, "answer=numeric: 1 run agrees within rounding\n"));
    assert!(summary.contains("    the judge's own text\n"), "{summary}");
    assert!(summary.ends_with("    numeric: 1 run agrees within rounding\n"), "{summary}");

    let (code, output, _) = compared("echo '::error::no' >&2; exit 1", &["text"]);
    assert_eq!((code, output.as_str()), (2, "answer=could not run: no report to judge; mine failed in dump\n"));
}

#[test]
fn a_summary_that_the_config_asks_for_is_the_step_s() {
    let (code, _, summary) = compared("echo x > {output}", &["text", "markdown"]);
    assert_eq!(code, 0);
    assert!(summary.starts_with("**numeric\\: 1 run agrees within rounding**\n\n| run "), "{summary}");
}

#[test]
fn every_step_builds_what_the_last_one_runs() {
    let build = script("build");
    assert!(build.contains("--package loupe "), "{build}");
    assert!(script("compare").contains("$TARGET/release/loupe"));
}
