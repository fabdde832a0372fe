#![allow(clippy::unwrap_used)]

mod disturbed;
mod python;
mod server;
mod trust;

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::patience::Patience;
use super::{HubModel, HubSettings, is_hub_id};
use crate::testing::SMALL;
use crate::{Checkpoint, CheckpointError, write_random};
use server::{Answer, COMMIT, Files, Server};

fn settings(cache: &Path, endpoint: &str, offline: bool) -> HubSettings {
    // Nobody waits, and nothing fails because this machine is slow.
    let patience = Patience {
        answer: Duration::from_secs(60),
        read: Duration::from_secs(60),
        slowest: (0, Duration::from_secs(60)),
        pause: Duration::from_millis(1),
        ..Patience::new(None, None)
    };
    HubSettings { cache: cache.into(), offline, endpoint: endpoint.into(), token: None, progress: false, patience }
}

/// Fetches `file` of `org/name` at `main`; its content, or what is said of it.
fn fetch(file: &str, settings: &HubSettings) -> Result<Option<Vec<u8>>, String> {
    let model = HubModel::known("org/name", "main", settings);
    let path = model.download(file).map_err(|error: CheckpointError| error.to_string())?;
    Ok(path.map(|path| fs::read(path).unwrap()))
}

/// What is said where `file` of `org/name` cannot be fetched.
fn refused(file: &str, settings: &HubSettings) -> String {
    fetch(file, settings).unwrap_err()
}

#[test]
fn fetches_each_file_when_it_is_needed_and_never_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let [there, cache] = ["there", "cache"].map(|name| scratch.path().join(name));
    write_random(SMALL, &there, 2, 1, &mut |_, _| ()).unwrap();
    let hub = Server::hub(Files::of(&there));
    let open = || Checkpoint::open_with("org/name", None, &settings(&cache, &hub.address, false)).unwrap();

    let checkpoint = open();
    assert_eq!(checkpoint.revision(), Some(COMMIT));
    assert!(hub.seen().iter().all(|request| request.path == "/org/name/resolve/main/config.json"));
    let id = checkpoint.tensors().unwrap().id().to_string();
    let asked: Vec<String> = hub.seen().into_iter().map(|request| request.path).collect();
    // The rest is read at the commit that main was, in case main moves.
    assert!(asked.contains(&format!("/org/name/resolve/{COMMIT}/model-00002-of-00002.safetensors")), "{asked:?}");
    assert!(!asked.iter().any(|path| path.contains("tokenizer")));
    assert!(checkpoint.encode("a").unwrap_err().to_string().contains("token_ids"));

    hub.forget();
    assert_eq!(open().tensors().unwrap().id(), id);
    assert!(hub.seen().is_empty());
    // The same cache serves without the network, by branch and by commit.
    for revision in [None, Some("main"), Some(COMMIT)] {
        let offline = Checkpoint::open_with("org/name", revision, &settings(&cache, &hub.address, true)).unwrap();
        assert_eq!(offline.tensors().unwrap().id(), id);
    }
    assert!(hub.seen().is_empty());
}

#[test]
fn offline_says_where_it_looked_and_asks_nobody() {
    let scratch = tempfile::tempdir().unwrap();
    let hub = Server::new(|_, _| Answer::new(500));
    let error = Checkpoint::open_with("org/name", None, &settings(scratch.path(), &hub.address, true)).unwrap_err();
    let text = error.to_string();
    for part in ["HF_HUB_OFFLINE", "config.json", "models--org--name", "HF_HOME"] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    // A config.json alone: the tensors are what is missing.
    let snapshot = scratch.path().join("models--org--name/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("config.json"), SMALL).unwrap();
    let half = Checkpoint::open_with("org/name", Some(COMMIT), &settings(scratch.path(), &hub.address, true)).unwrap();
    let text = half.tensors().unwrap_err().to_string();
    assert!(text.contains("model.safetensors") && text.contains("HF_HUB_OFFLINE"), "{text}");
    let text = half.encode("a").unwrap_err().to_string();
    assert!(text.contains("tokenizer.json") && text.contains("HF_HUB_OFFLINE"), "{text}");
    fs::write(snapshot.join("model.safetensors.index.json"), r#"{"weight_map":{"a":"b.safetensors"}}"#).unwrap();
    let text = half.tensors().unwrap_err().to_string();
    assert!(text.contains("b.safetensors") && text.contains("HF_HUB_OFFLINE"), "{text}");
    assert!(hub.seen().is_empty());
}

#[test]
fn a_gated_model_says_how_to_get_in() {
    let scratch = tempfile::tempdir().unwrap();
    for status in [401, 403] {
        let hub = Server::new(move |_, _| Answer::new(status));
        let mut settings = settings(scratch.path(), &hub.address, false);
        let text = Checkpoint::open_with("org/name", None, &settings).unwrap_err().to_string();
        for part in ["accept the licence", "/org/name", "HF_TOKEN", "hf auth login"] {
            assert!(text.contains(part), "{part} not in {text}");
        }
        settings.token = Some("secret".into());
        let text = Checkpoint::open_with("org/name", None, &settings).unwrap_err().to_string();
        assert!(text.contains("the token set is not allowed") && !text.contains("secret"), "{text}");
        // A token that has run out gets a 401 even for what anybody may read.
        assert_eq!(text.contains("it is no token any more"), status == 401, "{text}");
        assert_eq!(hub.seen().len(), 2, "each time it is asked once");
    }
}

#[test]
fn a_hub_without_the_model_and_no_hub_at_all_both_mention_the_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let hub = Server::new(|_, _| Answer::new(404));
    // Port 9 (discard) has no listener.
    for (endpoint, part) in [(hub.address.as_str(), "no such model"), ("http://127.0.0.1:9", "HF_ENDPOINT")] {
        let error =
            Checkpoint::open_with("fixtures/tiny", None, &settings(scratch.path(), endpoint, false)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("no folder \"fixtures/tiny\" in /"), "{text}");
    }
}

/// A misspelt folder reads as an id of the hub.
#[test]
fn the_folder_that_was_meant_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    // Tests run in the folder of their crate.
    let settings = settings(scratch.path(), "http://127.0.0.1:9", false);
    let text = Checkpoint::open_with("src/hubb", None, &settings).unwrap_err().to_string();
    assert!(text.contains("no folder \"src/hubb\" in /") && text.contains("the nearest is \"src/hub\""), "{text}");
}

#[test]
fn a_revision_cannot_lead_out_of_the_cache() {
    let scratch = tempfile::tempdir().unwrap();
    for revision in ["../../..", "/etc", "a/../b", "", "a b"] {
        let error =
            Checkpoint::open_with("org/name", Some(revision), &settings(scratch.path(), "http://127.0.0.1:9", false));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("no name of a branch"), "{text}");
    }
}

#[test]
fn hub_ids_are_told_from_paths() {
    for id in ["google/gemma-2-2b-it", "a/b.c_d"] {
        assert!(is_hub_id(id), "{id}");
    }
    for path in ["gemma", "/abs/path", "./x", "../x", "a/b/c", "a/", "~/x", "a b/c", "a\\b", "a/b--c", "org/.."] {
        assert!(!is_hub_id(path), "{path}");
    }
}
