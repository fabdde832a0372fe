//! Hugging Face's own client and this one share a cache.
//!
//! Needs a Python with the package huggingface_hub: `python3`, or what `LOUPE_PYTHON` names. Without one the test says on the
//! terminal that it did not run; with `LOUPE_REQUIRE_HUGGINGFACE_HUB=1` that is a failure.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::server::{COMMIT, Files, Server, gets};
use super::{HubModel, fetch, settings};
use crate::testing::SMALL;
use crate::{Checkpoint, write_random};

/// Fetches a file, or finds it in the cache without the network.
const SCRIPT: &str = "
import sys
from huggingface_hub import hf_hub_download
cache, file, how = sys.argv[1:]
print(hf_hub_download('org/name', file, cache_dir=cache, local_files_only=how == 'find'))
";

fn python() -> Command {
    Command::new(std::env::var_os("LOUPE_PYTHON").unwrap_or_else(|| "python3".into()))
}

fn huggingface_hub_is_here() -> bool {
    let here = python().args(["-c", "import huggingface_hub"]).output().is_ok_and(|done| done.status.success());
    if !here {
        assert_ne!(
            std::env::var("LOUPE_REQUIRE_HUGGINGFACE_HUB").as_deref(),
            Ok("1"),
            "no Python with huggingface_hub"
        );
        eprintln!("NOT TESTED with huggingface_hub: no Python with that package (LOUPE_PYTHON names one)");
    }
    here
}

/// What Python's client finds at `file`.
fn by_python(cache: &Path, endpoint: &str, file: &str, how: &str) -> Vec<u8> {
    let mut python = python();
    python
        .args(["-c", SCRIPT])
        .arg(cache)
        .args([file, how])
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HUB_DISABLE_TELEMETRY", "1");
    let done = python.env_remove("HF_HUB_OFFLINE").env_remove("HF_TOKEN").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    fs::read(String::from_utf8(done.stdout).unwrap().trim()).unwrap()
}

#[test]
fn each_reads_what_the_other_fetched() {
    if !huggingface_hub_is_here() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let [there, ours, theirs] = ["there", "ours", "theirs"].map(|name| scratch.path().join(name));
    write_random(SMALL, &there, 2, 1, &mut |_, _| ()).unwrap();
    let files = Files::of(&there);
    let hub = Server::hub(files.clone());
    let names: Vec<&String> = files.0.keys().collect();
    assert!(names.len() >= 4, "{names:?}");

    let here = settings(&ours, &hub.address, false);
    let id = Checkpoint::open_with("org/name", None, &here).unwrap().tensors().unwrap().id().to_string();
    for name in &names {
        assert_eq!(by_python(&ours, &hub.address, name, "find"), files.0[*name], "{name}");
        // Asked whether there is anything newer, it finds that all of it is there.
        hub.forget();
        assert_eq!(by_python(&ours, &hub.address, name, "fetch"), files.0[*name], "{name}");
        assert_eq!(gets(&hub.seen()), 0, "{name}: {:?}", hub.seen());
    }

    for name in &names {
        by_python(&theirs, &hub.address, name, "fetch");
    }
    hub.forget();
    let offline = settings(&theirs, &hub.address, true);
    assert_eq!(HubModel::find("org/name", None, &offline).unwrap().commit(), COMMIT);
    assert_eq!(Checkpoint::open_with("org/name", None, &offline).unwrap().tensors().unwrap().id(), id);
    // With the network as well, nothing is fetched that is there.
    let online = settings(&theirs, &hub.address, false);
    assert_eq!(fetch("config.json", &online).unwrap().unwrap(), files.0["config.json"]);
    assert_eq!(gets(&hub.seen()), 0);
}
