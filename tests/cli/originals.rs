//! The five documents of the original scripts run unchanged, on a Hugging Face cache that has their model: of
//! gemma-2-2b-it's depth and head size, but thin, so that it fits a test.

use crate::{Sandbox, repository};

const COMMIT: &str = "299a8560bedf22ed1c72a8a11e7dce4a7f9f51f8";

/// What gemma-2-2b-it's documents rely on: 26 layers, head_dim 256, theta 10000.
const THIN: &str = r#"{"model_type":"gemma2","vocab_size":412,"hidden_size":120,"intermediate_size":16,
    "num_hidden_layers":26,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":256,"rope_theta":10000.0}"#;

fn with_a_cache() -> Sandbox {
    let mut sandbox = Sandbox::new();
    let model = sandbox.checkpoint(THIN, 2);
    let folder = sandbox.path("cache/models--google--gemma-2-2b-it");
    std::fs::create_dir_all(folder.join("refs")).unwrap();
    std::fs::write(folder.join("refs/main"), COMMIT).unwrap();
    std::fs::create_dir_all(folder.join("snapshots")).unwrap();
    std::fs::rename(model, folder.join("snapshots").join(COMMIT)).unwrap();
    sandbox.variables = vec![("HF_HUB_CACHE", sandbox.path("cache"))];
    sandbox
}

#[test]
fn run_unchanged_and_say_which_check_was_meant() {
    let sandbox = with_a_cache();
    for (check, prints) in [
        ("embed", "layer 0 output"),
        ("attn", "after RoPE, first 8 of head 0"),
        ("weights", "sha256 on disk"),
        ("rope", "rotated (neighbours, NOT Gemma's)"),
        ("layer-out", "final norm of layer 25 (transformers' hidden_states[-1])"),
    ] {
        let document = std::fs::read_to_string(repository().join(format!("configs/{check}.json"))).unwrap();
        assert!(document.starts_with("//") && !document.contains("\"check\""), "{document}");
        let text = sandbox.shipped(&format!("{check}.json")).ok();
        assert!(text.starts_with(&format!("loupe {check} (no \"check\" key")), "{text}");
        for part in ["google/gemma-2-2b-it", prints] {
            assert!(text.contains(part), "{part} not in {text}");
        }
    }
    let weights = sandbox.shipped("weights.json").ok();
    // Wide enough here for the original script's own element.
    assert!(!weights.contains("rows have"), "{weights}");
}

#[test]
fn a_report_names_the_commit() {
    let sandbox = with_a_cache();
    let config =
        r#"{"check": "embed", "model": "google/gemma-2-2b-it", "revision": "main", "token_ids": [2], "output": "run"}"#;
    sandbox.config(config).ok();
    let (report, _) = loupe_report::read(&sandbox.path("run")).unwrap();
    assert_eq!(report.model.revision.as_deref(), Some(COMMIT));
}

#[test]
fn a_dim_or_theta_unlike_the_checkpoints_is_a_finding() {
    let sandbox = Sandbox::new();
    for (keys, finding) in [
        (r#""dim": 256, "theta": 10000.0"#, "dim is 256, but this checkpoint's head_dim is 16"),
        (r#""dim": 16, "theta": 500.0"#, "theta is 500, but this checkpoint's rope_theta is 10000"),
    ] {
        let run = sandbox.config(&format!(r#"{{"model": "builtin:tiny", "pos": 6, {keys}}}"#));
        assert_eq!((run.code, run.stderr.as_str()), (1, ""));
        assert!(run.stdout.contains(&format!("FINDING: {finding}")), "{}", run.stdout);
    }
}

#[test]
fn without_the_model_and_without_the_network_the_error_says_where_it_was_looked_for() {
    let run = Sandbox::new().shipped("embed.json");
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    for part in ["google/gemma-2-2b-it", "HF_HUB_OFFLINE", "huggingface"] {
        assert!(run.stderr.contains(part), "{part} not in {}", run.stderr);
    }
}
