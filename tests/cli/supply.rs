//! What gets into Loupe from outside, and what its own code may not do.

use std::fs;

use crate::repository;

/// A tag of an action can be moved to other code; a commit cannot.
#[test]
fn actions_are_named_by_their_commits() {
    let workflows = repository().join(".github/workflows");
    let mut paths: Vec<_> = fs::read_dir(workflows).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.push(repository().join("action.yml"));
    let mut checked = 0;
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((_, action)) = line.split_once("uses: ") else { continue };
            let action = action.split_whitespace().next().unwrap();
            let commit = action.split_once('@').map_or("", |(_, commit)| commit);
            let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit || action == "./", "{}: {action}", path.display());
            checked += 1;
        }
        let may_write = text.lines().filter(|line| line.trim_end().ends_with(": write")).count();
        let publishes = path.ends_with("release.yml");
        assert_eq!(may_write, usize::from(publishes), "{}: who may write what", path.display());
    }
    assert!(checked > 10, "{checked}");
}

/// Files are mapped in one crate, and the program tells the allocator something; nothing else is unsafe.
#[test]
fn no_other_crate_has_unsafe_code() {
    let crates = fs::read_dir(repository().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let roots = crates.map(|folder| folder.join("src/lib.rs")).chain([repository().join("xtask/src/main.rs")]);
    let mut without = Vec::new();
    for root in roots.filter(|root| root.exists()) {
        if !fs::read_to_string(&root).unwrap().contains("#![forbid(unsafe_code)]") {
            without.push(root.parent().unwrap().parent().unwrap().file_name().unwrap().to_owned());
        }
    }
    assert_eq!(without, ["checkpoint"]);
}
