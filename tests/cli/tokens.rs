//! An engine that runs other tokens than the prompt's is told which mistake makes them so.

use crate::Sandbox;

fn compared(mistakes: &str) -> (i32, String) {
    let sandbox = Sandbox::new();
    let prompt = r#""model": "builtin:tiny", "prompt": "The color of the sky is""#;
    let traced = sandbox.config(&format!(r#"{{"check": "trace", {prompt}{mistakes}, "output": "run"}}"#));
    assert_eq!(traced.code, 0, "{}", traced.stderr);
    let judged =
        sandbox.config(&format!(r#"{{"check": "compare", {prompt}, "candidate": "run.json", "output": "v"}}"#));
    (judged.code, std::fs::read_to_string(sandbox.path("v.json")).unwrap())
}

#[test]
fn each_mistake_of_the_prompt_is_named() {
    for id in ["bos_missing", "bos_twice", "space_prefix"] {
        let (code, verdict) = compared(&format!(", \"mistakes\": [\"{id}\"]"));
        let verdict: serde_json::Value = serde_json::from_str(&verdict).unwrap();
        let verdict = &verdict["verdicts"][0];
        assert_eq!(code, 1, "{id}");
        assert_eq!(verdict["verdict"], "architectural", "{id}");
        assert_eq!(verdict["mistakes"][0]["id"], *id);
        assert_eq!(verdict["mistakes"][0]["probe"], "token_ids");
        // Which of both was meant is for the reader to say.
        assert!(verdict["next"].as_str().unwrap().contains("\"token_ids\" in the place of \"prompt\""), "{verdict:#}");
        // With its own tokens it computes right.
        assert_eq!(verdict["mistakes"].as_array().unwrap().len(), 1, "{id}");
    }
    assert_eq!(compared("").0, 0);
}

#[test]
fn a_parameter_may_have_another_value() {
    let sandbox = Sandbox::new();
    let ids = r#""model": "builtin:tiny", "token_ids": [2, 51, 34, 76, 61, 3, 48]"#;
    let run = sandbox
        .config(&format!(r#"{{"check": "trace", {ids}, "mistakes": ["attn_scale=0.1234@1"], "output": "run"}}"#));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let judged = sandbox.config(r#"{"check": "compare", "candidate": "run.json", "output": "v"}"#);
    assert_eq!(judged.code, 1);
    let text = std::fs::read_to_string(sandbox.path("v.json")).unwrap();
    let verdict: serde_json::Value = serde_json::from_str(&text).unwrap();
    let fitted = &verdict["verdicts"][0]["fitted"][0];
    assert_eq!(fitted["parameter"], "attn_scale");
    assert!((fitted["value"].as_f64().unwrap() / 0.1234 - 1.0).abs() < 1e-6, "{fitted}");
    assert_eq!(fitted["layers"], serde_json::json!([1]));

    for (wrong, said) in [
        ("atn_scale=1", "the nearest is \"attn_scale\""),
        ("attn_scale=fast", "expected a number"),
        ("attn_scale=1@9", "does not touch \"9\""),
    ] {
        let run = sandbox.config(&format!(r#"{{"check": "trace", {ids}, "mistakes": ["{wrong}"], "output": "x"}}"#));
        assert_eq!(run.code, 2);
        assert!(run.stderr.split_whitespace().collect::<Vec<_>>().join(" ").contains(said), "{}", run.stderr);
    }
}

#[test]
fn an_id_that_is_left_out_is_not_named_and_has_to_exist() {
    let sandbox = Sandbox::new();
    let run = sandbox.config(
        r#"{"check": "trace", "model": "builtin:tiny", "prompt": "The sky", "mistakes": ["silu"], "output": "run"}"#,
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let without = |id: &str| {
        sandbox.config(&format!(
            r#"{{"check": "compare", "candidate": "run.json", "policy": {{"without": ["{id}"]}}, "output": "v"}}"#
        ))
    };
    let judged = without("silu");
    assert_eq!(judged.code, 1);
    assert!(
        judged.stdout.starts_with("architectural: layers.0.mlp.act differs by more than rounding"),
        "{}",
        judged.stdout
    );
    let unknown = without("silo");
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("\"silu\""), "{}", unknown.stderr);
}
