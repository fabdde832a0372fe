//! The command line: one path, `--help`, `--version`.

use std::path::Path;

use crate::{Run, Sandbox};

/// Colours are for a terminal, or where they are asked for, and `NO_COLOR` is the last word.
#[test]
fn colours_are_for_a_person() {
    let explain = |variables: &[(&'static str, &str)]| {
        let mut sandbox = Sandbox::new();
        sandbox.variables.extend(variables.iter().map(|(name, value)| (*name, value.into())));
        let numbers = r#"{"check": "compare", "model": "builtin:tiny", "token_ids": [2, 5],
            "candidate": {"norm": {"token": 0, "first": [1.25]}}}"#;
        sandbox.config(numbers).stdout
    };
    let plain = explain(&[]);
    assert!(plain.starts_with("architectural: ") && !plain.contains('\u{1b}'), "{plain:?}");
    assert!(explain(&[("FORCE_COLOR", "1")]).starts_with("\u{1b}[31;1marchitectural:\u{1b}[0m "));
    assert_eq!(explain(&[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]), plain);
}

#[test]
fn help_and_version_are_on_stdout() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(&["--help"]).ok();
    for part in ["usage: loupe <config.json>", "loupe - to read", "exit codes", "  2  could not run"] {
        assert!(help.contains(part), "{help}");
    }
    assert_eq!(sandbox.run(&["-h"]).ok(), help);
    let version = sandbox.run(&["--version"]).ok();
    assert_eq!(version, format!("loupe {} (burn 0.21.0)\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn anything_else_than_one_path_is_an_error() {
    let sandbox = Sandbox::new();
    let refused = |run: Run, part: &str| {
        assert_eq!((run.code, run.stdout.as_str()), (2, ""));
        assert!(run.stderr.contains(part) && run.stderr.contains("loupe <config.json>"), "{}", run.stderr);
    };
    // How to start, in four lines.
    let start = sandbox.run::<&Path>(&[]);
    assert_eq!((start.code, start.stdout.as_str(), start.stderr.lines().count()), (2, "", 4), "{}", start.stderr);
    assert!(start.stderr.contains("loupe configs/trace-tiny.json"), "{}", start.stderr);
    refused(sandbox.run(&["a.json", "b.json"]), "2 arguments were given");
    refused(sandbox.run(&["--model=x"]), "\"--model=x\" is a flag, and loupe has none");
}

#[test]
fn a_config_may_come_from_standard_input() {
    let sandbox = Sandbox::new();
    let config = r#"{"check": "embed", "model": "builtin:tiny", "token_ids": [2, 5]}"#;
    let run = sandbox.piped(config);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout, sandbox.config(config).ok());
    let wrong = sandbox.piped(r#"{"check": "embd"}"#);
    assert!(wrong.code == 2 && wrong.stderr.contains("standard input"), "{}", wrong.stderr);
    // Nothing is no config.
    assert_eq!(sandbox.piped("").code, 2);
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_unicode_is_a_path() {
    use std::os::unix::ffi::OsStrExt;
    let run = Sandbox::new().run(&[std::ffi::OsStr::from_bytes(b"\xff.json")]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("cannot read the config"), "{}", run.stderr);
}
