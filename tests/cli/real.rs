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

/// Four decimals hide what they hide, and the verdict says so.
#[test]
fn printed_numbers_are_judged_as_such() {
    let (run, right) = judge("right/outputs.json", "");
    assert_eq!((run.code, right["detail"].as_str()), (0, Some("4_decimals")), "{} {right:#}", run.stderr);
    let (run, wrong) = judge("gelu_erf/outputs.json", "");
    let named: Vec<&str> = wrong["mistakes"].as_array().unwrap().iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!((run.code, named), (1, vec!["gelu_erf"]), "{} {wrong:#}", run.stderr);
}
