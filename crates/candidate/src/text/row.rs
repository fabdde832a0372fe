//! The numbers at the end of a line, and what stands before them.

use crate::sample::Printed;

/// A line that may end in numbers.
pub struct Row<'a> {
    /// What stands before them.
    pub label: &'a str,
    /// What it ends in.
    pub numbers: Vec<Printed>,
    /// No dots follow: the next line's are the next ones.
    pub goes_on: bool,
}

/// How left-out numbers are printed.
pub const DOTS: [&str; 2] = ["...", "…"];

/// `line` in its parts. Of an array with dots in it the numbers are those before the first dots.
pub fn split(line: &str) -> Row<'_> {
    let (mut label, mut numbers) = numbers_at_end(line);
    let mut goes_on = true;
    while let Some(before) = DOTS.iter().find_map(|dots| label.trim_end_matches(is_separator).strip_suffix(dots)) {
        (label, numbers) = numbers_at_end(before);
        goes_on = false;
    }
    Row { label, numbers, goes_on }
}

pub fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | '[' | ']' | '(' | ')' | ';')
}

/// Whether a bracket is still open at the end of `array`.
pub fn opens(array: &str) -> bool {
    array.matches('[').count() > array.matches(']').count()
}

/// What stands before the numbers at the end of `line`, and the numbers.
fn numbers_at_end(line: &str) -> (&str, Vec<Printed>) {
    let mut end = line.trim_end_matches(is_separator).len();
    let mut numbers = Vec::new();
    loop {
        let rest = &line[..end];
        let before = rest.char_indices().rev().find(|(_, c)| is_separator(*c) || matches!(c, '=' | ':'));
        let start = before.map_or(0, |(at, c)| at + c.len_utf8());
        let Some(number) = Printed::parse(&rest[start..]).filter(|number| number.value.is_finite()) else { break };
        // "hidden_states[1][0, -1, :8] [0.1": an index is none of the numbers.
        if is_index(line, start, end) {
            break;
        }
        // "first 8: 0.1": after a colon or an equals sign, the numbers have begun.
        let begins = rest[..start].ends_with(['=', ':']);
        numbers.push(number);
        end = rest[..start].trim_end_matches(is_separator).len();
        if begins {
            break;
        }
        // "first 8 0.1 0.2", "token 6 0.1": a count or a token is none of the numbers; "last token 0.1" is a token already.
        let mut before = line[..end].rsplit(|c: char| !c.is_alphanumeric());
        let word = before.next().unwrap_or_default();
        let is_count = rest[start..].parse::<i64>().is_ok() && before.next() != Some("last");
        if is_count && matches!(word, "first" | "token" | "layer") {
            numbers.pop();
            end = rest.len();
            break;
        }
    }
    numbers.reverse();
    (&line[..end], numbers)
}

/// Whether the integer `line[start..end]` stands in brackets that follow a name, or other brackets, at once.
fn is_index(line: &str, start: usize, end: usize) -> bool {
    let is_whole = line[start..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let mut depth = 0_usize;
    for (at, c) in line[..start].char_indices().rev() {
        match c {
            ']' => depth += 1,
            '[' if depth == 0 => {
                let before = line[..at].chars().next_back();
                return is_whole && before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ']'));
            }
            '[' => depth -= 1,
            _ => {}
        }
    }
    false
}
