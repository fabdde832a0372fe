//! Servers that are slow, busy, cut off or confused; two programs at once; a full disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::server::{Answer, COMMIT, Files, Request, Server, etag, gets};
use super::{HubModel, fetch, refused, settings};
use crate::hub::HubSettings;

const FILE: &str = "model.safetensors";
/// Longer than what a person waits for.
const LONG: Duration = Duration::from_secs(30);

/// A file of some length, no two parts of which are alike.
fn body() -> Vec<u8> {
    (0_u32..50_000).flat_map(u32::to_le_bytes).collect()
}

fn files() -> Files {
    Files::one(FILE, &body())
}

/// The one file of the cache that is not whole.
fn incomplete(cache: &Path) -> PathBuf {
    let name = etag(FILE, &body()).replace('"', "");
    cache.join("models--org--name/blobs").join(name).with_extension("incomplete")
}

/// Answers the first `times` requests for the file itself with `odd`, and all others as a hub.
fn at_first(times: usize, odd: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
    let files = files();
    Server::new(move |request, seen| match request.is_get() && gets(&seen.lock().unwrap()) <= times {
        true => odd(request),
        false => files.answer(request),
    })
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let scratch = tempfile::tempdir().unwrap();
    for whom in ["before its answer", "in the middle"] {
        let files = files();
        let hub = Server::new(move |request, _| match request.is_get() {
            true if whom == "in the middle" => files.answer(request).stall_after(100),
            false if whom == "before its answer" => {
                std::thread::sleep(LONG);
                Answer::new(500)
            }
            _ => files.answer(request),
        });
        let mut settings = settings(scratch.path(), &hub.address, false);
        settings.patience.tries = 2;
        if whom == "in the middle" {
            settings.patience.read = Duration::from_millis(100);
        } else {
            settings.patience.answer = Duration::from_millis(100);
        }
        let text = refused(FILE, &settings);
        let said = if whom == "in the middle" { "sent nothing for 100ms" } else { "did not answer within 100ms" };
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn a_server_that_drips_is_left() {
    let scratch = tempfile::tempdir().unwrap();
    let files = files();
    let hub = Server::new(move |request, _| files.answer(request).drip(Duration::from_millis(5)));
    let mut settings = settings(scratch.path(), &hub.address, false);
    settings.patience.tries = 2;
    settings.patience.slowest = (10_000, Duration::from_millis(200));
    let text = refused(FILE, &settings);
    assert!(text.contains(" bytes in ") && text.contains("asked 2 times"), "{text}");
    // What comes is not too little, but there is no end to it.
    settings.patience.slowest = (0, LONG);
    settings.patience.whole = Duration::from_millis(300);
    let text = refused(FILE, &settings);
    assert!(text.contains("was not done after 300ms; asked 2 times"), "{text}");
}

/// Where a file is on another host than the hub, that is the one which is named.
#[test]
fn whoever_falls_silent_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, linked) = (files(), files());
    let store = Server::new(move |request, _| whole.answer(request).stall_after(100));
    let to = store.address.clone();
    let hub = Server::new(move |request, _| linked.linked(request, &to));
    let mut settings = settings(scratch.path(), &hub.address, false);
    settings.patience.tries = 1;
    settings.patience.read = Duration::from_millis(100);
    let text = refused(FILE, &settings);
    assert!(text.contains(&format!("{} sent nothing for 100ms", store.address)), "{text}");
}

#[test]
fn a_length_that_is_too_large_ends() {
    let scratch = tempfile::tempdir().unwrap();
    for (size, part) in [(body().len() + 1000, "asked 5 times"), (usize::MAX / 2, "left")] {
        let hub = Server::new(move |request, _| {
            let start = request.start().unwrap_or_default();
            let (status, left) = if start > 0 { (206, size - start) } else { (200, size) };
            Answer::new(status)
                .body(&body()[start.min(body().len())..])
                .with("content-length", left)
                .with("content-range", format!("bytes {start}-{}/{size}", size - 1))
                .with("x-repo-commit", COMMIT)
                .with("etag", etag(FILE, &body()))
        });
        let text = refused(FILE, &settings(scratch.path(), &hub.address, false));
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_redirect_that_leads_nowhere_ends() {
    let scratch = tempfile::tempdir().unwrap();
    let hub = Server::new(|request, _| Answer::redirect(&request.path));
    let text = refused(FILE, &settings(scratch.path(), &hub.address, false));
    assert!(text.contains("more than 10 redirects"), "{text}");
    assert_eq!(hub.seen().len(), 11);
    let hub = Server::new(|_, _| Answer::redirect("file:///etc/passwd"));
    let text = refused(FILE, &settings(scratch.path(), &hub.address, false));
    assert!(text.contains("redirects to \"file:///etc/passwd\", which is no address"), "{text}");
}

#[test]
fn a_connection_that_is_cut_goes_on_where_it_stopped() {
    for says_length in [true, false] {
        let scratch = tempfile::tempdir().unwrap();
        let whole = files();
        let hub = at_first(3, move |request| {
            let answer = whole.answer(request).cut_after(40_000);
            if says_length { answer } else { answer.without_length() }
        });
        assert_eq!(fetch(FILE, &settings(scratch.path(), &hub.address, false)).unwrap().unwrap(), body());
        let starts: Vec<Option<usize>> = hub.seen().iter().filter(|r| r.is_get()).map(Request::start).collect();
        assert_eq!(starts, [None, Some(40_000), Some(80_000), Some(120_000)]);
        assert!(!incomplete(scratch.path()).exists());
    }
}

#[test]
fn the_next_run_goes_on_where_the_last_one_stopped() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = files();
    let hub = at_first(1, move |request| whole.answer(request).cut_after(40_000));
    let mut settings = settings(scratch.path(), &hub.address, false);
    settings.patience.tries = 1;
    let text = refused(FILE, &settings);
    assert!(text.contains("after 40000 of 200000 bytes") || text.contains("hung up"), "{text}");
    assert_eq!(fs::metadata(incomplete(scratch.path())).unwrap().len(), 40_000);
    // A page in the place of the file, and another part than was asked for, take nothing away from that.
    let (page, part) = (files(), files());
    let odd: [Server; 2] = [
        Server::new(move |request, _| match request.is_get() {
            true => Answer::new(200).body(b"<html>").with("content-type", "text/html"),
            false => page.answer(request),
        }),
        Server::new(move |request, _| match request.is_get() {
            true => part.answer(request).with("content-range", "bytes 50000-199999/200000").status(206),
            false => part.answer(request),
        }),
    ];
    for (odd, said) in odd.iter().zip(["6 bytes (text/html) would come", "another part of the file came"]) {
        settings.endpoint = odd.address.clone();
        let text = refused(FILE, &settings);
        assert!(text.contains(said), "{text}");
        assert_eq!(fs::metadata(incomplete(scratch.path())).unwrap().len(), 40_000);
    }
    let hub = Server::hub(files());
    settings.endpoint = hub.address.clone();
    assert_eq!(fetch(FILE, &settings).unwrap().unwrap(), body());
    assert_eq!(hub.seen().iter().find(|r| r.is_get()).unwrap().start(), Some(40_000));
}

#[test]
fn what_was_left_there_and_is_not_the_beginning_is_thrown_away() {
    for left in [vec![7; 40_000], vec![7; body().len()], vec![7; body().len() + 5]] {
        let scratch = tempfile::tempdir().unwrap();
        let place = incomplete(scratch.path());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, left).unwrap();
        let hub = Server::hub(files());
        assert_eq!(fetch(FILE, &settings(scratch.path(), &hub.address, false)).unwrap().unwrap(), body());
    }
}

#[test]
fn a_server_that_cannot_start_in_the_middle_starts_again() {
    let scratch = tempfile::tempdir().unwrap();
    let files = files();
    let hub = Server::new(move |request, seen| {
        let mut whole = request.clone();
        whole.headers.remove("range");
        let answer = files.answer(&whole);
        if gets(&seen.lock().unwrap()) == 1 { answer.cut_after(40_000) } else { answer }
    });
    assert_eq!(fetch(FILE, &settings(scratch.path(), &hub.address, false)).unwrap().unwrap(), body());
    assert_eq!(gets(&hub.seen()), 2);
    // One that says 416 for what it cannot do.
    let scratch = tempfile::tempdir().unwrap();
    let whole = self::files();
    let hub = Server::new(move |request, seen| match request.start() {
        Some(_) => Answer::new(416),
        None if gets(&seen.lock().unwrap()) == 1 => whole.answer(request).cut_after(40_000),
        None => whole.answer(request),
    });
    assert_eq!(fetch(FILE, &settings(scratch.path(), &hub.address, false)).unwrap().unwrap(), body());
}

#[test]
fn a_busy_server_is_asked_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let scratch = tempfile::tempdir().unwrap();
        let files = files();
        let hub = Server::new(move |request, seen| match seen.lock().unwrap().len() {
            // Of the first question, and of the first for the file itself.
            1 | 2 | 4 => Answer::new(status).with("retry-after", 0),
            _ => files.answer(request),
        });
        assert_eq!(fetch(FILE, &settings(scratch.path(), &hub.address, false)).unwrap().unwrap(), body());
        assert_eq!(hub.seen().len(), 5, "{status}");
    }
    let scratch = tempfile::tempdir().unwrap();
    let hub = Server::new(|_, _| Answer::new(503));
    let text = refused(FILE, &settings(scratch.path(), &hub.address, false));
    assert!(text.contains("trouble of its own (503); asked 5 times"), "{text}");
    assert_eq!(hub.seen().len(), 5);
    let hub = Server::new(|_, _| Answer::new(429).with("retry-after", 3600));
    let text = refused(FILE, &settings(scratch.path(), &hub.address, false));
    assert!(text.contains("asked too often (429), and wants to be asked again in 3600 s"), "{text}");
    assert_eq!(hub.seen().len(), 1);
}

/// The pause that a server asks for is made: it is answered well only once that is over.
#[test]
fn a_server_that_names_a_pause_gets_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (files, asked) = (files(), Mutex::new(None));
    let hub = Server::new(move |request, _| {
        let first = *asked.lock().unwrap().get_or_insert_with(std::time::Instant::now);
        match first.elapsed() < Duration::from_secs(1) {
            true => Answer::new(429).with("retry-after", 1),
            false => files.answer(request),
        }
    });
    let mut settings = settings(scratch.path(), &hub.address, false);
    settings.patience.tries = 2;
    assert_eq!(fetch(FILE, &settings).unwrap().unwrap(), body());
}

/// Where nobody answers there is no network, and that is said at once; a hub that has answered before is waited for.
#[test]
fn a_hub_that_was_there_is_asked_again() {
    for asked_before in [false, true] {
        let scratch = tempfile::tempdir().unwrap();
        let files = Files([(FILE.to_string(), body()), ("config.json".to_string(), b"{}".to_vec())].into());
        let hub = Server::new(move |request, seen| {
            let of_file = seen.lock().unwrap().iter().filter(|request| request.path.ends_with(FILE)).count();
            if request.path.ends_with(FILE) && of_file == 1 {
                std::thread::sleep(LONG);
            }
            files.answer(request)
        });
        let mut settings = settings(scratch.path(), &hub.address, false);
        settings.patience.answer = Duration::from_secs(1);
        let model = HubModel::known("org/name", "main", &settings);
        if asked_before {
            model.download("config.json").unwrap().unwrap();
        }
        match model.download(FILE) {
            Ok(path) => assert!(asked_before && fs::read(path.unwrap()).unwrap() == body()),
            Err(error) => assert!(!asked_before && error.to_string().contains("did not answer within 1s"), "{error}"),
        }
    }
}

/// As huggingface.co answers for small files: from another place of its own, and only there with a length.
#[test]
fn a_redirect_within_the_hub_is_followed_to_what_says_the_size() {
    let scratch = tempfile::tempdir().unwrap();
    let files = files();
    let hub = Server::new(move |request, _| match request.path.strip_prefix("/org/name/resolve/main/") {
        Some(file) => Answer::redirect(format!("/api/resolve-cache/models/org/name/{COMMIT}/{file}"))
            .with("x-repo-commit", COMMIT)
            .with("x-linked-etag", etag(FILE, &body()))
            .with("etag", "W/\"e8-of-the-redirect\""),
        None => files.answer(request),
    });
    // What another tool has left of it has the wrong size.
    let blob = incomplete(scratch.path()).with_extension("");
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(blob, b"half").unwrap();
    fs::write(incomplete(scratch.path()), &body()[..40_000]).unwrap();
    assert_eq!(fetch(FILE, &settings(scratch.path(), &hub.address, false)).unwrap().unwrap(), body());
    // Whose size is known is gone on with.
    assert!(hub.seen().iter().filter(|r| r.is_get()).all(|r| r.start() == Some(40_000)));
}

/// A file of which nobody says how long it is, is known by its hash alone.
#[test]
fn a_file_of_no_known_size_is_fetched_and_known() {
    let scratch = tempfile::tempdir().unwrap();
    let files = files();
    let hub = Server::new(move |request, _| files.answer(request).without_length());
    let settings = settings(scratch.path(), &hub.address, false);
    let blob = incomplete(scratch.path()).with_extension("");
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(&blob, b"half").unwrap();
    assert_eq!(fetch(FILE, &settings).unwrap().unwrap(), body());
    fs::remove_file(scratch.path().join("models--org--name/snapshots").join(COMMIT).join(FILE)).unwrap();
    assert_eq!(fetch(FILE, &settings).unwrap().unwrap(), body());
    assert_eq!(gets(&hub.seen()), 1);
}

#[test]
fn a_link_that_has_run_out_is_asked_for_again() {
    let scratch = tempfile::tempdir().unwrap();
    let store = at_first(1, |_| Answer::new(403));
    let (to, whole) = (store.address.clone(), files());
    let hub = Server::new(move |request, _| whole.linked(request, &to));
    assert_eq!(fetch(FILE, &settings(scratch.path(), &hub.address, false)).unwrap().unwrap(), body());
    assert_eq!(gets(&hub.seen()), 2);
}

#[test]
fn two_at_once_take_turns() {
    let scratch = tempfile::tempdir().unwrap();
    let files = files();
    let hub = Server::new(move |request, seen| {
        // The file comes once both have asked what it is: one of them holds the lock, the other one waits for it.
        while request.is_get() && seen.lock().unwrap().iter().filter(|request| !request.is_get()).count() < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        files.answer(request)
    });
    let settings = settings(scratch.path(), &hub.address, false);
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| fetch(FILE, &settings).unwrap().unwrap()));
        for one in both {
            assert_eq!(one.join().unwrap(), body());
        }
    });
    assert_eq!(gets(&hub.seen()), 1);
}

/// The test starts itself under a limit for the size of files, which is to a program what a full disk is.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    const CACHE: &str = "LOUPE_HUB_TEST_CACHE";
    const HUB: &str = "LOUPE_HUB_TEST_ADDRESS";
    if let (Some(cache), Ok(address)) = (std::env::var_os(CACHE), std::env::var(HUB)) {
        let text = refused(FILE, &settings(Path::new(&cache), &address, false));
        assert!(text.contains("could not write") && text.contains("what has come stays"), "{text}");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let config = Server::hub(Files::one("config.json", b"{}"));
    let there = settings(scratch.path(), &config.address, false);
    fetch("config.json", &there).unwrap().unwrap();
    let refs = scratch.path().join("models--org--name/refs/main");
    let before = fs::read_to_string(&refs).unwrap();

    let hub = Server::hub(files());
    // In blocks of 512 or 1024 bytes; the file has 200,000. The signal, unless ignored, would end the program.
    let status = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "hub::tests::disturbed::a_full_disk_loses_nothing"])
        .env(CACHE, scratch.path())
        .env(HUB, &hub.address)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(fs::read_to_string(&refs).unwrap(), before);
    assert_eq!(fetch("config.json", &there).unwrap().unwrap(), b"{}");
    let kept = fs::metadata(incomplete(scratch.path())).unwrap().len() as usize;
    assert!(kept > 0 && kept < body().len(), "{kept}");
    hub.forget();
    let again = HubSettings { endpoint: hub.address.clone(), ..there };
    assert_eq!(fetch(FILE, &again).unwrap().unwrap(), body());
    assert_eq!(hub.seen().iter().find(|r| r.is_get()).unwrap().start(), Some(kept));
}

/// A person who makes room in the cache by hand, and a tool that was stopped in the middle.
#[test]
fn a_cache_with_holes_is_filled() {
    let scratch = tempfile::tempdir().unwrap();
    let hub = Server::hub(files());
    let settings = settings(scratch.path(), &hub.address, false);
    let blob = incomplete(scratch.path()).with_extension("");
    let pointer = scratch.path().join("models--org--name/snapshots").join(COMMIT).join(FILE);
    assert_eq!(fetch(FILE, &settings).unwrap().unwrap(), body());
    for damage in ["deleted", "cut off", "without its link", "with a link to nowhere"] {
        match damage {
            "deleted" => fs::remove_file(&blob).unwrap(),
            "cut off" => {
                fs::remove_file(&pointer).unwrap();
                fs::write(&blob, b"half").unwrap();
            }
            _ => fs::remove_file(&pointer).unwrap(),
        }
        #[cfg(unix)]
        if damage == "with a link to nowhere" {
            std::os::unix::fs::symlink("nowhere", &pointer).unwrap();
        }
        hub.forget();
        assert_eq!(fetch(FILE, &settings).unwrap().unwrap(), body(), "{damage}");
        assert_eq!(gets(&hub.seen()), usize::from(!damage.starts_with("with")), "{damage}");
        #[cfg(unix)]
        assert!(pointer.is_symlink() && blob.is_file(), "{damage}");
    }
}
