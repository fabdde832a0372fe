//! Words that say where, and what stands between words.

/// Before the number of a layer.
pub const LAYER: [&str; 3] = ["layer", "block", "blk"];
/// Before the number of a token.
pub const TOKEN: [&str; 5] = ["token", "tok", "pos", "position", "t"];

/// What stands between the numbers of a line, and between words.
pub fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | '[' | ']' | '(' | ')' | '{' | '}' | ';' | '|')
}
