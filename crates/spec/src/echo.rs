//! Text from outside (a file, a config, a server) made fit for a message: it can neither move the cursor of a terminal
//! nor begin a line of its own, and it stays short.

use std::path::Path;

/// How many characters of a text are shown.
pub const LONGEST_ECHO: usize = 200;

/// `text` in one line of at most [`LONGEST_ECHO`] characters, counted before escaping. Of a longer one both ends are
/// shown: names differ in their last words as often as in their first.
pub fn echo(text: &str) -> String {
    // The ellipsis is a character, too.
    const START: usize = LONGEST_ECHO / 2;
    const END: usize = LONGEST_ECHO - START - 1;
    let count = text.chars().count();
    if count <= LONGEST_ECHO {
        return in_one_line(text);
    }
    let start: String = text.chars().take(START).collect();
    let end: String = text.chars().skip(count - END).collect();
    format!("{}…{}", in_one_line(&start), in_one_line(&end))
}

/// [`echo`] of a path.
pub fn echo_path(path: &Path) -> String {
    echo(&path.to_string_lossy())
}

/// The end of a sentence about a name that nothing has: `; the nearest is "…"`, or nothing.
pub fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; the nearest is \"{}\"", echo(name))).unwrap_or_default()
}

/// `text` with every character escaped that a terminal obeys instead of showing it; line breaks stay.
pub fn printable(text: &str) -> String {
    escaped(text, |c| c != '\n')
}

fn in_one_line(text: &str) -> String {
    escaped(text, |_| true)
}

/// The escapes are JSON's, so that a config within the text is still one.
fn escaped(text: &str, wanted: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if !(is_obeyed(c) && wanted(c)) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out
}

/// Control characters, and those of Unicode that break lines or turn the direction of writing.
pub fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_ECHO, echo, hint, printable};

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_all_else_stays() {
        assert_eq!(echo("a\u{1b}[2J\r\n\tb\u{9b}\u{202e}\0"), r"a\u001b[2J\r\n\tb\u009b\u202e\u0000");
        assert_eq!(echo("नमस्ते 👨‍👩‍👧 C:\\model \"x\""), "नमस्ते 👨‍👩‍👧 C:\\model \"x\"");
        assert_eq!(printable("one\ntwo\u{7}"), "one\ntwo\\u0007");
    }

    #[test]
    fn of_a_long_text_both_ends_are_shown() {
        let whole = "é".repeat(LONGEST_ECHO);
        assert_eq!(echo(&whole), whole);
        let long = format!("start{}end", "é".repeat(LONGEST_ECHO));
        let shown = echo(&long);
        assert_eq!(shown.chars().count(), LONGEST_ECHO);
        assert!(shown.starts_with("starté") && shown.contains("é…é") && shown.ends_with("éend"), "{shown}");
    }

    #[test]
    fn a_hint_is_the_end_of_a_sentence_or_nothing() {
        assert_eq!(hint(Some("no\nrm")), r#"; the nearest is "no\nrm""#);
        assert_eq!(hint(None), "");
    }
}
