#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{HubSettings, is_hub_id};
use crate::testing::SMALL;
use crate::{Checkpoint, write_random};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn settings(cache: &Path, endpoint: &str, offline: bool) -> HubSettings {
    HubSettings { cache: cache.into(), offline, endpoint: endpoint.into(), token: None, progress: false }
}

/// A hub on this machine that has the files of `folder` at [`COMMIT`], or answers everything with `status`.
/// Returns its address and the requests it has seen.
fn stub(folder: Option<&Path>, status: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, folder) = (seen.clone(), folder.map(Path::to_path_buf));
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let path = request.first().unwrap().split(' ').nth(1).unwrap().to_string();
            let name = path.rsplit('/').next().unwrap();
            let body = folder.as_ref().map(|folder| fs::read(folder.join(name)));
            log.lock().unwrap().push(path.clone());
            let answer = match body {
                None => format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes(),
                Some(Err(_)) => b"HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
                Some(Ok(body)) => {
                    let probe = request.iter().any(|line| line.ends_with("bytes=0-0"));
                    let part = if probe { body.get(..1).unwrap() } else { &body };
                    let head = format!(
                        "HTTP/1.1 206 Partial\r\nx-repo-commit: {COMMIT}\r\netag: \"{name}\"\r\ncontent-length: {}\r\n\
                         content-range: bytes 0-{}/{}\r\nconnection: close\r\n\r\n",
                        part.len(),
                        part.len() - 1,
                        body.len()
                    );
                    [head.as_bytes(), part].concat()
                }
            };
            stream.write_all(&answer).unwrap();
        }
    });
    (address, seen)
}

#[test]
fn fetches_each_file_when_it_is_needed_and_never_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let [there, cache] = ["there", "cache"].map(|name| scratch.path().join(name));
    write_random(SMALL, &there, 2, 1, &mut |_, _| ()).unwrap();
    let (address, seen) = stub(Some(&there), 200);
    let open = || Checkpoint::open_with("org/name", None, &settings(&cache, &address, false)).unwrap();

    let checkpoint = open();
    assert_eq!(checkpoint.revision(), Some(COMMIT));
    assert!(seen.lock().unwrap().iter().all(|path| path == "/org/name/resolve/main/config.json"));
    let id = checkpoint.tensors().unwrap().id().to_string();
    let requests = seen.lock().unwrap().clone();
    // The rest is read at the commit that main was, in case main moves.
    assert!(requests.contains(&format!("/org/name/resolve/{COMMIT}/model-00002-of-00002.safetensors")), "{requests:?}");
    assert!(!requests.iter().any(|path| path.contains("tokenizer")));
    assert!(checkpoint.encode("a").unwrap_err().to_string().contains("token_ids"));

    seen.lock().unwrap().clear();
    assert_eq!(open().tensors().unwrap().id(), id);
    assert!(seen.lock().unwrap().is_empty());
    // The same cache serves without the network, by branch and by commit.
    for revision in [None, Some("main"), Some(COMMIT)] {
        let offline = Checkpoint::open_with("org/name", revision, &settings(&cache, &address, true)).unwrap();
        assert_eq!(offline.tensors().unwrap().id(), id);
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn offline_says_where_it_looked_and_asks_nobody() {
    let scratch = tempfile::tempdir().unwrap();
    let (address, seen) = stub(None, 500);
    let error = Checkpoint::open_with("org/name", None, &settings(scratch.path(), &address, true)).unwrap_err();
    let text = error.to_string();
    for part in ["HF_HUB_OFFLINE", "config.json", "models--org--name", "HF_HOME"] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    // A config.json alone: the tensors are what is missing.
    let snapshot = scratch.path().join("models--org--name/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("config.json"), SMALL).unwrap();
    let half = Checkpoint::open_with("org/name", Some(COMMIT), &settings(scratch.path(), &address, true)).unwrap();
    let text = half.tensors().unwrap_err().to_string();
    assert!(text.contains("model.safetensors") && text.contains("HF_HUB_OFFLINE"), "{text}");
    let text = half.encode("a").unwrap_err().to_string();
    assert!(text.contains("tokenizer.json") && text.contains("HF_HUB_OFFLINE"), "{text}");
    fs::write(snapshot.join("model.safetensors.index.json"), r#"{"weight_map":{"a":"b.safetensors"}}"#).unwrap();
    let text = half.tensors().unwrap_err().to_string();
    assert!(text.contains("b.safetensors") && text.contains("HF_HUB_OFFLINE"), "{text}");
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn a_gated_model_says_how_to_get_in() {
    let scratch = tempfile::tempdir().unwrap();
    for status in [401, 403] {
        let (address, _) = stub(None, status);
        let mut settings = settings(scratch.path(), &address, false);
        let text = Checkpoint::open_with("org/name", None, &settings).unwrap_err().to_string();
        for part in ["accept the licence", "/org/name", "HF_TOKEN", "hf auth login"] {
            assert!(text.contains(part), "{part} not in {text}");
        }
        settings.token = Some("secret".into());
        let text = Checkpoint::open_with("org/name", None, &settings).unwrap_err().to_string();
        assert!(text.contains("the token set is not allowed") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn a_hub_without_the_model_and_no_hub_at_all_both_mention_the_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let (address, _) = stub(None, 404);
    // Port 9 (discard) has no listener.
    for (endpoint, part) in [(address.as_str(), "no such model"), ("http://127.0.0.1:9", "HF_ENDPOINT")] {
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
