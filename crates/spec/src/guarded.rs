//! Other people's code that says what is wrong by panicking.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`, a panic inside it becoming its message.
pub fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_string())).unwrap_or_default()
    })
}
