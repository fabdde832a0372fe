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
