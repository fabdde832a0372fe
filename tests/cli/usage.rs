//! The command line: one path, `--help`, `--version`.

use std::path::Path;

use crate::{Run, Sandbox};

#[test]
fn help_and_version_are_on_stdout() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(&["--help"]).ok();
    for part in ["usage: loupe <config.json>", "exit codes", "  2  could not run"] {
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
    refused(sandbox.run::<&Path>(&[]), "no config was given");
    refused(sandbox.run(&["a.json", "b.json"]), "2 arguments were given");
    refused(sandbox.run(&["--model=x"]), "\"--model=x\" is a flag, and loupe has none");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_unicode_is_a_path() {
    use std::os::unix::ffi::OsStrExt;
    let run = Sandbox::new().run(&[std::ffi::OsStr::from_bytes(b"\xff.json")]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("cannot read the config"), "{}", run.stderr);
}
