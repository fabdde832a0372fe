//! The numbers at the end of a line, and what stands before them.

use crate::sample::Printed;
use crate::text::label::says_place;
use crate::text::words::{LAYER, TOKEN, is_separator};

/// A line that may end in numbers.
pub struct Row<'a> {
    /// What stands before them.
    pub label: &'a str,
    /// What it ends in, but for a number that was cut off.
    pub numbers: Vec<Printed>,
    /// How many it ends in.
    pub count: usize,
    /// No dots follow: the next line's are the next ones.
    pub goes_on: bool,
}

/// Whether the last of `numbers` was cut off: the others have as many decimals each, and many more.
fn is_cut(numbers: &[Printed]) -> bool {
    let [first, middle @ .., last] = numbers else { return false };
    // Of few it may be chance.
    let more = if middle.len() > 1 { 500.0 } else { 5000.0 };
    let is_fixed = !middle.is_empty() && middle.iter().all(|number| number.unit == first.unit);
    is_fixed && last.unit > more * first.unit && last.unit < 1.0
}

impl Row<'_> {
    /// Why these numbers are no values of a tensor, where they are not.
    pub fn is_odd(&self) -> Option<&'static str> {
        let is_whole = |number: &&Printed| number.unit >= 1.0 && number.value.abs() < 1e15;
        let whole = self.numbers.iter().filter(is_whole).count();
        // "3,35777, -1.17453": all but the two halves of one have as many decimals.
        let mut units = self.numbers.iter().filter(|number| !is_whole(number)).map(|number| number.unit);
        let unit = units.next().unwrap_or(1.0);
        let is_fixed = unit < 0.002 && units.all(|other| other == unit);
        let is_odd = whole > 0 && !self.is_zero() && (whole == self.numbers.len() || is_fixed);
        is_odd.then_some("whole numbers: ids, counts, or decimal commas")
    }

    fn is_zero(&self) -> bool {
        self.numbers.iter().all(|number| number.value == 0.0)
    }
}

/// How left-out numbers are printed.
pub const DOTS: [&str; 2] = ["...", "…"];

/// `line` in its parts. Of an array with dots in it the numbers are those before the first dots.
pub fn split(line: &str) -> Row<'_> {
    let (mut label, mut numbers) = numbers_at_end(without_tail(line));
    let mut goes_on = true;
    while let Some(before) = without_dots(label) {
        (label, numbers) = numbers_at_end(before);
        goes_on = false;
    }
    let count = numbers.len();
    if is_cut(&numbers) {
        numbers.pop();
    }
    Row { label, numbers, count, goes_on }
}

/// `text` without the dots at its end, if there are some: all of them at once, since a line may be nothing else.
fn without_dots(text: &str) -> Option<&str> {
    fn shorter(text: &str) -> Option<&str> {
        DOTS.iter().find_map(|dots| text.trim_end_matches(is_separator).strip_suffix(dots))
    }
    std::iter::successors(shorter(text), |text| shorter(text)).last()
}

/// Whether a bracket is still open at the end of `array`.
pub fn opens(array: &str) -> bool {
    array.matches(['[', '{']).count() > array.matches([']', '}']).count()
}

/// Units of time.
const UNITS: [&str; 5] = ["s", "ms", "us", "µs", "ns"];

/// `line` without what may follow its numbers: a time, a remark, what torch says of a tensor beside its values.
fn without_tail(line: &str) -> &str {
    let mut line = line.trim_end();
    loop {
        let trimmed = line.trim_end_matches(|c: char| c.is_whitespace() || c == '|');
        let word = trimmed.rsplit(char::is_whitespace).next().unwrap_or_default();
        let number = word.trim_end_matches(|c: char| c.is_alphabetic());
        let is_time = UNITS.contains(&&word[number.len()..]) && number.parse::<f64>().is_ok();
        let remark = trimmed.strip_suffix(')').and_then(|rest| rest.rfind('(').map(|open| (open, &rest[open + 1..])));
        if is_time {
            line = &trimmed[..trimmed.len() - word.len()];
        } else if let Some((open, _)) = remark
            .filter(|(open, inside)| is_remark(inside) || (is_duration(inside) && trimmed[..*open].ends_with(' ')))
        {
            line = &trimmed[..open];
        } else {
            break;
        }
        line = line.trim_end();
    }
    // "tensor([0.1, 0.2], grad_fn=<SliceBackward0>)"
    match line.rfind(']') {
        Some(end)
            if ["grad_fn=", "dtype=", "device=", "requires_grad="].iter().any(|word| line[end..].contains(word)) =>
        {
            &line[..=end]
        }
        _ => line,
    }
}

/// "60 total", but not "token 6".
fn is_remark(text: &str) -> bool {
    text.contains(char::is_alphabetic) && !text.contains(['[', '.']) && !says_place(text)
}

/// "0.13 ms"
fn is_duration(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let number = words.next().is_some_and(|word| word.parse::<f64>().is_ok());
    number && words.next().is_some_and(|unit| UNITS.contains(&unit)) && words.next().is_none()
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
        // "hidden_states[1][0, -1, :8] [0.1", "Float32Array(8) [0.1": an index or a length is none of the numbers. Nor is
        // "token=6 0.1", "first 8 0.1": a count, a layer or a token.
        if is_index(line, start, end) || is_place(&rest[..start], &rest[start..]) {
            break;
        }
        numbers.push(number);
        let gap = rest[..start].trim_end_matches(is_separator).len();
        end = gap;
        // "first 8: 0.1": after a colon or an equals sign, the numbers have begun. So they have after a bar, unless the cell
        // before it is a number, too.
        let is_cell = |cell: &str| cell.trim().is_empty() || Printed::parse(cell.trim()).is_some();
        let bar = rest[gap..start].contains('|') && !is_cell(rest[..gap].rsplit('|').next().unwrap_or_default());
        if rest[..start].ends_with(['=', ':']) || bar {
            break;
        }
    }
    // A bracket that the label closes is its own.
    end += line[end..].len() - line[end..].trim_start_matches([']', ')']).len();
    numbers.reverse();
    (&line[..end], numbers)
}

/// Whether `number`, after `before`, counts something or says which layer or token it is.
fn is_place(before: &str, number: &str) -> bool {
    let mut words = before.rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let word = words.next().unwrap_or_default().to_lowercase();
    let gap = &before[before.trim_end_matches(|c: char| !c.is_alphanumeric()).len()..];
    // "last token 0.1" is a token already; after "layer 0 |" begins another cell.
    number.parse::<i64>().is_ok()
        && !gap.contains(['|', '[', '('])
        && words.next() != Some("last")
        && (["first", "last", "top", "head"].contains(&word.as_str())
            || LAYER.contains(&word.as_str())
            || TOKEN.contains(&word.as_str()))
}

/// More letters than an index has.
const LONGEST_INDEX: usize = 100;

/// Whether the integer `line[start..end]` stands in brackets that follow a name, or other brackets, at once.
fn is_index(line: &str, start: usize, end: usize) -> bool {
    if !line[start..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return false;
    }
    let follows_a_name = |at: usize| {
        let before = line[..at].chars().next_back();
        before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ']'))
    };
    // A length alone: "Float32Array(8)".
    if line[end..].starts_with(')') && line[..start].ends_with('(') && follows_a_name(start - 1) {
        return true;
    }
    let mut depth = 0_usize;
    for (at, c) in line[..start].char_indices().rev().take(LONGEST_INDEX) {
        match c {
            ']' => depth += 1,
            '[' if depth == 0 => return follows_a_name(at),
            '[' => depth -= 1,
            _ => {}
        }
    }
    false
}
