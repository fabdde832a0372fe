//! Files that numpy, torch, transformers, safetensors and Python's json wrote (tests/fixtures/forms.py), each right and with
//! one mistake.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Run, Sandbox, repository};

const IDS: &str = "[2, 17, 63, 5, 41, 41, 79, 8, 30, 17, 52]";

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

fn judge(candidate: &str, keys: &str) -> (Run, Value) {
    let (model, candidate) = (fixture("parity"), fixture("forms").join(candidate));
    let run = Sandbox::new().config(&format!(
        r#"{{"check": "compare", "model": {model:?}, "candidate": {candidate:?}, "token_ids": {IDS}, "format": "json"{keys}}}"#
    ));
    let verdict: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
    let verdict = verdict["verdicts"][0].clone();
    (run, verdict)
}

#[test]
fn what_others_write_is_read_and_judged() {
    for (form, said) in [
        ("outputs.npz", "names: Hugging Face modules"),
        ("outputs.pt", "names: Hugging Face modules"),
        ("f64.npz", "names: Hugging Face modules"),
        ("hooks.pt", "axes in the order lanes, tokens"),
        ("hooks.safetensors", "names: Hugging Face modules"),
        ("npy", "names: DOPPLER stages"),
        ("bin", "names: llama.cpp's graph"),
    ] {
        let (run, right) = judge(&format!("right/{form}"), "");
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{form}: {} {right:#}", run.stderr);
        let notes = right["notes"].to_string();
        assert!(notes.contains(said), "{form}: {notes}");
        let (run, wrong) = judge(&format!("gelu_erf/{form}"), "");
        let named: Vec<&str> = wrong["mistakes"].as_array().unwrap().iter().filter_map(|m| m["id"].as_str()).collect();
        assert_eq!((run.code, named), (1, vec!["gelu_erf"]), "{form}: {} {wrong:#}", run.stderr);
    }
}

/// msProbe's tensors and statistics, and SGLang's dumper (tests/fixtures/debuggers.py), of a run of `mini`.
#[test]
fn what_debuggers_record_is_judged() {
    let judge = |candidate: &str| {
        let (model, candidate) = (fixture("mini"), fixture("debuggers").join(candidate));
        let run = Sandbox::new().config(&format!(
            r#"{{"check": "compare", "model": {model:?}, "candidate": {candidate:?}, "token_ids": [2, 3, 4, 5, 6], "format": "json"}}"#
        ));
        let verdict: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        (run, verdict["verdicts"][0].clone())
    };
    for (form, stages) in [("msprobe", 29), ("msprobe-statistics", 37), ("sglang", 29)] {
        let (run, right) = judge(&format!("right/{form}"));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{form}: {right:#}");
        assert!(right["coverage"]["probes"].as_u64() >= Some(stages), "{form}: {:#}", right["coverage"]);
        let (run, wrong) = judge(&format!("gelu_erf/{form}"));
        let named: Vec<&str> = wrong["mistakes"].as_array().unwrap().iter().filter_map(|m| m["id"].as_str()).collect();
        assert_eq!((run.code, named), (1, vec!["gelu_erf"]), "{form}: {} {wrong:#}", run.stderr);
    }
}

/// What is no number does not vanish from the statistics: Python writes NaN, which is no JSON.
#[test]
fn statistics_that_are_no_numbers_are_a_fault() {
    let sandbox = Sandbox::new();
    let text = std::fs::read_to_string(fixture("debuggers/right/msprobe-statistics/dump.json")).unwrap();
    let (before, after) = text.split_once("Module.model.layers.1.mlp.Gemma2MLP.forward.0\"").unwrap();
    let (input, output) = after.split_once("\"output\"").unwrap();
    let output = output.replacen("\"Max\": ", "\"Max\": NaN, \"Was\": ", 1);
    let broken = format!("{before}Module.model.layers.1.mlp.Gemma2MLP.forward.0\"{input}\"output\"{output}");
    std::fs::write(sandbox.path("dump.json"), broken).unwrap();
    let model = fixture("mini");
    let run = sandbox.config(&format!(
        r#"{{"check": "compare", "model": {model:?}, "candidate": "dump.json", "token_ids": [2, 3, 4, 5, 6]}}"#
    ));
    let said = "note: layers.1.mlp.down_proj: there are NaN or infinities among its values";
    assert!(run.code == 3 && run.stdout.contains(said), "{} {}", run.code, run.stdout);
}

/// llama.cpp's model-conversion scripts write the last token's logits, and beside them the ids.
#[test]
fn logits_with_their_token_file_need_no_prompt() {
    let sandbox = Sandbox::new();
    let golden = loupe_report::read_safetensors(&fixture("parity/golden-f32.safetensors")).unwrap();
    let (logits, ids) = (golden.get("logits").unwrap(), golden.get("token_ids").unwrap());
    let last = logits.token(10).into_iter().flat_map(|value| (value as f32).to_le_bytes());
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(sandbox.path(name), bytes).unwrap();
    write("pytorch-parity.bin", last.collect());
    write(
        "pytorch-parity-tokens.bin",
        ids.values.to_f64().into_iter().flat_map(|id| (id as i32).to_le_bytes()).collect(),
    );
    let norm = golden.get("norm").unwrap().values.to_f64();
    write("llamacpp-parity-embeddings.bin", norm.into_iter().flat_map(|value| (value as f32).to_le_bytes()).collect());
    let judge = |candidate: &str, keys: &str| {
        let run = sandbox.config(&format!(
            r#"{{"check": "compare", "model": {:?}, "candidate": {candidate:?}, "format": "json"{keys}}}"#,
            fixture("parity")
        ));
        let verdict: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        let coverage = &verdict["verdicts"][0]["coverage"];
        (run.code, coverage["values"].as_u64(), run.stderr)
    };
    assert_eq!(judge("pytorch-parity.bin", ""), (0, Some(80), String::new()));
    assert_eq!(
        judge("llamacpp-parity-embeddings.bin", &format!(r#", "token_ids": {IDS}"#)),
        (0, Some(11 * 28), String::new())
    );
}

/// Four decimals hide what they hide, and the verdict says so.
#[test]
fn printed_numbers_are_judged_as_such() {
    let (run, right) = judge("right/outputs.json", "");
    assert_eq!((run.code, right["detail"].as_str()), (0, Some("4_decimals")), "{} {right:#}", run.stderr);
    let (run, wrong) = judge("gelu_erf/outputs.json", "");
    let named: Vec<&str> = wrong["mistakes"].as_array().unwrap().iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!((run.code, named), (1, vec!["gelu_erf"]), "{} {wrong:#}", run.stderr);
}
