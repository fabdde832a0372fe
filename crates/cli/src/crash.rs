//! A panic is Loupe's own fault, and is said as that.

use std::panic::{PanicHookInfo, set_hook};
use std::sync::{Mutex, PoisonError};

use miette::miette;

use crate::failure::Failure;

/// What the panics so far said, and where each was.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps what panics say. burn and its drivers report what is missing by panicking, which is caught and becomes an error
/// message; so nothing is printed before it is known that nobody catches it.
pub fn note_panics() {
    set_hook(Box::new(|panic| {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push(told(panic));
    }));
}

fn told(panic: &PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("no reason given");
    let at = panic.location().map(|location| format!(" ({}:{})", location.file(), location.line())).unwrap_or_default();
    format!("{what}{at}")
}

/// The failure of a run that panicked.
pub fn failure() -> Failure {
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    // A scope says of a thread that panicked no more than that.
    let own = said.iter().rev().find(|what| !what.contains("a scoped thread panicked"));
    let what = own.cloned().unwrap_or_else(|| "no reason given".to_string());
    let version = env!("CARGO_PKG_VERSION");
    let report = miette!(
        help = "please report it, with this message, the config and, if it is small, the file that the config names",
        "loupe {version} itself failed, which is its own mistake whatever it was given: {what}"
    );
    Failure { report, exit_code: 3 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    /// No input that is known makes the program panic, so the test does.
    #[test]
    fn a_panic_is_said_to_be_ours() {
        note_panics();
        let caught = std::panic::catch_unwind(|| panic!("a formula without a number"));
        drop(std::panic::take_hook());
        assert!(caught.is_err());
        let Failure { report, exit_code } = failure();
        let (text, help) = (report.to_string(), report.help().map(|help| help.to_string()).unwrap_or_default());
        assert_eq!(exit_code, 3);
        for part in ["itself failed", "a formula without a number", "crash.rs:"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(help.contains("please report it"), "{help}");
    }
}
