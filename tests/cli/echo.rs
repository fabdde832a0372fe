//! What files say is shown so that it can neither command a terminal, nor pass for a line of Loupe's own, nor fill the
//! screen: one text that tries all three, put wherever a file or a config has a string.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Run, Sandbox};

/// Longest run of letters that a message may show: its own limit.
const SHOWN: usize = loupe_spec::LONGEST_ECHO;

/// Clears the screen, begins a line that reads like a verdict, turns the direction of writing, and is long.
fn hostile() -> String {
    format!("\u{1b}[2J\r\nexact: fine\u{202e}\u{9b}\u{2028}{}", "A".repeat(1000))
}

/// Says nothing that [`hostile`] wants to be said.
#[track_caller]
fn tame(what: &str, run: &Run) {
    let text = format!("{}{}", run.stdout, run.stderr);
    let shown = |c: char| c == '\n' || !loupe_spec::is_obeyed(c);
    assert!(text.chars().all(shown), "{what}: {text:?}");
    let forged = |line: &str| line.trim_start_matches(['│', ' ']).starts_with("exact: fine");
    assert!(!text.lines().any(forged), "{what}: {text}");
    // miette breaks long words.
    let whole: String = text.chars().filter(|c| !['│', ' ', '\n'].contains(c)).collect();
    let longest = whole.split(|c| c != 'A').map(str::len).max().unwrap_or(0);
    assert!(longest <= SHOWN, "{what}: {longest} letters in\n{text}");
    // A cause is part of its message, and is not said again below it.
    assert!(!text.contains("╰─▶"), "{what}: {text}");
    assert!(matches!(run.code, 0..=4), "{what}: exit code {}", run.code);
}

/// `document` with each of its strings in turn, and each of its keys, replaced; with the path to what was replaced.
fn each_replaced(document: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    match document {
        Value::Object(keys) => {
            for (key, value) in keys {
                let with = |key: &str, value: Value| {
                    let mut changed = keys.clone();
                    changed.insert(key.to_string(), value);
                    Value::Object(changed)
                };
                found.push((key.clone(), with(key, hostile().into())));
                for (path, inner) in each_replaced(value) {
                    found.push((format!("{key}.{path}"), with(key, inner)));
                }
            }
            let renamed: Map<String, Value> = keys
                .iter()
                .enumerate()
                .map(|(at, (key, value))| (format!("{}{at}.{key}", hostile()), value.clone()))
                .collect();
            found.push(("every key".to_string(), Value::Object(renamed)));
        }
        Value::Array(elements) => {
            if let Some((first, rest)) = elements.split_first() {
                for (path, inner) in each_replaced(first) {
                    found.push((format!("0.{path}"), [inner].into_iter().chain(rest.iter().cloned()).collect()));
                }
            }
        }
        _ => found.push(("itself".to_string(), hostile().into())),
    }
    found
}

const RUN: &str = r#""model": "builtin:tiny", "token_ids": [2, 5]"#;

#[test]
fn what_a_config_says_is_tame_in_a_message() {
    let sandbox = Sandbox::new();
    sandbox.config(&format!(r#"{{"check": "embed", {RUN}, "output": "run"}}"#)).ok();
    for config in [
        json!({"check": "embed", "model": "builtin:tiny", "prompt": "x", "revision": "x", "backend": "x", "dtype": "x",
            "device": "x", "precision": "x", "mistakes": ["x"]}),
        json!({"check": "embed", "model": "builtin:tiny", "prompt": "x", "device": "0"}),
        json!({"check": "embed", "model": "builtin:tiny", "prompt": "x", "output": "out"}),
        json!({"check": "trace", "model": "builtin:tiny", "prompt": "x", "probes": ["norm"]}),
        json!({"check": "weights", "model": "builtin:tiny", "tensor": "model.norm.weight", "against": "run.safetensors"}),
        json!({"check": "weights", "model": "builtin:tiny", "layer": 0, "proj": "q"}),
        json!({"check": "export", "model": "builtin:tiny", "output": "exported"}),
        json!({"check": "compare", "candidate": "run", "names": {"x": "norm"}, "candidate_dtype": "f32"}),
        json!({"check": "compare", "candidate": "run", "policy": {"without": ["x"]}, "format": ["text"]}),
        json!({"check": "compare", "candidate": "run", "reference": {"report": "run", "prompt": "x"}}),
    ] {
        for (path, changed) in each_replaced(&config) {
            tame(&format!("{path} of {config}"), &sandbox.config(&changed.to_string()));
        }
    }
    let hostile = hostile();
    for mistake in [format!("attn_scale=1@{hostile}"), format!("attn_scale={hostile}"), format!("silu@{hostile}")] {
        let config = json!({"check": "embed", "model": "builtin:tiny", "prompt": "x", "mistakes": [mistake]});
        tame("a mistake", &sandbox.config(&config.to_string()));
    }
    for text in [hostile.clone(), format!(r#"{{"chek": {hostile}"#), format!(r#"{{/*{hostile}*/ "chek": 1}}"#)] {
        tame("no JSON", &sandbox.config(&text));
    }
    let many: Map<String, Value> = (0..500).map(|at| (format!("{}{at}", "A".repeat(999)), json!(1))).collect();
    let run = sandbox.config(&Value::Object(many).to_string());
    tame("many keys", &run);
    assert!(run.stderr.len() < 30_000, "{}", run.stderr.len());
    for argument in [&hostile, &format!("-{hostile}")] {
        tame("an argument", &sandbox.run(&[Path::new(argument)]));
    }
}

/// A prompt of a page is not printed again, whatever is wrong or next.
#[test]
fn a_long_prompt_is_not_printed_in_full() {
    let sandbox = Sandbox::new();
    let ids = vec![2; 1000];
    let page = "A".repeat(1000);
    let config = json!({"check": "embed", "model": "builtin:tiny", "token_ids": ids, "output": "run"});
    let text = sandbox.config(&config.to_string()).ok();
    assert!(text.len() < 6000, "{text}");
    let next = text.lines().find(|line| line.starts_with("next: ")).unwrap();
    assert_eq!(next, r#"next: {"check":"attn","model":"builtin:tiny","layer":0} and the "token_ids" of this config"#);
    let run = sandbox.config(&json!({"check": "embed", "model": "builtin:tiny", "prompt": page}).to_string());
    tame("a prompt", &run);
    assert!(run.ok().contains(r#"and the "prompt" of this config"#));
    // Beside a slip elsewhere in the same line.
    let run =
        sandbox.config(&format!(r#"{{"check": "embed", "model": "builtin:tiny", "prompt": "{page}", "chek": 1}}"#));
    tame("a slip", &run);
    assert!(run.stderr.contains(r#"has no key "chek"; the nearest is "check""#), "{}", run.stderr);
    assert!(run.stderr.contains(r#"", "chek": 1}"#) && run.stderr.contains("this key"), "{}", run.stderr);
    // Another prompt than the candidate's.
    let run = |keys: Value| sandbox.config(&keys.to_string());
    run(json!({"check": "embed", "model": "builtin:tiny", "token_ids": vec![2; 120], "output": "run"})).ok();
    let run = run(json!({"check": "compare", "candidate": "run", "token_ids": vec![5; 120]}));
    assert!(run.stdout.contains("yours are [2, 2, ") && run.stdout.len() < 6000, "{}", run.stdout);
    assert!(run.stdout.contains("different from position 0 on"), "{}", run.stdout);
}

/// Writes a safetensors file with this header and the bytes `data`.
fn tensors(path: &Path, header: &Value, data: &[u8]) {
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(data);
    fs::write(path, file).unwrap();
}

/// Header and data of a safetensors file.
fn parts(path: &Path) -> (Value, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

#[test]
fn what_a_dump_or_a_report_says_is_tame_in_a_message() {
    let sandbox = Sandbox::new();
    let trace = r#""probes": ["embed.raw", "norm", "logits"]"#;
    sandbox.config(&format!(r#"{{"check": "trace", {RUN}, {trace}, "output": "run"}}"#)).ok();
    let (header, data) = parts(&sandbox.path("run.safetensors"));
    let compare = |file: &str, more: Value| {
        let mut config = json!({"check": "compare", "candidate": file});
        config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        sandbox.config(&config.to_string())
    };
    let run = || json!({"model": "builtin:tiny", "token_ids": [2, 5]});
    let mut changes = each_replaced(&header);
    for key in ["norm", "token_ids"] {
        let mut renamed = header.clone();
        let value = renamed.as_object_mut().unwrap().remove(key).unwrap();
        renamed[hostile()] = value;
        changes.push((format!("{key} renamed"), renamed.clone()));
        renamed[hostile()]["shape"] = json!([
            1,
            1,
            renamed[hostile()]["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product::<u64>()
        ]);
        changes.push((format!("{key} renamed and misshapen"), renamed));
    }
    for (what, header) in changes {
        tensors(&sandbox.path("dump.safetensors"), &header, &data);
        tame(&what, &compare("dump.safetensors", run()));
        for probe in ["norm", "token_ids"].into_iter().filter(|_| what.contains("renamed")) {
            let names = json!({"model": "builtin:tiny", "token_ids": [2, 5], "names": {hostile(): probe}});
            tame(&what, &compare("dump.safetensors", names));
        }
        let against = r#"{"check": "weights", "model": "builtin:tiny", "tensor": "model.norm.weight", "against": "dump.safetensors"}"#;
        tame(&what, &sandbox.config(against));
    }
    let report: Value = serde_json::from_slice(&fs::read(sandbox.path("run.json")).unwrap()).unwrap();
    fs::copy(sandbox.path("run.safetensors"), sandbox.path("report.safetensors")).unwrap();
    for (what, report) in each_replaced(&report) {
        fs::write(sandbox.path("report.json"), report.to_string()).unwrap();
        tame(&what, &compare("report", json!({})));
        tame(&what, &compare("run", json!({"reference": {"report": "report"}})));
    }
    fs::write(sandbox.path("report.json"), format!(r#"{{"schema": "{}/", {}"#, "loupe.report", hostile())).unwrap();
    tame("no JSON", &compare("report", json!({})));
}

#[test]
fn what_a_checkpoint_says_is_tame_in_a_message() {
    let sandbox = Sandbox::new();
    sandbox.config(r#"{"check": "export", "model": "builtin:tiny", "output": "original"}"#).ok();
    let embed = r#"{"check": "embed", "model": "model", "token_ids": [2, 50]}"#;
    let prompt = r#"{"check": "embed", "model": "model", "prompt": "The sky"}"#;
    let folder = sandbox.path("model");
    fs::create_dir(&folder).unwrap();
    let fresh = || {
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            fs::copy(sandbox.path("original").join(name), folder.join(name)).unwrap();
        }
    };
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(sandbox.path("original").join(name)).unwrap()).unwrap()
    };
    fresh();
    for (what, config) in each_replaced(&read("config.json")) {
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        tame(&what, &sandbox.config(embed));
    }
    fresh();
    let mut tokenizer = read("tokenizer.json");
    // Thousands of pieces make the same of a message; a token of the prompt is another matter.
    let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let sky = vocab.iter().find(|(piece, _)| piece.contains("sk")).map(|(piece, _)| piece.clone()).unwrap();
    let id = vocab.remove(&sky).unwrap();
    let mut changes = Vec::new();
    for (key, value) in tokenizer.as_object().unwrap() {
        let mut changed = tokenizer.clone();
        changed[key.as_str()] = hostile().into();
        changes.push((key.clone(), changed));
        for (inner, _) in value.as_object().into_iter().flatten().filter(|_| key == "model") {
            let mut changed = tokenizer.clone();
            changed["model"][inner.as_str()] = hostile().into();
            changes.push((inner.clone(), changed));
        }
    }
    tokenizer["model"]["vocab"][hostile()] = id;
    changes.push(("a piece".to_string(), tokenizer.clone()));
    tokenizer["added_tokens"][0]["content"] = hostile().into();
    changes.push(("an added token".to_string(), tokenizer));
    for (what, tokenizer) in changes {
        fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        tame(&what, &sandbox.config(prompt));
    }
    fresh();
    let (header, data) = parts(&folder.join("model.safetensors"));
    let mut renamed = header.clone();
    let norm = renamed.as_object_mut().unwrap().remove("model.norm.weight").unwrap();
    renamed[hostile()] = norm;
    let mut typed = header.clone();
    typed["model.norm.weight"]["dtype"] = hostile().into();
    let all: Map<String, Value> = header
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (format!("{}{name}", hostile()), value.clone()))
        .collect();
    for header in [renamed, typed, all.into()] {
        tensors(&folder.join("model.safetensors"), &header, &data);
        tame("a header", &sandbox.config(embed));
    }
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    let map = |name: &str, file: &str| json!({"weight_map": {name: file}});
    for index in [
        map(&hostile(), "x.safetensors"),
        map("model.norm.weight", &hostile()),
        map("model.norm.weight", &format!("../{}", hostile())),
        json!({"weight_map": hostile()}),
    ] {
        fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
        tame("an index", &sandbox.config(embed));
    }
}
