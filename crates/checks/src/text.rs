//! Text for people: one width for labels, one format for numbers.

use std::fmt::Write as _;

use loupe_checkpoint::Checkpoint;
use loupe_config::Common;
use loupe_runtime::Info;
use loupe_spec::HostTensor;

/// Width of the label column.
const LABEL: usize = 34;

/// `label` padded, then `value`, then a line's end.
pub fn field(out: &mut String, label: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{label:<LABEL$} {value}");
}

/// A heading.
pub fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n{title}");
}

/// `label` and the first `count` of `values` with `decimals` decimals.
pub fn row(out: &mut String, label: &str, values: &[f64], count: usize, decimals: usize) {
    field(out, label, &numbers(values.iter().take(count).copied(), decimals));
}

/// `label` and all of `values`, one a token; of a long prompt both ends.
pub fn row_of_all(out: &mut String, label: &str, values: &[f64], decimals: usize) {
    let words: Vec<String> = values.iter().map(|value| numbers([*value].into_iter(), decimals)).collect();
    field(out, label, &some_of(&words));
}

/// Numbers in columns: as wide as the widest usual one, so that rows of one check line up.
pub fn numbers(values: impl Iterator<Item = f64>, decimals: usize) -> String {
    numbers_wide(values, decimals, decimals + 6)
}

/// The same, each `width` wide.
pub fn numbers_wide(values: impl Iterator<Item = f64>, decimals: usize, width: usize) -> String {
    values.map(|v| format!("{v:>width$.decimals$}")).collect::<Vec<_>>().join(" ")
}

/// Of a long prompt both ends.
pub fn some_of(words: &[String]) -> String {
    const SHOWN: usize = 64;
    if words.len() <= SHOWN {
        return words.join(" ");
    }
    let (start, end) = (&words[..SHOWN / 2], &words[words.len() - SHOWN / 2..]);
    format!("{} … {}", start.join(" "), end.join(" "))
}

/// `max |x|` over each index of the first axis: one number a token.
pub fn max_abs_per_token(tensor: &HostTensor) -> Vec<f64> {
    let tokens = tensor.shape.first().copied().unwrap_or(0);
    (0..tokens).map(|token| max_abs(&tensor.token(token))).collect()
}

/// `max |x|`; NaN where one of them is.
pub fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max: f64, v| if v.is_nan() || max.is_nan() { f64::NAN } else { max.max(v.abs()) })
}

/// Mean of `|x|`.
pub fn mean_abs(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).sum::<f64>() / values.len().max(1) as f64
}

/// Which checkpoint, which backend.
pub fn header(checkpoint: &Checkpoint, id: Option<&str>, common: &Common, info: Option<&Info>) -> String {
    let mut out = String::new();
    let revision = checkpoint.revision().map(|r| format!(" at {r}")).unwrap_or_default();
    let id = id.map(|id| format!(" (checkpoint {})", id.get(..12).unwrap_or(id))).unwrap_or_default();
    field(&mut out, "model", &format!("{}{revision}{id}", checkpoint.model()));
    if let Some(info) = info {
        let parts = [Some(info.device.clone()), info.driver.clone(), info.compiler.clone()];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let what = format!("{} {} {}", info.name, common.dtype, common.precision.name());
        field(&mut out, "backend", &format!("{what} on {}", parts.join(", ")));
    }
    if !common.mistakes.is_empty() {
        field(&mut out, "planted", &format!("{}: these numbers are wrong on purpose", common.mistakes.join(", ")));
    }
    out
}
