//! Every file of the repository that a page, a comment or a message names is there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::repository;

/// Endings by which a word is the name of a file, and folders by which it is one with its path.
const ENDINGS: [&str; 4] = [".rs", ".md", ".py", ".yml"];
const FOLDERS: [&str; 7] = ["crates/", "docs/", "tests/", "configs/", "writers/", "xtask/", ".github/"];
/// Files of others, and names that stand for any.
const NOT_OURS: [&str; 7] =
    ["modeling_gemma2.py", "constants.py", "mistral.rs", "NAME.py", "configs/test.json", "some.rs", "template.rs"];
/// What runs write.
const WRITTEN: [&str; 2] = ["out/", "target/"];

/// Every file and folder below `folder` that is not built or written by a run, from the root.
fn walk(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(repository()).unwrap().to_string_lossy().replace('\\', "/");
        if [".git", "target", "out"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, into);
        }
        into.insert(name);
    }
}

#[test]
fn every_file_that_is_named_is_there() {
    let mut all = BTreeSet::new();
    walk(&repository(), &mut all);
    let endings: BTreeSet<String> =
        all.iter().flat_map(|name| name.match_indices('/').map(|(at, _)| name[at + 1..].to_string())).collect();
    let mut count = 0;
    for path in all
        .iter()
        .filter(|name| [".rs", ".md", ".py", ".toml", ".yml", ".sh", ".js", ".c"].iter().any(|e| name.ends_with(e)))
    {
        // Not every ending is a text's: a fixture may be anything.
        let Ok(text) = std::fs::read_to_string(repository().join(path)) else { continue };
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && !"_./-".contains(c)) {
            let word = word
                .trim_end_matches(['.', '/'])
                .trim_start_matches("./")
                .trim_start_matches("../")
                .trim_start_matches('/');
            let is_name = ENDINGS.iter().any(|ending| word.ends_with(ending) && word.len() > ending.len())
                || FOLDERS.iter().any(|folder| word.starts_with(folder));
            let is_ours =
                !NOT_OURS.iter().any(|other| word.ends_with(other)) && !WRITTEN.iter().any(|to| word.starts_with(to));
            if is_name && is_ours {
                count += 1;
                let word = word.trim_start_matches("../");
                assert!(all.contains(word) || endings.contains(word), "{path} names {word}, which is not there");
            }
        }
    }
    assert!(count > 500, "{count}");
}
