//! The command line of `cargo xtask`.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn without_a_known_command_the_commands_are_listed() {
    for arguments in [&[][..], &["frobnicate"], &["compare", "a", "b"], &["fixtures", "9b", "out"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("compare [config.json]") && stderr.contains("fixtures 2b DIR"), "{stderr}");
    }
}

/// `compare` is `loupe` with the matrix, and ends as that does.
#[cfg(unix)]
#[test]
fn compare_hands_the_matrix_to_loupe() {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = xtask.args(["compare", "/no/matrix.json"]).env("LOUPE_BIN", "/bin/cat").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/no/matrix.json"));
}
