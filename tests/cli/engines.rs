//! A matrix with engines among its runs: shell commands in their place, and a stub in the place of the `loupe` that it starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program;
use crate::stub::{stub, stub_verdict};

/// A folder in which the matrix runs.
struct Bench {
    folder: TempDir,
    matrix: Value,
}

struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Bench {
    /// One engine, called `mine`, that is the shell command `command`.
    fn new(command: &str) -> Bench {
        let matrix = json!({
            "model": "builtin:tiny",
            "token_ids": [2, 30, 4],
            "runs": [{"name": "mine", "command": ["sh", "-c", command]}],
            "time_limit_s": 600,
            "output": "out/run",
        });
        Bench { folder: tempfile::tempdir().unwrap(), matrix }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set(mut self, key: &str, value: Value) -> Bench {
        self.matrix[key] = value;
        self
    }

    fn set_run(mut self, key: &str, value: Value) -> Bench {
        self.matrix["runs"][0][key] = value;
        self
    }

    /// Runs the matrix; the judge says `verdict` of whatever the engine leaves as `dump`.
    fn judged(&self, dump: &str, verdict: &str, code: u8) -> Done {
        let path = self.folder.path().canonicalize().unwrap().join(dump);
        let verdict = stub_verdict(&path, json!({"verdict": verdict, "exit_code": code}));
        let verdicts = json!({"schema": "loupe.verdict/1", "exit_code": code, "verdicts": [verdict]});
        fs::write(self.path("verdicts.json"), verdicts.to_string()).unwrap();
        fs::write(self.path("matrix.json"), self.matrix.to_string()).unwrap();
        let mut loupe = program();
        loupe.arg("matrix.json").current_dir(self.folder.path().canonicalize().unwrap());
        loupe.env_remove("LOUPE_REQUIRE").env("LOUPE_BIN", stub()).env("STUB_JUDGE", code.to_string());
        loupe.env("STUB_VERDICTS", self.path("verdicts.json")).env("STUB_CALLS", self.path("calls"));
        let output = loupe.output().unwrap();
        Done {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn run(&self, dump: &str) -> Done {
        self.judged(dump, "numeric", 0)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }
}

impl Done {
    fn answer(&self) -> &str {
        self.stdout.lines().next_back().unwrap_or_default()
    }

    #[track_caller]
    fn fails_with(&self, code: i32, part: &str) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert!(self.stdout.contains(part), "no {part:?} in\n{}", self.stdout);
    }
}

#[test]
fn an_engine_is_started_with_the_prompt_and_what_it_leaves_is_judged() {
    let bench = Bench::new("echo \"$0\" > {output}.npz").set_run(
        "command",
        json!(["sh", "-c", "echo \"$0 $1 $2\" > \"$2.npz\"", "--ids={token_ids}", "{\"a\": 1}", "{output}"]),
    );
    let bench =
        bench.set_run("candidate_dtype", json!("bf16")).set_run("names", json!({"l_out-{l}": "layers.{l}.output"}));
    let done = bench.run("out/run/mine/mine.npz");
    assert_eq!((done.code, done.answer()), (0, "numeric: 1 run agrees within rounding"), "{}", done.stderr);
    let said = fs::read_to_string(bench.path("out/run/mine/mine.npz")).unwrap();
    let output = bench.folder.path().canonicalize().unwrap().join("out/run/mine/mine");
    assert_eq!(said.trim(), format!("--ids=2,30,4 {{\"a\": 1}} {}", output.display()));
    let judge = bench.json("out/run/mine/verdict.config.json");
    assert_eq!(judge["candidate_dtype"], "bf16");
    assert_eq!(judge["names"], json!({"l_out-{l}": "layers.{l}.output"}));
    assert_eq!((&judge["token_ids"], &judge["model"]), (&json!([2, 30, 4]), &json!("builtin:tiny")));
    assert_eq!(bench.json("out/run/mine/command.json")[3], "--ids=2,30,4");
}

#[test]
fn a_mistake_of_an_engine_is_the_answer() {
    let bench = Bench::new("echo x > {output}").set("format", json!(["text", "json", "junit"]));
    let done = bench.judged("out/run/mine/mine", "architectural", 1);
    done.fails_with(1, "the judge's own text");
    assert_eq!(done.answer(), "architectural: mine architectural in dump");
    assert_eq!(bench.json("out/run.json")["verdicts"][0]["verdict"], "architectural");
    let junit = fs::read_to_string(bench.path("out/run.junit.xml")).unwrap();
    assert!(junit.contains("<testsuite name=\"mine\" tests=\"1\" failures=\"1\""), "{junit}");
}

#[test]
fn a_folder_or_what_is_printed_may_be_the_dump() {
    let folder = Bench::new("mkdir {output} && echo x > {output}/a.npy");
    assert_eq!(folder.run("out/run/mine/mine").code, 0);
    let printed = Bench::new("echo layer 2");
    let done = printed.run("out/run/mine/printed.txt");
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    // A log beside it is none.
    let logged = Bench::new("echo x > {output}.npz; echo loading > {output}.log");
    assert_eq!(logged.run("out/run/mine/mine.npz").code, 0);
    // Both: the file counts, unless the config says otherwise.
    let both = "echo layer 2 && echo x > {output}.npz";
    assert_eq!(Bench::new(both).run("out/run/mine/mine.npz").code, 0);
    assert_eq!(Bench::new(both).set_run("format", json!("printed")).run("out/run/mine/printed.txt").code, 0);
}

#[test]
fn an_engine_that_does_not_do_its_work_says_why_and_spoils_no_other() {
    // With nothing at all to judge, whatever the reason is, nothing could be run.
    for (command, said) in [
        ("echo no weights >&2; exit 3", "mine dump failed: exit status: 3: no weights; all that it said: "),
        ("kill -9 $$", "mine dump crashed: signal: 9 (SIGKILL)\n"),
        ("true", "mine dump failed: it ended well, left nothing at {output} ("),
        ("echo x > {output}; exit 3", "mine dump failed: exit status: 3; the dump that it left is not judged\n"),
        ("echo x > {output}.a; echo x > {output}.b", "mine dump failed: it left mine.a, mine.b in "),
    ] {
        Bench::new(command).run("-").fails_with(2, said);
    }
    let missing = Bench::new("").set_run("command", json!(["./no-engine"]));
    missing.run("-").fails_with(2, "mine dump failed: cannot run ./no-engine: No such file or directory");

    let unread = Bench::new("echo x > {output}");
    unread
        .judged("elsewhere", "numeric", 0)
        .fails_with(2, "mine dump failed: its numbers were not judged: its verdict leaves out 1");

    let mut two = Bench::new("exit 3");
    two.matrix["runs"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "other", "command": ["sh", "-c", "echo x > {output}"]}));
    two.run("out/run/other/other").fails_with(2, "could not run: mine failed in dump; 1 run agrees within rounding\n");
}

/// The engine is a child of the shell: killed with it, for nothing else ends it.
#[test]
fn a_hung_engine_ends_at_the_limit_with_all_that_it_started() {
    let bench = Bench::new("sleep 600 & echo $! > pid; wait").set("time_limit_s", json!(1));
    bench.run("-").fails_with(2, "mine dump hung: still running after 1 s (\"time_limit_s\" allows it more)\n");
    let pid = fs::read_to_string(bench.path("pid")).unwrap();
    let gone = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        !Path::new("/proc/self/stat").exists() || stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    let started = Instant::now();
    while !gone() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(gone(), "{pid} is still running");
}

#[test]
fn what_an_earlier_run_left_is_not_this_one_s_and_nothing_else_is_removed() {
    let bench = Bench::new("test -e done || echo x > {output}.npz; touch done");
    assert_eq!(bench.run("out/run/mine/mine.npz").code, 0);
    bench.run("out/run/mine/mine.npz").fails_with(2, "left nothing at {output}");

    // Somebody's own file, where no comparison has been.
    fs::remove_file(bench.path("out/run/mine/command.json")).unwrap();
    fs::write(bench.path("out/run/mine/mine.md"), "mine").unwrap();
    let done = bench.run("-");
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("is there already, and no earlier comparison made it"), "{}", done.stderr);
    assert!(bench.path("out/run/mine/mine.md").exists());

    // A report that is read lies where the dump would go.
    let report = bench.path("out/run/mine/report.json");
    fs::write(&report, r#"{"schema": "loupe.report/1"}"#).unwrap();
    let bench = bench.set("reference", json!({"report": "out/run/mine/report.json"}));
    let done = bench.run("-");
    assert_eq!(done.code, 2);
    let said = done.stderr.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
    assert!(said.contains("is cleared for the run \"mine\""), "{said}");
    assert!(report.exists());
}
