//! Dumps whose rows are not the tokens of the prompt, and that do not say which tokens were run.

use std::collections::BTreeMap;

use loupe_dump::Dump;
use loupe_spec::HostTensor;
use serde_json::{Value, json};

use crate::Sandbox;

/// What the engine ran.
const RAN: [u32; 7] = [2, 356, 366, 361, 359, 369, 371];

/// Every stage of the built-in model over [`RAN`], with `mistakes` planted, but no ids.
fn recorded(mistakes: &str) -> BTreeMap<String, HostTensor> {
    let sandbox = Sandbox::new();
    let config = format!(
        r#"{{"check": "trace", "model": "builtin:tiny", "token_ids": {RAN:?}, "mistakes": {mistakes}, "output": "run"}}"#
    );
    sandbox.config(&config).ok();
    let (_, file) = loupe_report::read(&sandbox.path("run")).unwrap();
    let names = file.names().into_iter().filter(|name| name != "token_ids");
    names.map(|name| (name.clone(), file.get(&name).unwrap())).collect()
}

/// Exit code, text and verdict of the tensors whose names `keep` keeps, of a config that asks for `input`.
fn judged(
    tensors: &BTreeMap<String, HostTensor>,
    keep: impl Fn(&str) -> bool,
    dumped: &[i64],
    input: &str,
) -> (i32, String, Value) {
    let sandbox = Sandbox::new();
    let mut dump = Dump::new();
    for (name, tensor) in tensors.iter().filter(|(name, _)| keep(name)) {
        let values: Vec<f32> = tensor.values.to_f64().into_iter().map(|value| value as f32).collect();
        dump.add(name, &tensor.shape, &values).unwrap();
    }
    if !dumped.is_empty() {
        let ids: Vec<u32> = dumped.iter().map(|id| *id as u32).collect();
        dump.add("token_ids", &[ids.len()], &ids).unwrap();
    }
    dump.save(sandbox.path("dump.safetensors")).unwrap();
    let config = format!(
        r#"{{"check": "compare", "model": "builtin:tiny", "candidate": "dump.safetensors", "output": "v"{input}}}"#
    );
    let run = sandbox.config(&config);
    assert_eq!(run.stderr, "");
    let verdict: Value = serde_json::from_slice(&std::fs::read(sandbox.path("v.json")).unwrap()).unwrap();
    (run.code, run.stdout, verdict["verdicts"][0].clone())
}

fn names(verdict: &Value) -> Vec<&str> {
    verdict["mistakes"].as_array().unwrap().iter().filter_map(|mistake| mistake["id"].as_str()).collect()
}

const WITHOUT_BOS: &str = ", \"token_ids\": [356, 366, 361, 359, 369, 371]";

/// The rows are of `<bos>` and the config's ids: nothing else explains them, and a mistake is found all the same.
#[test]
fn a_bos_that_the_config_leaves_out_is_seen_by_the_rows() {
    let few = |name: &str| name == "logits" || name == "layers.1.output";
    let (code, text, verdict) = judged(&recorded("[]"), few, &[], WITHOUT_BOS);
    let said = "yours are [2, 356, 366, 361, 359, 369, 371] (by its rows)";
    assert!(code == 1 && text.contains("architectural: token ids differ: ") && text.contains(said), "{text}");
    assert!(text.contains("next: nothing else is wrong: "), "{text}");
    assert_eq!(verdict["first_divergence"], Value::Null, "{text}");

    let (code, text, verdict) = judged(&recorded(r#"["gelu_erf"]"#), few, &[], WITHOUT_BOS);
    assert_eq!((code, names(&verdict)), (1, vec!["gelu_erf"]), "{text}");
    assert!(text.starts_with("architectural: token ids differ; gelu_erf"), "{text}");
    assert!(text.contains(said), "{text}");

    // The dump's own ids may be those without it.
    let (code, text, _) = judged(&recorded("[]"), few, &[356, 366, 361, 359, 369, 371], "");
    assert!(code == 1 && text.contains(said), "{text}");
}

/// The rows of embeddings say which tokens they are, however many there are.
#[test]
fn another_prompt_of_another_length_is_read_off_the_embeddings() {
    for input in [WITHOUT_BOS, ", \"prompt\": \"The colour of the sky is\""] {
        let (code, text, verdict) = judged(&recorded("[]"), |_| true, &[], input);
        let said = "yours are [2, 356, 366, 361, 359, 369, 371] (by its embeddings)";
        assert!(code == 1 && text.contains(said) && text.contains("next: nothing else is wrong"), "{text}");
        assert_eq!(verdict["first_divergence"], Value::Null, "{text}");
    }
}

/// Without embeddings nothing says which other prompt it was; it is asked for.
#[test]
fn rows_of_no_prompt_that_is_known_are_asked_about() {
    let few = |name: &str| name == "logits" || name.ends_with("o_proj");
    let (code, text, verdict) = judged(&recorded("[]"), few, &[], ", \"prompt\": \"The colour of the sky is\"");
    assert_eq!((code, &verdict["other_rows"]), (1, &json!(7)), "{text}");
    let first = text.lines().next().unwrap();
    assert!(first.ends_with("; or another prompt was run: yours has 7 rows, this one 9 tokens"), "{text}");
    assert!(text.contains("next: your tensors have 7 rows, and the prompt 9 tokens: give the ids"), "{text}");
    // With the right ids the question is gone.
    let (code, text, verdict) = judged(&recorded("[]"), few, &[], ", \"prompt\": \"The color of the sky is\"");
    assert_eq!((code, &verdict["other_rows"]), (0, &Value::Null), "{text}");
}

/// What was tried and not taken leaves no inputs behind: the folder holds those that the verdict lists.
#[test]
fn stimuli_are_those_of_the_prompt_that_was_taken() {
    let sandbox = Sandbox::new();
    let mut dump = Dump::new();
    let run = recorded("[]");
    for (name, tensor) in run.iter().filter(|(name, _)| *name == "logits") {
        let values: Vec<f32> = tensor.values.to_f64().into_iter().map(|value| value as f32).collect();
        dump.add(name, &tensor.shape, &values).unwrap();
    }
    dump.save(sandbox.path("dump.safetensors")).unwrap();
    let head = r#""check": "compare", "model": "builtin:tiny", "candidate": "dump.safetensors", "output": "v""#;
    let run = sandbox.config(&format!(r#"{{{head}, "stimulus": true{WITHOUT_BOS}}}"#));
    assert!(run.code == 1 && run.stdout.contains("(by its rows)"), "{}{}", run.stdout, run.stderr);
    let verdict: Value = serde_json::from_slice(&std::fs::read(sandbox.path("v.json")).unwrap()).unwrap();
    let listed: std::collections::BTreeSet<String> = verdict["verdicts"][0]["stimuli"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stimulus| stimulus["name"].as_str().unwrap().to_string())
        .collect();
    let written = std::fs::read_dir(sandbox.path("v-stimulus")).into_iter().flatten();
    let written = written.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(listed, written, "{}", run.stdout);
}
