//! What an input hides, and the inputs that Loupe writes to show it: each mistake that a stimulus is said to show is
//! planted in a run of that stimulus, and the judge has to name it.

use std::path::Path;

use serde_json::{Value, json};

use crate::Sandbox;

/// As 2B hides things: one scale where head_dim and query_pre_attn_scalar are equal, sqrt(hidden_size) exact, a window
/// longer than any prompt, scores far below the cap, mean squares far above epsilon.
const HIDING: &str = r#"{"model_type":"gemma2","vocab_size":412,"hidden_size":16,"intermediate_size":12,
    "num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"query_pre_attn_scalar":4,
    "rms_norm_eps":1e-13}"#;

/// Runs the model in `folder`, as an engine with `mistakes` would, and records it as `name`.
fn engine(sandbox: &Sandbox, folder: &str, token_ids: &Value, dtype: &str, mistakes: &[&str], name: &str) {
    let mut config = json!({"check": "trace", "model": folder, "token_ids": token_ids, "dtype": dtype, "output": name});
    if !mistakes.is_empty() {
        config["mistakes"] = json!(mistakes);
    }
    sandbox.config(&config.to_string()).ok();
}

/// The verdict on `candidate`, and what was printed of it.
fn verdict(sandbox: &Sandbox, candidate: &str, more: &[(&str, Value)]) -> (Value, String) {
    let mut config = json!({"check": "compare", "candidate": format!("{candidate}.safetensors"), "output": "v"});
    for (key, value) in more {
        config[*key] = value.clone();
    }
    let run = sandbox.config(&config.to_string());
    assert_eq!(run.stderr, "");
    (read(&sandbox.path("v.json"))["verdicts"][0].clone(), run.stdout)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn texts(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_string()).collect()
}

#[test]
fn what_an_input_hides_is_named_on_the_stimulus() {
    let sandbox = Sandbox::new();
    sandbox.checkpoint(HIDING, 1);
    let ids = json!([2, 5, 7, 9]);
    engine(&sandbox, "model", &ids, "bf16", &[], "right");
    let (plain, text) = verdict(&sandbox, "right", &[]);
    let hidden = ["window_everywhere", "scale_head_dim", "attn_softcap_missing", "norm_eps"];
    for id in hidden {
        assert!(texts(&plain["unseen"], "id").contains(&id.to_string()), "{id} is not hidden: {plain:#}");
    }
    assert!(text.contains("next: add \"stimulus\": true and an \"output\""), "{text}");

    let asked = [("stimulus", json!(true)), ("format", json!(["text", "html"]))];
    let (designed, text) = verdict(&sandbox, "right", &asked);
    let page = std::fs::read_to_string(sandbox.path("v.html")).unwrap();
    let title = "to see what this input hides:";
    assert!(text.contains(title) && page.contains(&format!("<h2>{title}</h2>")), "{text}");
    let stimuli = designed["stimuli"].as_array().unwrap();
    for folder in texts(&designed["stimuli"], "folder") {
        let use_it = format!("then: loupe {folder}/compare.json");
        assert!(text.contains(&use_it) && page.contains(&format!("{use_it}</li>")), "{text}");
    }
    let of = |id: &str| designed["unseen"].as_array().unwrap().iter().find(|unseen| unseen["id"] == id).unwrap();
    // hidden_size stays what it is, and its root stays exact.
    assert!(of("embed_scale_rounded")["no_stimulus"].as_str().unwrap().contains("exact in bf16"), "{designed:#}");
    // In bf16 erf-GELU is a fraction of the noise whatever the input: nothing claims to show it.
    assert_eq!(of("gelu_erf")["told_by"], Value::Null, "{designed:#}");
    for id in hidden {
        let told_by = &of(id)["told_by"];
        let stimulus = stimuli.iter().find(|stimulus| stimulus["name"] == *told_by).unwrap();
        let folder = stimulus["folder"].as_str().unwrap();
        assert_eq!(read(&sandbox.path(folder).join("token_ids.json")), stimulus["token_ids"]);
        // Not on the first input …
        engine(&sandbox, "model", &ids, "bf16", &[id], "wrong");
        assert_eq!(texts(&verdict(&sandbox, "wrong", &[]).0["mistakes"], "id"), [""; 0], "{id}");
        // … but on this one.
        engine(&sandbox, folder, &stimulus["token_ids"], "bf16", &[id], &format!("{folder}/ENGINE_DUMP"));
        let judged = sandbox.run(&[format!("{folder}/compare.json")]);
        assert_eq!((judged.code, judged.stderr.as_str()), (1, ""), "{id}: {}", judged.stdout);
        assert!(judged.stdout.contains(&format!("architectural: {id},")), "{id}: {}", judged.stdout);
    }
    for stimulus in stimuli {
        let folder = stimulus["folder"].as_str().unwrap();
        engine(&sandbox, folder, &stimulus["token_ids"], "bf16", &[], &format!("{folder}/ENGINE_DUMP"));
        assert_eq!(sandbox.run(&[format!("{folder}/compare.json")]).code, 0, "a right engine on {folder}");
    }

    // Once more: the folders are written anew, and what the engine left there stays.
    verdict(&sandbox, "right", &[("stimulus", json!(true))]);
    let folder = stimuli[0]["folder"].as_str().unwrap();
    assert!(sandbox.path(folder).join("ENGINE_DUMP.safetensors").is_file());
}

/// No other input helps where nothing was recorded that a mistake could change.
#[test]
fn what_was_not_recorded_is_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.checkpoint(HIDING, 1);
    let few =
        json!({"check": "trace", "model": "model", "token_ids": [2, 5], "probes": ["embed.raw"], "output": "few"});
    sandbox.config(&few.to_string()).ok();
    let (judged, text) = verdict(&sandbox, "few", &[("stimulus", json!(true))]);
    assert_eq!(judged["stimuli"], json!([]), "{judged:#}");
    let silu = judged["unseen"].as_array().unwrap().iter().find(|unseen| unseen["id"] == "silu").unwrap();
    assert!(silu["no_stimulus"].as_str().unwrap().starts_with("record layers.0.mlp.act"), "{silu:#}");
    assert!(text.contains("no stimulus for silu: record") && !text.contains("\"stimulus\": true"), "{text}");
}

/// At four tokens and a window of three, one key more is all keys.
#[test]
fn mistakes_that_explain_a_run_alike_are_told_apart() {
    let sandbox = Sandbox::new();
    let mini = crate::repository().join("tests/fixtures/mini").display().to_string();
    engine(&sandbox, &mini, &json!([2, 5, 7, 9]), "f32", &["window_off_by_one"], "wrong");
    // Not asked for: the input is described and nothing is written.
    let (judged, text) = verdict(&sandbox, "wrong", &[]);
    let described = &judged["stimuli"][0];
    assert_eq!(described["folder"], Value::Null, "{judged:#}");
    assert!(described["token_ids"].as_array().unwrap().len() > 4, "{described:#}");
    assert!(text.contains("to tell apart what fits alike") && text.contains("tells window_"), "{text}");

    let (judged, text) = verdict(&sandbox, "wrong", &[("stimulus", json!(true))]);
    let named = &judged["mistakes"][0];
    let pair = json!([named["id"], named["alternatives"][0]]);
    let mut both = [pair[0].as_str().unwrap(), pair[1].as_str().unwrap()];
    let said = format!("tells {} from {}", both[0], both[1]);
    both.sort_unstable();
    assert_eq!(both, ["window_nowhere", "window_off_by_one"], "{judged:#}");
    let stimulus = &judged["stimuli"].as_array().unwrap().iter().find(|s| s["tells_apart"] == json!([pair])).unwrap();
    assert!(text.contains(&said), "{text}");
    let folder = stimulus["folder"].as_str().unwrap();
    for id in ["window_off_by_one", "window_nowhere"] {
        engine(&sandbox, folder, &stimulus["token_ids"], "f32", &[id], "again");
        let (judged, _) = verdict(&sandbox, "again", &[]);
        assert_eq!(
            (texts(&judged["mistakes"], "id"), &judged["mistakes"][0]["alternatives"]),
            (vec![id.to_string()], &json!([]))
        );
    }
}

/// No weight changes for a window: the files are the fixture's own, by a second name.
#[test]
fn weights_that_stay_are_linked() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("model");
    std::fs::create_dir(&folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(crate::repository().join("tests/fixtures/mini").join(name), folder.join(name)).unwrap();
    }
    engine(&sandbox, "model", &json!([2, 5, 7]), "f32", &[], "right");
    let (judged, _) = verdict(&sandbox, "right", &[("stimulus", json!(true))]);
    let linked = &judged["stimuli"][0];
    assert!(texts(&json!([{"c": linked["changed"].to_string()}]), "c")[0].contains("hard links"), "{linked:#}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let [one, two] = [folder, sandbox.path(linked["folder"].as_str().unwrap())]
            .map(|folder| std::fs::metadata(folder.join("model.safetensors")).unwrap().ino());
        assert_eq!(one, two);
    }
}
