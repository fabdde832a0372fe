//! The program as a person runs it: one config in, text, files and an exit code out.
#![allow(clippy::unwrap_used)]

#[cfg(unix)]
mod action;
mod bad_input;
mod batches;
mod book;
mod checks;
mod doppler;
mod dumps;
mod echo;
#[cfg(unix)]
mod engines;
mod explain;
mod forms;
mod generated;
mod hostile;
#[cfg(unix)]
mod matrix;
#[cfg(unix)]
mod matrix_files;
mod named_files;
mod next;
mod originals;
mod page;
mod policies;
mod promises;
mod real;
mod rows;
mod snapshot;
mod stimulus;
#[cfg(unix)]
mod stub;
mod supply;
mod text;
mod timeline;
mod tokens;
mod usage;
mod verdicts;
mod writers;

use std::collections::BTreeSet;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use loupe_checkpoint::{Checkpoint, write_random};
use loupe_spec::{Dtype, HostTensor};
use tempfile::TempDir;

/// config.json of a small checkpoint with random weights; its vocabulary is the built-in tokenizer's.
const SMALL: &str = r#"{"model_type":"gemma2","vocab_size":412,"hidden_size":6,"intermediate_size":5,
    "num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#;

/// An empty folder to run in, which no other test and nothing of this machine's user reaches into.
struct Sandbox {
    folder: TempDir,
    variables: Vec<(&'static str, PathBuf)>,
}

/// What a run left behind.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Sandbox {
    fn new() -> Sandbox {
        Sandbox { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program in the sandbox. Whatever happens, it does not panic.
    fn run<A: AsRef<Path>>(&self, arguments: &[A]) -> Run {
        self.run_with(arguments, Stdio::null())
    }

    /// Runs it with `config` on standard input.
    fn piped(&self, config: &str) -> Run {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(config.as_bytes()).unwrap();
        file.rewind().unwrap();
        let run = self.run_with(&["-"], file.reopen().unwrap().into());
        generated::conforms(self, file.path(), &run);
        run
    }

    fn run_with<A: AsRef<Path>>(&self, arguments: &[A], stdin: Stdio) -> Run {
        let output = program()
            .env_remove("FORCE_COLOR")
            .env_remove("LOUPE_REQUIRE")
            .args(arguments.iter().map(AsRef::as_ref))
            .stdin(stdin)
            .current_dir(self.folder.path())
            .envs([("HF_HUB_OFFLINE", "1"), ("RUST_BACKTRACE", "0")])
            .env("HF_HOME", self.path("huggingface"))
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .output()
            .unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(!stderr.contains("panicked"), "{stderr}");
        Run { code: output.status.code().unwrap(), stdout, stderr }
    }

    /// Runs a config with this text, which is not in the sandbox.
    fn config(&self, text: &str) -> Run {
        let config = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(config.path(), text).unwrap();
        let run = self.run(&[config.path()]);
        generated::conforms(self, config.path(), &run);
        run
    }

    /// Runs a config of the repository, unchanged.
    fn shipped(&self, name: &str) -> Run {
        let config = repository().join("configs").join(name);
        let run = self.run(&[&config]);
        generated::conforms(self, &config, &run);
        run
    }

    /// Writes `tensors` to dump.safetensors.
    fn dump<'a>(&self, tensors: impl IntoIterator<Item = (&'a String, &'a HostTensor)>) {
        let mut dump = loupe_dump::Dump::new();
        for (name, HostTensor { shape, values }) in tensors {
            let dtype = match values.dtype() {
                Dtype::F64 => loupe_dump::Dtype::F64,
                Dtype::F32 => loupe_dump::Dtype::F32,
                Dtype::F16 => loupe_dump::Dtype::F16,
                Dtype::Bf16 => loupe_dump::Dtype::BF16,
                Dtype::I64 => loupe_dump::Dtype::I64,
                Dtype::U8 => loupe_dump::Dtype::U8,
            };
            dump.add_bytes(name, dtype, shape, values.to_le_bytes()).unwrap();
        }
        dump.save(self.path("dump.safetensors")).unwrap();
    }

    /// Every file and folder in the sandbox.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                found.insert(path);
            }
        }
        found
    }

    /// A small random checkpoint with the built-in tokenizer, called "model".
    fn checkpoint(&self, config_json: &str, shards: usize) -> PathBuf {
        let folder = self.path("model");
        write_random(config_json, &folder, shards, 1, &mut |_, _| ()).unwrap();
        let exported = tempfile::tempdir().unwrap();
        Checkpoint::open("builtin:tiny", None).unwrap().export(exported.path(), None).unwrap();
        std::fs::copy(exported.path().join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
        folder
    }
}

impl Run {
    /// The run succeeded, and had nothing to complain of.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }
}

/// The program; on another processor where `LOUPE_RUNNER` says how (docs/testing.md).
fn program() -> Command {
    let runner = std::env::var("LOUPE_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().chain([env!("CARGO_BIN_EXE_loupe")]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

/// Whether `program` is here. That it is not is said past the test harness's capture.
fn is_here(program: &str, required: &str) -> bool {
    let why = match Command::new(program).arg("--version").output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => output.status.to_string(),
        Err(error) => format!("{program} cannot be run: {error}"),
    };
    assert!(std::env::var(required).is_err(), "{required}: {why}");
    // Not eprintln: libtest would keep it to itself.
    let _ = writeln!(std::io::stderr(), "NOT TESTED with {program}: {why}");
    false
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
