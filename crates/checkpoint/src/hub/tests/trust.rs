//! Whom the token is told, and what of an answer is believed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::server::{Answer, COMMIT, Files, Request, Server, etag};
use super::{fetch, refused, settings};
use crate::Checkpoint;

const BODY: &[u8] = b"the bytes of a file";
const FILE: &str = "model.safetensors";

/// Everything below `folder`, and what is in it.
fn everything(folder: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(everything(&entry));
        } else {
            found.insert((entry.display().to_string(), fs::read(&entry).unwrap_or_default()));
        }
    }
    found
}

#[test]
fn the_token_goes_to_no_other_host() {
    for file in [FILE, "config.json"] {
        let scratch = tempfile::tempdir().unwrap();
        let files = Files::one(file, BODY);
        let elsewhere = Server::hub(files.clone());
        let to = elsewhere.address.clone();
        // A hub that links to its large files, and one that has moved altogether.
        let hub = Server::new(move |request, _| match file {
            FILE => files.linked(request, &to),
            _ => Answer::redirect(format!("{to}{}", request.path)),
        });
        let mut settings = settings(scratch.path(), &hub.address, false);
        settings.token = Some("secret".into());
        assert_eq!(fetch(file, &settings).unwrap().unwrap(), BODY);
        let told = |request: &Request| request.header("authorization").map(str::to_string);
        assert!(hub.seen().iter().all(|request| told(request).as_deref() == Some("Bearer secret")));
        let seen = elsewhere.seen();
        assert!(!seen.is_empty() && !format!("{seen:?}").contains("secret"), "{seen:?}");
    }
}

#[test]
fn the_token_goes_on_within_the_host() {
    let scratch = tempfile::tempdir().unwrap();
    let files = Files::one(FILE, BODY);
    let hub = Server::new(move |request, _| match request.path.strip_prefix("/org/name/") {
        // As a model that was renamed.
        Some(rest) => Answer::redirect(format!("/org/new/{rest}")),
        None => files.answer(request),
    });
    let mut settings = settings(scratch.path(), &hub.address, false);
    settings.token = Some("secret".into());
    assert_eq!(fetch(FILE, &settings).unwrap().unwrap(), BODY);
    assert!(hub.seen().iter().all(|request| request.header("authorization") == Some("Bearer secret")));
}

#[test]
fn a_token_that_no_header_can_hold_is_not_shown() {
    let scratch = tempfile::tempdir().unwrap();
    let hub = Server::hub(Files::one(FILE, BODY));
    let mut settings = settings(scratch.path(), &hub.address, false);
    settings.token = Some("se\ncret".into());
    let text = refused(FILE, &settings);
    assert!(text.contains("HF_TOKEN") && !text.contains("cret"), "{text}");
    assert!(hub.seen().is_empty());
}

#[test]
fn no_answer_leads_out_of_the_cache() {
    let good = etag(FILE, BODY);
    for (commit, hash, part) in [
        (COMMIT, "\"../../../../../x\"", "for the file's hash (ETag), expected 40 or 64 digits of hex"),
        (COMMIT, "\"x\"", "for the file's hash (ETag)"),
        ("../../../..", good.as_str(), "for the commit, expected 40 digits of hex"),
        ("main", good.as_str(), "for the commit"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let cache = scratch.path().join("a/b/c/cache");
        fs::create_dir_all(&cache).unwrap();
        // What such an answer would overwrite.
        for place in ["x", "a/x", "a/b/x", "a/b/c/x", FILE] {
            fs::write(scratch.path().join(place), b"mine").unwrap();
        }
        let before = everything(scratch.path());
        let (said_commit, said_hash) = (commit.to_string(), hash.to_string());
        let hub = Server::new(move |_, _| {
            Answer::new(200).body(BODY).with("x-repo-commit", &said_commit).with("etag", &said_hash)
        });
        let text = refused(FILE, &settings(&cache, &hub.address, false));
        assert!(text.contains(part), "{text}");
        assert_eq!(everything(scratch.path()), before, "{commit} {hash}");
    }
}

#[test]
fn another_commit_than_was_asked_for_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let hub = Server::hub(Files::one("config.json", BODY));
    let asked = COMMIT.replace('0', "f");
    let error = Checkpoint::open_with("org/name", Some(&asked), &settings(scratch.path(), &hub.address, false));
    let text = error.unwrap_err().to_string();
    assert!(text.contains(&asked) && text.contains(COMMIT), "{text}");
}

#[test]
fn bytes_that_are_not_the_announced_ones_are_refused_and_not_kept() {
    for file in [FILE, "config.json"] {
        let scratch = tempfile::tempdir().unwrap();
        let hub = Server::new(move |request, _| {
            let wrong: Vec<u8> = BODY.iter().rev().copied().collect();
            let body = if request.is_get() { wrong.as_slice() } else { BODY };
            Answer::new(200).body(body).with("x-repo-commit", COMMIT).with("etag", etag(file, BODY))
        });
        let text = refused(file, &settings(scratch.path(), &hub.address, false));
        let kind = if file == FILE { "SHA-256" } else { "git's SHA-1" };
        assert!(text.contains(&format!("what came has {kind}")) && text.contains("nothing of it was kept"), "{text}");
        let left: Vec<String> = everything(scratch.path()).into_iter().map(|(path, _)| path).collect();
        assert!(left.iter().all(|path| path.ends_with(".lock")), "{left:?}");
        // The next one, from a server that is right, has nothing to do with it.
        let right = Server::hub(Files::one(file, BODY));
        assert_eq!(fetch(file, &settings(scratch.path(), &right.address, false)).unwrap().unwrap(), BODY);
    }
}

#[test]
fn more_or_less_than_was_announced_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    for (body, part) in
        [(&b"<html>log in</html> and more"[..], "would come, expected 19"), (b"no", "2 bytes (text/html)")]
    {
        let hub = Server::new(move |request, _| {
            let body = if request.is_get() { body } else { BODY };
            let answer = Answer::new(200).body(body).with("content-type", "text/html");
            answer.with("x-repo-commit", COMMIT).with("etag", etag(FILE, BODY))
        });
        let text = refused(FILE, &settings(scratch.path(), &hub.address, false));
        assert!(text.contains(part), "{text}");
    }
    // One that says no length beforehand, and does not end.
    let files = Files::one(FILE, BODY);
    let hub = Server::new(move |request, _| match request.is_get() {
        true => Answer::new(200).body(&BODY.repeat(1000)).without_length(),
        false => files.answer(request),
    });
    let text = refused(FILE, &settings(scratch.path(), &hub.address, false));
    assert!(text.contains("more than the expected 19 bytes came; nothing was kept"), "{text}");
    // One that never says how long it is: JSON's size is not passed.
    let hub = Server::new(move |request, _| {
        let body = if request.is_get() { vec![0; (1 << 26) + 1] } else { Vec::new() };
        let answer = Answer::new(200).body(&body).without_length();
        answer.with("x-repo-commit", COMMIT).with("etag", etag(FILE, BODY))
    });
    let text = refused(FILE, &settings(scratch.path(), &hub.address, false));
    assert!(text.contains("more than the expected 67108864 bytes came"), "{text}");
}

#[test]
fn a_login_page_is_told_from_a_hub() {
    let scratch = tempfile::tempdir().unwrap();
    let page = || Answer::new(200).with("content-type", "text/html").body(b"<html>Welcome to the Grand Hotel");
    let hotel = Server::new(move |_, _| page());
    let elsewhere = hotel.address.clone();
    let away = Server::new(move |_, _| Answer::redirect(&elsewhere));
    let modern = Server::new(|_, _| Answer::new(511));
    for (server, part) in [(&hotel, "text/html"), (&away, "text/html"), (&modern, "511")] {
        let mut settings = settings(scratch.path(), &server.address, false);
        settings.token = Some("secret".into());
        let text = refused(FILE, &settings);
        assert!(text.contains("log in there, and run again") && text.contains(part), "{text}");
        assert_eq!(server.seen().len(), 1, "{text}");
    }
    assert_eq!(hotel.seen().iter().filter(|request| request.header("authorization").is_some()).count(), 1);
    assert!(everything(scratch.path()).is_empty());
}

#[test]
fn what_is_no_commit_is_none_in_refs_either() {
    let scratch = tempfile::tempdir().unwrap();
    let refs = scratch.path().join("models--org--name/refs");
    fs::create_dir_all(&refs).unwrap();
    let outside = scratch.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("config.json"), b"somebody else's").unwrap();
    let hub = Server::hub(Files::one("config.json", BODY));
    let settings = settings(scratch.path(), &hub.address, false);
    for text in ["", "<html>", "../../../outside", "main", &COMMIT[..7]] {
        fs::write(refs.join("main"), text).unwrap();
        let known = super::HubModel::known("org/name", "main", &settings);
        assert_eq!(known.commit(), "main", "{text}");
        assert_eq!(super::HubModel::find("org/name", None, &settings).unwrap().commit(), COMMIT, "{text}");
        assert_eq!(fs::read_to_string(refs.join("main")).unwrap(), COMMIT);
    }
}

#[test]
fn an_endpoint_that_is_no_address_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    for endpoint in ["hf-mirror.example", "ftp://a.example", "https://", "http://a b"] {
        let text = refused(FILE, &settings(scratch.path(), endpoint, false));
        assert!(text.contains(&format!("HF_ENDPOINT is \"{endpoint}\"")), "{text}");
    }
}
