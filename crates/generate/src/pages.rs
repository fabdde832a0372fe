//! The catalogue as Markdown.

use std::fmt::Write as _;

use miette::{Result, miette};
use serde_json::Value;

/// A row for each probe point.
pub(crate) fn probes(catalogue: &Value) -> Result<String> {
    let mut out = "| name | shape | what | transformers |\n|---|---|---|---|\n".to_string();
    for probe in list(catalogue, "probes")? {
        let shape = texts(probe, "shape").join(", ");
        let [name, what, transformers] = ["name", "what", "transformers"].map(|key| text(probe, key));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{name}` | [{shape}] | {what} | {transformers} |");
    }
    Ok(out)
}

/// A section for each mistake.
pub(crate) fn mistakes(catalogue: &Value) -> Result<String> {
    let mut out = String::new();
    for mistake in list(catalogue, "mistakes")? {
        let [id, sentence, kind] = ["id", "sentence", "kind"].map(|key| text(mistake, key));
        let name = mistake["variant"].as_str().map_or(id.to_string(), |variant| format!("{id}--{variant}"));
        let [right, wrong] = ["right", "wrong"].map(|key| text(&mistake["formula"], key));
        let stages: Vec<String> = texts(mistake, "stages").iter().map(|stage| format!("`{stage}`")).collect();
        let [hidden, seen] = ["hidden_when", "seen_in"].map(|key| text(mistake, key));
        let _ = writeln!(out, "## {name}\n\n{}\n", escaped(sentence));
        let _ = writeln!(out, "```text\nright  {right}\nwrong  {wrong}\n```\n");
        let _ = writeln!(out, "- its verdict is `{kind}`");
        let _ = writeln!(out, "- shows at {}", stages.join(", "));
        let _ = writeln!(out, "- hides when {}", escaped(hidden));
        let _ = writeln!(out, "- seen in {}\n", escaped(seen));
    }
    Ok(out)
}

fn list<'a>(catalogue: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    catalogue[key].as_array().ok_or_else(|| miette!("the catalogue has no list of {key}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    value[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `<bos>` is no tag of HTML.
fn escaped(text: &str) -> String {
    text.replace('<', "&lt;")
}
