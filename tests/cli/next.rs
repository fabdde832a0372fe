//! Each verdict ends with what to do now, and doing it leads on.

use std::collections::BTreeMap;

use loupe_spec::HostTensor;
use serde_json::Value;

use crate::{Sandbox, repository};

/// The verdict on what `keep` keeps of a run of `mini` that transformers made.
fn judge(run: &str, keep: impl Fn(&str) -> bool, keys: &str) -> Value {
    let sandbox = Sandbox::new();
    let file = loupe_report::read_safetensors(&repository().join("tests/fixtures/mistakes").join(run)).unwrap();
    let names = file.names().into_iter().filter(|name| keep(name));
    let tensors: BTreeMap<String, HostTensor> = names.map(|name| (name.clone(), file.get(&name).unwrap())).collect();
    sandbox.dump(&tensors);
    let model = repository().join("tests/fixtures/mini");
    let head = format!(r#""check": "compare", "model": {model:?}, "candidate": "dump.safetensors", "format": "json""#);
    let run = sandbox.config(&format!("{{{head}{keys}}}"));
    let verdicts: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
    assert!(!verdicts.is_null(), "{}", run.stderr);
    verdicts["verdicts"][0].clone()
}

fn next(verdict: &Value) -> &str {
    verdict["next"].as_str().unwrap()
}

fn outputs(name: &str) -> bool {
    name == "token_ids" || name == "logits" || name.ends_with(".output")
}

/// What an inconclusive verdict asks to have recorded decides.
#[test]
fn what_is_asked_for_decides() {
    let run = "benign-tf32.safetensors";
    let verdict = judge(run, outputs, "");
    assert_eq!(verdict["verdict"], "inconclusive", "{run}: {verdict:#}");
    let asked = next(&verdict);
    assert!(asked.contains("point \"model\" at its weights, dequantised"), "{asked}");
    let more = judge(run, |name| outputs(name) || asked.contains(name), "");
    assert_eq!(more["verdict"], "numeric", "{run}: {asked}\n{more:#}");
    // Or what it asks to have said.
    let (_, said) = asked.split_once("\"candidate_dtype\": ").unwrap();
    let dtype = said.split(',').next().unwrap();
    let told = judge(run, outputs, &format!(", \"candidate_dtype\": {dtype}"));
    assert_eq!(told["verdict"], "numeric", "{run}: {dtype}\n{told:#}");
}

#[test]
fn a_name_leads_to_the_check_that_shows_the_stage() {
    for (run, said) in [
        ("scale_head_dim.safetensors", r#"{"check":"attn","model":"#),
        ("gelu_erf.safetensors", r#""probes":["layers.0.mlp.act"]"#),
        ("embed_scale_missing.safetensors", r#"{"check":"embed","model":"#),
    ] {
        let verdict = judge(run, |_| true, "");
        let asked = next(&verdict);
        assert!(asked.contains(said), "{run}: {asked}");
        // It is a config that runs.
        let (_, config) = asked.split_once("run the config ").unwrap();
        assert_eq!(Sandbox::new().config(config).code, 0, "{config}");
    }
}

/// The verdict on the first four values that `run` has for `token` of three stages.
fn judge_some(run: &str, token: impl Fn(usize) -> usize) -> Value {
    let file = loupe_report::read_safetensors(&repository().join("tests/fixtures/mistakes").join(run)).unwrap();
    let (sandbox, model) = (Sandbox::new(), repository().join("tests/fixtures/mini"));
    let ids: Vec<i64> = file.get("token_ids").unwrap().values.to_f64().into_iter().map(|id| id as i64).collect();
    let token = token(ids.len());
    let mut typed = serde_json::Map::new();
    for name in ["logits", "norm", "embed.scaled"] {
        let first: Vec<f64> = file.get(name).unwrap().token(token).into_iter().take(4).collect();
        typed.insert(name.to_string(), serde_json::json!({"token": token, "first": first}));
    }
    let config = serde_json::json!({
        "check": "compare", "model": model, "token_ids": ids, "candidate": typed, "format": "json",
    });
    let verdicts: Value = serde_json::from_str(&sandbox.config(&config.to_string()).ok()).unwrap();
    verdicts["verdicts"][0].clone()
}

/// After a few values, the tensor is named at which most of what they hide would show; recorded, it shows it.
#[test]
fn a_fragment_leads_to_the_tensor_that_decides() {
    let run = "benign-reversed-sums.safetensors";
    let verdict = &judge_some(run, |tokens| tokens - 1);
    let hidden = |verdict: &Value| -> Vec<String> {
        let unseen = verdict["unseen"].as_array().unwrap().iter().filter(|unseen| unseen.get("sites").is_none());
        unseen.map(|unseen| unseen["id"].as_str().unwrap().to_string()).collect()
    };
    let asked = next(verdict);
    let (probe, shown) =
        asked.strip_prefix("record ").unwrap().split_once(" whole and what it is computed from: it shows ").unwrap();
    let shown: Vec<&str> = shown.split(" and ").next().unwrap().split(", ").collect();
    assert!(shown.iter().all(|id| hidden(verdict).contains(&id.to_string())), "{asked}");
    let layer = probe.split('.').take(2).collect::<Vec<_>>().join(".");
    let more = judge(run, |name| name == "token_ids" || name.starts_with(&layer), "");
    assert!(shown.iter().all(|id| !hidden(&more).contains(&id.to_string())), "{asked}: {:?}", hidden(&more));
}

#[test]
fn the_first_token_leads_to_a_later_one() {
    let verdict = judge_some("benign-reversed-sums.safetensors", |_| 0);
    assert!(next(&verdict).starts_with("record a later token as well"), "{}", next(&verdict));
}

#[test]
fn a_right_verdict_says_what_it_did_not_see() {
    let verdict =
        judge("benign-reversed-sums.safetensors", |name| name == "token_ids" || name == "layers.0.output", "");
    assert!(next(&verdict).starts_with("record logits as well"), "{}", next(&verdict));
}
