//! What the program prints, held against tests/snapshots: words and layout exactly, numbers within what f32 may differ by.

use std::path::PathBuf;

/// How far apart two right runs in f32 may be, of the largest number on their line. goldens.rs holds each within 2e-6
/// of transformers, and kernels sum in the order that suits the processor.
const TWO_RIGHT_RUNS: f64 = 4e-6;
/// More decimals than this are no f32 result: they come from f64 or from the file, and are the same everywhere.
const DECIMALS_OF_A_RESULT: usize = 6;

/// Holds `text` against the snapshot called `name`. The machine that ran it is nobody's business there.
#[track_caller]
pub fn assert(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"(?m)^(backend +\w+ \w+ \w+ on ).*$", "$1[machine]");
    let committed = std::fs::read_to_string(folder().join(format!("{name}.snap"))).unwrap_or_default();
    // Before the text stands a header of insta's, between two lines of dashes.
    let committed = committed.splitn(3, "---\n").nth(2).unwrap_or_default();
    settings.bind(|| insta::assert_snapshot!(name, settled(text, committed)));
}

fn folder() -> PathBuf {
    crate::repository().join("tests/snapshots")
}

/// `text` with each line that differs from that of `committed` in no more than near numbers replaced by that line.
fn settled(text: &str, committed: &str) -> String {
    let mut committed = committed.lines();
    let mut line = |own| match committed.next() {
        Some(theirs) if near(own, theirs) => theirs,
        _ => own,
    };
    text.lines().map(|own| line(own).to_string() + "\n").collect()
}

/// Whether two lines have the same words in the same columns, and numbers that two right runs may differ by.
fn near(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(fields);
    let largest = a.iter().filter_map(|field| result(field.word)).map(|(value, _)| value.abs()).fold(0.0, f64::max);
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| match (result(a.word), result(b.word)) {
            (Some((x, decimals)), Some((y, same))) if decimals == same => {
                // Each is printed to the nearest step, so that one step may lie between them even where they agree.
                let step = 10f64.powi(-(decimals as i32));
                // A column is aligned to its right; a number within a sentence follows one space.
                let aligned = if a.spaces > 1 && b.spaces > 1 { a.width() == b.width() } else { a.spaces == b.spaces };
                aligned && (x - y).abs() <= 1.001 * step + TWO_RIGHT_RUNS * largest
            }
            _ => a == b,
        })
}

/// A word and the spaces before it.
#[derive(Debug, PartialEq)]
struct Field<'a> {
    spaces: usize,
    word: &'a str,
}

impl Field<'_> {
    fn width(&self) -> usize {
        self.spaces + self.word.len()
    }
}

fn fields(line: &str) -> Vec<Field<'_>> {
    let mut spaces = 0;
    let mut found = Vec::new();
    for word in line.split(' ') {
        if word.is_empty() {
            spaces += 1;
        } else {
            found.push(Field { spaces, word });
            spaces = 1;
        }
    }
    found
}

/// The value of a printed f32 result, and how many decimals it has.
fn result(word: &str) -> Option<(f64, usize)> {
    let (_, decimals) = word.split_once('.')?;
    let plain = word.trim_start_matches('-').chars().all(|c| c.is_ascii_digit() || c == '.');
    let value = word.parse().ok().filter(|_| plain && decimals.len() <= DECIMALS_OF_A_RESULT)?;
    Some((value, decimals.len()))
}

#[test]
fn only_numbers_may_differ_and_only_by_rounding() {
    let committed = "token 6, max abs                       9.1900\nzeros 27 mean -0.0000 sqrt 7.745966692414834\n";
    for right in [
        "token 6, max abs                       9.1901\nzeros 27 mean -0.0000 sqrt 7.745966692414834\n",
        "token 6, max abs                       9.1900\nzeros 27 mean 0.0001 sqrt 7.745966692414834\n",
        committed,
    ] {
        assert_eq!(settled(right, committed), committed);
    }
    for wrong in [
        "token 6, max abs                       9.1903\nzeros 27 mean -0.0000 sqrt 7.745966692414834\n",
        "token 6, max abs                      9.1900\nzeros 27 mean -0.0000 sqrt 7.745966692414834\n",
        "token 5, max abs                       9.1900\nzeros 27 mean -0.0000 sqrt 7.745966692414834\n",
        "token 6, max abs                       9.19\nzeros 27 mean -0.0000 sqrt 7.745966692414834\n",
        "token 6, max abs                       9.1900\nzeros 28 mean -0.0000 sqrt 7.745966692414834\n",
        "token 6, max abs                       9.1900\nzeros 27 mean -0.0000 sqrt 7.745966692414835\n",
        "token 6, max abs                       9.1900\n",
    ] {
        assert_ne!(settled(wrong, committed), committed, "{wrong}");
    }
}
