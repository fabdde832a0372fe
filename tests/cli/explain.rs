//! What a name in a verdict means.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Sandbox;

fn explain(sandbox: &Sandbox, id: &str) -> String {
    sandbox.config(&format!(r#"{{"check": "explain", "id": "{id}"}}"#)).ok()
}

#[test]
fn every_mistake_is_in_the_catalogue_and_is_explained() {
    let sandbox = Sandbox::new();
    let table = sandbox.config(r#"{"check": "explain", "output": "catalogue"}"#).ok();
    let catalogue: Value =
        serde_json::from_str(&std::fs::read_to_string(sandbox.path("catalogue.json")).unwrap()).unwrap();
    let mistakes = catalogue["mistakes"].as_array().unwrap();
    let planted = loupe_runtime_ids();
    assert_eq!(mistakes.iter().map(name).collect::<BTreeSet<_>>(), planted);
    for mistake in mistakes {
        let (id, formula) = (mistake["id"].as_str().unwrap(), &mistake["formula"]);
        assert!(table.contains(&format!("| {} ", name(mistake))), "{table}");
        assert_ne!(formula["right"], formula["wrong"], "{id}");
        assert!(!mistake["stages"].as_array().unwrap().is_empty(), "{id}");
        let text = explain(&sandbox, id);
        for said in
            [&formula["right"], &formula["wrong"], &mistake["right"], &mistake["hidden_when"], &mistake["seen_in"]]
        {
            assert!(text.contains(said.as_str().unwrap()), "{id}: {said} is not in\n{text}");
        }
    }
}

/// The catalogue as the engine plants it.
fn loupe_runtime_ids() -> BTreeSet<String> {
    loupe_runtime::mistakes().iter().map(|mistake| mistake.name()).collect()
}

fn name(mistake: &Value) -> String {
    let id = mistake["id"].as_str().unwrap();
    mistake["variant"].as_str().map_or(id.to_string(), |variant| format!("{id}--{variant}"))
}

#[test]
fn a_probe_point_is_explained_by_any_of_its_names() {
    let sandbox = Sandbox::new();
    for name in ["layers.{l}.mlp.act", "layers.1.mlp.act", "mlp.act"] {
        let text = explain(&sandbox, name);
        assert!(text.starts_with("layers.{l}.mlp.act: gelu_tanh(gate_proj)"), "{text}");
        for said in ["[T, F]", "layers.{l}.mlp.gate_proj", "gelu_erf, silu"] {
            assert!(text.contains(said), "{said} is not in\n{text}");
        }
    }
}

/// Where a value comes from is said of every layer, and of what is outside of them.
#[test]
fn a_probe_point_is_told_what_it_is_computed_from() {
    let sandbox = Sandbox::new();
    for (name, from) in [("layers.3.input", "embed.scaled, layers.{l - 1}.output"), ("norm", "layers.{last}.output")] {
        let text = explain(&sandbox, name);
        assert!(text.lines().any(|line| line.trim() == format!("from         {from}")), "{text}");
    }
}

#[test]
fn other_names_of_a_verdict_are_explained_too() {
    let sandbox = Sandbox::new();
    for (id, said) in [
        ("tf32", "products of TF32 operands"),
        ("q4_k", "in blocks to 4 bits a value"),
        ("attn_scale", "query_pre_attn_scalar^-0.5"),
        ("norm_eps--none", "The norm has no epsilon."),
    ] {
        let text = explain(&sandbox, id);
        assert!(text.starts_with(&format!("{id}: ")) && text.contains(said), "{text}");
    }
    let unknown = sandbox.config(r#"{"check": "explain", "id": "gelu_eff"}"#);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""));
    assert!(unknown.stderr.contains("the nearest is \"gelu_erf\""), "{}", unknown.stderr);
    // It is of no model.
    let model = sandbox.config(r#"{"check": "explain", "model": "builtin:tiny"}"#);
    assert!(model.code == 2 && model.stderr.contains("\"model\""), "{}", model.stderr);
}
