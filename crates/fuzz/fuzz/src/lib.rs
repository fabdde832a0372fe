//! What each target does: libFuzzer's bytes are a file of a kind, and it is read.

pub use libfuzzer_sys;
use loupe_fuzz::Reader;
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder for temporary files");
}

/// Reads `bytes` as a file of `kind`.
pub fn read(kind: &str, bytes: &[u8]) {
    FOLDER.with(|folder| {
        let reader = Reader::new(kind, folder.path()).expect("the folder can be written to");
        // Refused is as good as read.
        let _ = reader.expect("a kind of file").read(bytes);
    });
}

/// The target for a kind of file.
#[macro_export]
macro_rules! target {
    ($kind:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::read($kind, bytes));
    };
}
