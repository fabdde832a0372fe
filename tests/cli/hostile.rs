//! Files and places that are not what they should be.

use std::fs::{self, File};
use std::process::Stdio;

use crate::{Run, SMALL, Sandbox, program};

#[track_caller]
fn refused(run: &Run, code: i32, parts: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{}", run.stderr);
    let words = run.stderr.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(words.contains(part), "\"{part}\" is not in\n{}", run.stderr);
    }
}

/// Judges `candidate` against two tokens of the built-in model.
fn compare(sandbox: &Sandbox, candidate: &str) -> Run {
    let keys = r#""model": "builtin:tiny", "token_ids": [2, 5]"#;
    sandbox.config(&format!(r#"{{"check": "compare", "candidate": "{candidate}", {keys}}}"#))
}

/// Every file that a run reads, named as its output.
#[test]
fn what_a_run_reads_it_never_writes() {
    let sandbox = Sandbox::new();
    sandbox.checkpoint(SMALL, 2);
    let embed = r#""check": "embed", "model": "model", "token_ids": [2, 5]"#;
    sandbox.config(&format!(r#"{{{embed}, "output": "run"}}"#)).ok();
    fs::write(sandbox.path("config.json"), format!(r#"{{{embed}, "output": "config"}}"#)).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(sandbox.path("model"), sandbox.path("link")).unwrap();
    let before: Vec<(std::path::PathBuf, Vec<u8>)> = sandbox
        .files()
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let compare = r#""check": "compare", "candidate""#;
    for (text, file) in [
        (format!(r#"{{{embed}, "output": "model/config"}}"#), "model/config.json"),
        (format!(r#"{{{embed}, "output": "model/tokenizer"}}"#), "model/tokenizer.json"),
        (format!(r#"{{{embed}, "output": "model/../model/model"}}"#), "model/model.safetensors"),
        (format!(r#"{{{embed}, "output": "model/model-00001-of-00002"}}"#), "model/model-00001-of-00002.safetensors"),
        #[cfg(unix)]
        (format!(r#"{{{embed}, "output": "link/config"}}"#), "model/config.json"),
        (format!(r#"{{{compare}: "run", "output": "run"}}"#), "run.json"),
        (format!(r#"{{{compare}: "run.safetensors", "output": "run"}}"#), "run.json"),
        (format!(r#"{{{compare}: "run", "model": "model", "output": "model/config"}}"#), "model/config.json"),
        (format!(r#"{{{compare}: "other", "reference": {{"report": "run.json"}}, "output": "run"}}"#), "run.json"),
        (
            r#"{"check": "weights", "model": "builtin:tiny", "tensor": "model.norm.weight", "against": "run.safetensors",
                "output": "run"}"#
                .to_string(),
            "run.safetensors",
        ),
    ] {
        refused(&sandbox.config(&text), 2, &["\"output\"", "would overwrite", file, "name another output"]);
    }
    refused(&sandbox.run(&["config.json"]), 2, &["would overwrite config.json"]);
    // Of a model of the hub, the cache.
    let cached = sandbox.path("huggingface/hub/models--org--name");
    fs::create_dir_all(cached.join("refs")).unwrap();
    fs::create_dir_all(cached.join("snapshots")).unwrap();
    let commit = "abc".repeat(14)[..40].to_string();
    let snapshot = cached.join("snapshots").join(&commit);
    fs::write(cached.join("refs/main"), &commit).unwrap();
    fs::rename(sandbox.path("model"), &snapshot).unwrap();
    let hub = r#""check": "embed", "model": "org/name", "token_ids": [2, 5]"#;
    let config = format!("huggingface/hub/models--org--name/snapshots/{commit}/config");
    refused(&sandbox.config(&format!(r#"{{{hub}, "output": "{config}"}}"#)), 2, &["would overwrite", "config.json"]);
    sandbox.config(&format!(r#"{{{hub}, "output": "hub"}}"#)).ok();
    fs::rename(&snapshot, sandbox.path("model")).unwrap();
    // Folders of stimuli are cleared before they are written.
    fs::create_dir(sandbox.path("run-stimulus")).unwrap();
    fs::rename(sandbox.path("model"), sandbox.path("run-stimulus/1")).unwrap();
    let stimulus = format!(r#"{compare}: "hub", "stimulus": true, "output": "run""#);
    let inside = sandbox.config(&format!(r#"{{{stimulus}, "model": "run-stimulus/1"}}"#));
    refused(&inside, 2, &["would overwrite run-stimulus/1/"]);
    let taken = sandbox.config(&format!(r#"{{{stimulus}, "model": "builtin:tiny"}}"#));
    refused(&taken, 2, &["cannot write a checkpoint to run-stimulus/1", "no stimulus", "another output"]);
    fs::rename(sandbox.path("run-stimulus/1"), sandbox.path("model")).unwrap();
    for (path, bytes) in before {
        assert!(fs::read(&path).unwrap() == bytes, "{} has changed", path.display());
    }
    // A report of its own that a run does not read, it replaces.
    sandbox.config(&format!(r#"{{{embed}, "output": "run"}}"#)).ok();
    // The output of an export is a folder.
    fs::write(sandbox.path("m.json"), r#"{"check": "export", "model": "builtin:tiny", "output": "m"}"#).unwrap();
    sandbox.run(&["m.json"]).ok();
}

/// A JSON of the same name is a dump's report only where it says so: a config, and the verdict on the dump, may stand
/// there.
#[test]
fn what_stands_beside_a_dump_is_not_taken_for_its_report() {
    let sandbox = Sandbox::new();
    let run = r#""model": "builtin:tiny", "token_ids": [2, 5]"#;
    sandbox.config(&format!(r#"{{"check": "embed", {run}, "output": "m1"}}"#)).ok();
    let text = format!(r#"{{"check": "compare", "candidate": "m1.safetensors", {run}}}"#);
    fs::write(sandbox.path("m1.json"), &text).unwrap();
    sandbox.run(&["m1.json"]).ok();
    fs::rename(sandbox.path("m1.json"), sandbox.path("c.json")).unwrap();
    let with_output = format!(r#"{{"check": "compare", "candidate": "m1.safetensors", {run}, "output": "m1"}}"#);
    for _ in 0..2 {
        sandbox.config(&with_output).ok();
        assert!(fs::read_to_string(sandbox.path("m1.json")).unwrap().contains("loupe.verdict/1"));
    }
}

#[test]
fn what_is_no_candidate_is_told_what_would_be() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("folder")).unwrap();
    refused(&compare(&sandbox, "folder"), 2, &["folder: no file in it ends in .npy, .npz, .pt"]);
    for (name, text, what) in [
        ("model.bin", "GGUF\u{3}\0\0\0", "weights, which are what an engine starts from"),
        ("dump", "\u{1}\u{2}\u{3}\u{4}", "a file of another kind"),
    ] {
        fs::write(sandbox.path(name), text).unwrap();
        let is = format!("{name} is {what}, and no candidate; a candidate is a report of Loupe's, a safetensors file");
        refused(&compare(&sandbox, name), 2, &[&is]);
    }
    fs::write(sandbox.path("values.json"), "{}").unwrap();
    refused(&compare(&sandbox, "values.json"), 2, &["values.json: it holds no arrays"]);
    refused(&compare(&sandbox, "missing"), 2, &["there is no file missing, and no report of that name (missing.json)"]);
    // A folder beside a report of that name is not in its way.
    let trace = r#"{"check": "embed", "model": "builtin:tiny", "token_ids": [2, 5], "output": "folder"}"#;
    sandbox.config(trace).ok();
    compare(&sandbox, "folder").ok();
}

/// A pipe would be waited for, a device never ends.
#[cfg(unix)]
#[test]
fn only_files_are_read() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("folder.safetensors")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", sandbox.path("zero.safetensors")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", sandbox.path("zero.json")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("socket.json")).unwrap();
    refused(&sandbox.run(&["zero.json"]), 2, &["cannot read the config", "it is a device, expected a file"]);
    refused(&sandbox.run(&["socket.json"]), 2, &["it is a socket, expected a file"]);
    refused(&compare(&sandbox, "folder.safetensors"), 2, &["no file in it ends in .npy"]);
    refused(&compare(&sandbox, "zero.json"), 2, &["it is a device, expected a file"]);
    fs::remove_file(sandbox.path("zero.json")).unwrap();
    refused(&compare(&sandbox, "zero.safetensors"), 2, &["it is a device, expected a file"]);
    // A pipe that nobody closes.
    let config = r#"{"check": "compare", "candidate": "/dev/stdin", "model": "builtin:tiny", "token_ids": [2]}"#;
    fs::write(sandbox.path("stdin.json"), config).unwrap();
    for (argument, said) in [
        ("/dev/stdin".into(), "it is a pipe, expected a file"),
        (sandbox.path("stdin.json"), "it is a pipe, expected a file"),
    ] {
        let mut waiting = program();
        let child = waiting.arg(&argument).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let held = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(held);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains(said));
    }
    // As part of a checkpoint.
    let folder = sandbox.checkpoint(SMALL, 1);
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("tokenizer.json")).unwrap();
    let run = sandbox.config(r#"{"check": "embed", "model": "model", "prompt": "x"}"#);
    refused(&run, 2, &["tokenizer.json", "it is a device, expected a file"]);
}

#[test]
fn a_config_of_many_megabytes_is_none() {
    let sandbox = Sandbox::new();
    let text = format!(r#"{{"check": "embed", "model": "builtin:tiny", "prompt": "{}"}}"#, "x".repeat(17 << 20));
    refused(&sandbox.config(&text), 2, &["cannot read the config", "at most"]);
}

/// What could not be said is no success, unless nobody wants to hear more.
#[cfg(target_os = "linux")]
#[test]
fn lost_output_is_an_error_and_a_closed_pipe_is_none() {
    let sandbox = Sandbox::new();
    let text = r#"{"check": "embed", "model": "builtin:tiny", "token_ids": [2, 5], "output": "run"}"#;
    fs::write(sandbox.path("c.json"), text).unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let start = || {
        let mut command = program();
        command.arg("c.json").current_dir(sandbox.path(".")).stdin(Stdio::null());
        command
    };
    let output = start().stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write to stdout: No space left"));
    // The report could be written.
    assert!(sandbox.path("run.json").exists());
    let mut child = start().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    // An error that nobody can be told still has its exit code.
    let status = program().arg("no.json").current_dir(sandbox.path(".")).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

/// The tokenizers' own code panics over this file.
#[test]
fn a_tokenizer_that_panics_is_said_to_be_wrong() {
    let sandbox = Sandbox::new();
    let folder = sandbox.checkpoint(SMALL, 1);
    let text = fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    let mut tokenizer: serde_json::Value = serde_json::from_str(&text).unwrap();
    tokenizer["post_processor"]["single"][0]["SpecialToken"]["id"] = " ".into();
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let run = sandbox.config(r#"{"check": "embed", "model": "model", "prompt": "x y"}"#);
    refused(&run, 2, &["model/tokenizer.json: could not encode the prompt", "panics: no entry found for key"]);
}

/// What does not fit is refused before it is reserved, with how much it would take and what to ask instead.
#[test]
fn what_cannot_fit_is_an_error_and_no_abort() {
    let sandbox = Sandbox::new();
    let ids = format!("[{}2]", "2,".repeat(999_999));
    let run = sandbox.config(&format!(r#"{{"check": "trace", "model": "builtin:tiny", "token_ids": {ids}}}"#));
    refused(&run, 2, &["1000000 tokens would take about", "are free", "a shorter prompt", "\"probes\""]);
    let prompt = "The sky is ".repeat(95_000);
    let run = sandbox.config(&format!(r#"{{"check": "trace", "model": "builtin:tiny", "prompt": "{prompt}"}}"#));
    refused(&run, 2, &["tokens would take about", "are free", "a shorter prompt", "\"probes\""]);
    for dim in ["18446744073709551614", "1099511627776", "1000000000"] {
        let rope = format!(r#"{{"check": "rope", "model": "builtin:tiny", "pos": 1, "dim": {dim}, "theta": 1e4}}"#);
        refused(&sandbox.config(&rope), 2, &["\"dim\"", "from 2 to 16777216"]);
    }
    // 112 GiB that are nowhere on the disk.
    let header = br#"{"norm":{"dtype":"F32","shape":[7,4294967296],"data_offsets":[0,120259084288]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    fs::write(sandbox.path("sparse.safetensors"), &file).unwrap();
    let sparse = File::options().write(true).open(sandbox.path("sparse.safetensors")).unwrap();
    sparse.set_len(file.len() as u64 + 120_259_084_288).unwrap();
    refused(
        &compare(&sandbox, "sparse.safetensors"),
        2,
        &["to judge it would take about", "are free", "\"norm\"", "record fewer"],
    );
}

/// None of a million names is read, or likened to all of ours.
#[test]
fn a_dump_of_very_many_tensors_is_answered() {
    let sandbox = Sandbox::new();
    let mut header = String::from("{");
    for at in 0..200_000 {
        let comma = if at == 0 { "" } else { "," };
        header.push_str(&format!(
            r#"{comma}"layers.0.t{at}":{{"dtype":"U8","shape":[1],"data_offsets":[{at},{}]}}"#,
            at + 1
        ));
    }
    header.push('}');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(vec![0; 200_000]);
    fs::write(sandbox.path("many.safetensors"), file).unwrap();
    let run = compare(&sandbox, "many.safetensors");
    refused(&run, 2, &["none of its 200000 tensors", "\"layers.0.t0\"", "and 199995 more"]);
    assert!(run.stderr.len() < 2000, "{}", run.stderr);
}
