//! Others' tolerances beside a verdict, and a saved verdict held against others.

use std::collections::BTreeMap;

use loupe_spec::{Dtype, HostTensor, Values};
use serde_json::{Value, json};

use crate::Sandbox;

/// Judges a run of the built-in model with erf-GELU in it, for a verdict at out/v.
fn judged(policy: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let trace = r#"{"check": "trace", "model": "builtin:tiny", "prompt": "The color of the sky is", "mistakes": ["gelu_erf"], "output": "out/t"}"#;
    sandbox.config(trace).ok();
    let compare =
        format!(r#"{{"check": "compare", "model": "builtin:tiny", "candidate": "out/t", "output": "out/v"{policy}}}"#);
    assert_eq!(sandbox.config(&compare).code, 1);
    sandbox
}

fn read(sandbox: &Sandbox, name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(sandbox.path(name)).unwrap()).unwrap()
}

const POLICY: &str =
    r#"["torch", "polygraphy", "llama-nmse", "doppler", {"cosine": 0.999}, {"rtol": 1e-3, "atol": 1e-5}]"#;

#[test]
fn a_saved_verdict_is_judged_again_as_it_would_have_been_at_once() {
    let at_once = judged(&format!(r#", "policy": {POLICY}"#));
    let sandbox = judged("");
    let saved = read(&sandbox, "out/v.json");
    assert_eq!(saved["verdicts"][0]["tolerated"], Value::Null);
    // Neither the candidate nor the model is asked again.
    std::fs::remove_file(sandbox.path("out/t.safetensors")).unwrap();
    let run = sandbox.config(&format!(
        r#"{{"check": "rejudge", "verdict": "out/v.json", "policy": {POLICY}, "output": "out/again"}}"#
    ));
    // The verdict stays what it was.
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stdout.starts_with("architectural: gelu_erf, in every layer"), "{}", run.stdout);
    assert_eq!(read(&sandbox, "out/again.json"), read(&at_once, "out/v.json"));

    let mut again = read(&sandbox, "out/again.json");
    let tolerated = again["verdicts"][0].as_object_mut().unwrap().remove("tolerated").unwrap();
    assert_eq!(again, saved, "nothing else changed");
    let of = |at: usize, key: &str| tolerated[at][key].clone();
    // erf-GELU is off by more than torch allows, in the four stages that Loupe calls wrong and in what comes after them.
    assert_eq!(
        of(0, "own_inputs"),
        json!({"of": 97, "failing": 4, "first": "layers.0.mlp.act", "right_but_fail": 0, "wrong_but_pass": 0})
    );
    assert!(of(0, "from_token_ids")["right_but_fail"].as_u64() > Some(20), "{tolerated}");
    // Its mean square is small, and its direction nearly the same.
    for at in [2, 4] {
        assert_eq!(
            of(at, "own_inputs"),
            json!({"of": 97, "failing": 0, "first": null, "right_but_fail": 0, "wrong_but_pass": 4})
        );
        assert_eq!(of(at, "from_token_ids"), of(at, "own_inputs"));
    }
    for line in [
        "others' tolerances, which decide nothing here",
        "  alone     fails 4 of 97 stages, first layers.0.mlp.act",
        "passes all; it passes 4 that Loupe calls wrong",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
}

/// JSON has no infinity: what is beyond every tolerance is so when it is read again.
#[test]
fn what_is_no_number_fails_when_it_is_read_again_too() {
    let sandbox = judged("");
    let file = loupe_report::read_safetensors(&sandbox.path("out/t.safetensors")).unwrap();
    let mut tensors: BTreeMap<String, HostTensor> =
        file.names().into_iter().map(|name| (name.clone(), file.get(&name).unwrap())).collect();
    let logits = tensors.get_mut("logits").unwrap();
    let mut values = logits.values.to_f64();
    values[3] = f64::NEG_INFINITY;
    logits.values = Values::F64(values).to_dtype(Dtype::F32);
    sandbox.dump(&tensors);
    let policy = r#""policy": [{"kl": 1e9}, {"ulp": 1e30}, {"cosine": 0}, "torch", "polygraphy", "llama-nmse"]"#;
    let compare =
        r#"{"check": "compare", "model": "builtin:tiny", "candidate": "dump.safetensors", "output": "out/b", "#;
    sandbox.config(&format!("{compare}{policy}}}"));
    let again = format!(r#"{{"check": "rejudge", "verdict": "out/b", "output": "out/again", {policy}}}"#);
    let run = sandbox.config(&again);
    assert!(
        run.stdout.contains("\nown 3\n") && run.stdout.contains("listed under \"unseen\" in out/b.json"),
        "{}",
        run.stdout
    );
    let (at_once, again) = (read(&sandbox, "out/b.json"), read(&sandbox, "out/again.json"));
    assert_eq!(again["verdicts"][0]["tolerated"], at_once["verdicts"][0]["tolerated"]);
    for one in again["verdicts"][0]["tolerated"].as_array().unwrap() {
        let logits = one["stages"].as_array().unwrap().last().unwrap();
        assert_eq!((&logits["probe"], &logits["own_inputs"]), (&json!("logits"), &Value::Null), "{one}");
    }
}

#[test]
fn several_candidates_each_have_their_own() {
    let sandbox = judged("");
    let config = r#"{"check": "compare", "model": "builtin:tiny", "candidates": ["out/t", "out/t"], "policy": "torch", "output": "out/two"}"#;
    let run = sandbox.config(config);
    assert_eq!(run.stdout.matches("others' tolerances, which decide nothing here: out/t").count(), 2, "{}", run.stdout);
    // A page of a saved verdict has what the verdict has, and so no pictures.
    let run =
        sandbox.config(r#"{"check": "rejudge", "verdict": "out/two.json", "policy": "doppler", "format": "html", "output": "out/page"}"#);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let page = std::fs::read_to_string(sandbox.path("out/page.html")).unwrap();
    assert_eq!(page.matches("<h2>Others&#39; tolerances").count() + page.matches("<h2>Others' tolerances").count(), 2);
    assert!(page.contains("doppler, alone"));
}

#[test]
fn what_is_no_verdict_is_refused() {
    let sandbox = judged("");
    let refused = |name: &str, reason: &str| {
        let run = sandbox.config(&format!(r#"{{"check": "rejudge", "verdict": "{name}", "policy": "torch"}}"#));
        assert_eq!(run.code, 2, "{}", run.stdout);
        assert!(run.stderr.contains(reason) && run.stderr.contains("\"output\""), "{}", run.stderr);
    };
    refused("out/t.json", "its schema is \"loupe.report");
    refused("out/none.json", "No such file");
    let text = std::fs::read_to_string(sandbox.path("out/v.json")).unwrap();
    std::fs::write(sandbox.path("old.json"), text.replace("\"decisive\"", "\"other\"")).unwrap();
    refused("old.json", "missing field `decisive`");
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut verdicts: Value = serde_json::from_str(&text).unwrap();
        edit(&mut verdicts);
        std::fs::write(sandbox.path("edited.json"), verdicts.to_string()).unwrap();
    };
    edited(&|verdicts| verdicts["verdicts"] = json!([]));
    refused("edited.json", "it holds no verdict");
    // A page has a column for each layer.
    edited(&|verdicts| verdicts["verdicts"][0]["coverage"]["of_layers"] = json!(1u64 << 62));
    refused("edited.json", "layers, expected 4096 at most");
    // What the program ends with is not the file's to say.
    edited(&|verdicts| {
        verdicts["exit_code"] = json!(77);
        verdicts["verdicts"][0]["exit_code"] = json!(0);
    });
    assert_eq!(sandbox.config(r#"{"check": "rejudge", "verdict": "edited.json", "policy": "torch"}"#).code, 1);
    // A hundred thousand names that were not recorded take no longer than they are long.
    edited(&|verdicts| {
        let names: Vec<Value> = (0..100_000).map(|at| json!({"stage": format!("x{at}"), "layers": []})).collect();
        verdicts["verdicts"][0]["coverage"]["not_recorded"] = json!(names);
    });
    let page =
        r#"{"check": "rejudge", "verdict": "edited.json", "policy": "torch", "format": "html", "output": "page"}"#;
    assert_eq!(sandbox.config(page).code, 1);
    // Nor is the saved one overwritten.
    let run = sandbox.config(r#"{"check": "rejudge", "verdict": "out/v.json", "policy": "torch", "output": "out/v"}"#);
    assert!(run.code == 2 && run.stderr.contains("would overwrite out/v.json"), "{}", run.stderr);
    // Whatever a file says is text.
    std::fs::write(sandbox.path("evil.json"), text.replace("erf form", "\\u001b[31merf form")).unwrap();
    let run = sandbox.config(r#"{"check": "rejudge", "verdict": "evil.json", "policy": "torch"}"#);
    assert!(run.stdout.contains("erf form") && !run.stdout.contains('\u{1b}'), "{}", run.stdout);
}
