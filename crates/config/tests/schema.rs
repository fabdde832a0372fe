//! The schemas take what the parser takes, and refuse what it refuses.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use loupe_config::{config_schema, matrix_schema, parse, parse_matrix};
use serde_json::{Value, json};

/// A document of each check with every key that it may have, so far as they go together.
fn documents() -> Vec<Value> {
    let computing =
        json!({"backend": "wgpu", "device": "cpu", "dtype": "f32", "precision": "strict", "output": "out/a"});
    let with = |own: Value, shared: &[&Value]| {
        let mut all = own;
        for (key, value) in shared.iter().flat_map(|shared| shared.as_object().unwrap()) {
            all[key] = value.clone();
        }
        all
    };
    let run = json!({"model": "m", "revision": "r", "prompt": "p", "mistakes": ["silu"], "$schema": "s.json"});
    let ids = json!({"model": "m", "token_ids": [2, 3]});
    vec![
        with(json!({"check": "embed"}), &[&run, &computing]),
        with(json!({"check": "attn", "layer": 1}), &[&ids, &computing]),
        with(
            json!({"check": "weights", "model": "m", "layer": 0, "proj": "q", "against": "a.safetensors"}),
            &[&computing],
        ),
        json!({"check": "weights", "model": "m", "tensor": "model.norm.weight"}),
        with(json!({"check": "rope", "model": "m", "pos": 6, "dim": 256, "theta": 1e4}), &[&computing]),
        with(json!({"check": "layer-out", "layers": [0, 1], "token": -1}), &[&run, &computing]),
        with(json!({"check": "trace", "layers": [0], "probes": ["norm", "*.output"]}), &[&run, &computing]),
        with(
            json!({"check": "trace", "layers": [0], "emit": "doppler.boundary-provider-capture/v1"}),
            &[&run, &computing],
        ),
        json!({"check": "names", "candidate": "a.npz", "model": "m", "names": {"x": "norm"}, "output": "out/n"}),
        json!({"check": "explain", "id": "silu", "output": "out/e"}),
        json!({"check": "export", "model": "m", "output": "out/tiny", "mistakes": []}),
        with(
            json!({"check": "compare", "candidates": ["a", "b"], "reference": {"model": "m", "token_ids": [1], "report": "r"},
                "names": {"x": "norm"}, "candidate_dtype": "q4_k", "positions": [0, 2], "policy": {"without": ["silu"]},
                "format": ["text", "json"], "stimulus": true}),
            &[&computing],
        ),
        json!({"check": "compare", "model": "m", "prompt": "p", "format": "json",
            "candidate": {"norm": {"token": -1, "first": [0.5, -1], "from": 3}}}),
        json!({"check": "compare", "candidate": "a", "policy": ["torch", {"without": ["silu"], "rtol": 1e-3, "kl": 0}]}),
        json!({"check": "rejudge", "verdict": "v.json", "policy": [{"atol": 0.5}, "doppler"], "format": ["html"], "output": "out/a"}),
        json!({"model": "m", "prompt": "p"}),
        json!({"model": "m", "layer": 0, "proj": "all", "$schema": "s.json"}),
        json!({"model": "m", "pos": 6, "dim": 256, "theta": 1e4}),
        json!({"model": "m", "prompt": "p", "layer": 0}),
        json!({"model": "m", "prompt": "p", "layers": [0], "token": 0}),
    ]
}

fn matrices() -> Vec<Value> {
    vec![
        json!({"model": "m", "revision": "r", "token_ids": [2], "require": ["wgpu"], "time_limit_s": 5, "format": ["junit"],
            "output": "out/a", "reports": ["r.json"], "$schema": "s.json",
            "checks": ["trace", {"check": "attn", "layer": 0}, {"check": "weights", "tensor": "t"}],
            "runs": [{"backend": "flex", "device": 0, "dtype": "f64", "precision": "strict"},
                {"command": ["./e", "{output}"], "format": "printed", "name": "e", "names": {"x": "norm"}, "positions": [1],
                 "candidate_dtype": "bf16"}]}),
        json!({"reference": {"report": "r"}, "reports": ["a"]}),
    ]
}

/// `document` with one thing changed, somewhere in it.
fn changed(document: &Value) -> Vec<Value> {
    let others =
        [json!(null), json!("x"), json!(-1), json!(1.5), json!([]), json!({}), json!([{}]), json!([0, 0]), json!(true)];
    match document {
        Value::Object(map) => {
            let mut all = Vec::new();
            for (key, value) in map {
                let mut without = map.clone();
                without.shift_remove(key);
                all.push(Value::Object(without));
                for other in changed(value).into_iter().chain(others.iter().cloned()) {
                    let mut with = map.clone();
                    with.insert(key.clone(), other);
                    all.push(Value::Object(with));
                }
            }
            for key in ["layer", "prompt", "token_ids", "candidate", "format", "unknown"] {
                let mut with = map.clone();
                with.entry(key).or_insert(json!("x"));
                all.push(Value::Object(with));
            }
            all
        }
        Value::Array(elements) => {
            let at = |at: usize| {
                changed(&elements[at]).into_iter().chain(others.iter().cloned()).map(move |other| (at, other))
            };
            (0..elements.len())
                .flat_map(at)
                .map(|(at, other)| {
                    let mut with = elements.clone();
                    with[at] = other;
                    Value::Array(with)
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What a parser says of `document` that no schema can: what it refuses must be one of these.
const BEYOND_A_SCHEMA: [&str; 12] = [
    "probe point",
    "ascending order",
    "each row's once",
    "to say where",
    "both named",
    "is there twice",
    "the name of",
    "needs \"runs\" or \"reports\"",
    "needs \"checks\"",
    "needs \"model\"",
    "needs \"prompt\" or \"token_ids\"",
    "asks for {prompt}",
];

fn agree(document: &Value, (schemas, schema): &(Schemas, SchemaIndex), parse: impl Fn(&str) -> Result<(), String>) {
    let (parsed, valid) = (parse(&document.to_string()), schemas.validate(document, *schema));
    match parsed {
        Ok(()) => assert!(valid.is_ok(), "the schema refuses {document}: {}", valid.unwrap_err()),
        Err(error) if valid.is_ok() => {
            // One of them stands in the object, the other beside it.
            let in_two_places = error.contains("are both there") && document.get("reference").is_some();
            let beyond = BEYOND_A_SCHEMA.iter().any(|known| error.contains(known));
            assert!(beyond || in_two_places, "{document} is refused: {error}");
        }
        Err(_) => {}
    }
}

fn said<T>(parsed: Result<T, loupe_config::ConfigError>) -> Result<(), String> {
    parsed.map(drop).map_err(|error| error.to_string())
}

#[test]
fn the_schemas_take_what_the_parser_takes() {
    let path = Path::new("any.json");
    let both = [
        (documents(), config_schema(), &(|text: &str| said(parse(path, text))) as &dyn Fn(&str) -> Result<(), String>),
        (matrices(), matrix_schema(), &|text: &str| said(parse_matrix(path, text))),
    ];
    for (documents, schema, parse) in both {
        let mut compiler = Compiler::new();
        compiler.add_resource("urn:loupe", schema).unwrap();
        let mut schemas = Schemas::new();
        let schema = compiler.compile("urn:loupe", &mut schemas).unwrap();
        let schema = (schemas, schema);
        for document in documents {
            parse(&document.to_string()).unwrap();
            agree(&document, &schema, parse);
            let changed = changed(&document);
            assert!(changed.len() > 15);
            changed.iter().for_each(|changed| agree(changed, &schema, parse));
        }
    }
}

/// Every default that the schemas and the tables name is what leaving the key out means.
#[test]
fn a_default_is_what_leaving_it_out_means() {
    let path = Path::new("any.json");
    let mut count = 0;
    let mut defaults = |schema: &Value, document: &Value, same: &dyn Fn(&str, &str)| {
        for (key, property) in schema["properties"].as_object().unwrap() {
            let Some(default) = property.get("default") else { continue };
            // Of the hub's main branch, and of the matrix's output, somebody else says it.
            if ["revision", "output"].contains(&key.as_str()) {
                continue;
            }
            let (mut with, mut without) = (document.clone(), document.clone());
            with[key] = default.clone();
            without.as_object_mut().unwrap().shift_remove(key);
            same(&with.to_string(), &without.to_string());
            count += 1;
        }
    };
    let schema = config_schema();
    for document in documents().into_iter().filter(|document| document.get("check").is_some()) {
        let of_check = schema["allOf"].as_array().unwrap().iter();
        let mut of_check = of_check.filter(|one| one["if"]["properties"]["check"]["const"] == document["check"]);
        defaults(&of_check.next().unwrap()["then"], &document, &|with, without| {
            let [with, without] = [with, without].map(|text| parse(path, text).unwrap());
            assert_eq!((with.check, with.common), (without.check, without.common));
        });
    }
    defaults(&matrix_schema(), &matrices()[0], &|with, without| {
        let [with, without] = [with, without].map(|text| parse_matrix(path, text).unwrap());
        assert_eq!((with.time_limit, with.format), (without.time_limit, without.format));
    });
    assert!(count > 20, "{count}");
}
