//! How a mistake cites the right code.

/// The line of `$file` (a path from the root of the repository) that holds `$text`.
macro_rules! right {
    ($file:literal, $text:literal $(,)?) => {
        loupe_spec::Code { file: $file, source: include_str!(concat!("../../../", $file)), text: $text }
    };
}
pub(crate) use right;
