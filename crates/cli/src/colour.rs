//! Colours for a person at a terminal.

use owo_colors::{OwoColorize, Style};
use supports_color::Stream;

/// `text` with colours where stdout is a terminal that has them, or `FORCE_COLOR` says so.
pub fn paint(text: &str) -> String {
    if is_on(Stream::Stdout) { painted(text) } else { text.to_string() }
}

/// Whether what is written to `stream` has colours. `NO_COLOR` is the last word, which supports-color gives to `FORCE_COLOR`.
pub fn is_on(stream: Stream) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && supports_color::on(stream).is_some()
}

/// What begins a line, and how it is shown.
fn starts() -> [(&'static str, Style); 9] {
    let plain = Style::new();
    [
        ("architectural:", plain.red().bold()),
        ("backend_fault:", plain.red().bold()),
        ("inconclusive:", plain.yellow().bold()),
        ("numeric:", plain.green().bold()),
        ("exact:", plain.green().bold()),
        ("first stage that differs:", plain.bold()),
        ("next:", plain.bold()),
        ("  yours ", plain.red()),
        ("  right ", plain.green()),
    ]
}

/// In the table, what fails.
const FAILS: [&str; 2] = ["WRONG", "FAULT"];

fn painted(text: &str) -> String {
    let starts = starts();
    let line = |line: &str| {
        if line.starts_with('|') {
            let red = Style::new().red();
            return FAILS.iter().fold(line.to_string(), |line, word| line.replace(word, &word.style(red).to_string()));
        }
        match starts.iter().find(|(start, _)| line.starts_with(start)) {
            Some((start, style)) => format!("{}{}", start.style(*style), &line[start.len()..]),
            None => line.to_string(),
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_add_to_the_text_and_change_nothing_of_it() {
        let text = "architectural: gelu_erf\n  yours     1\n\n| layers.0.mlp.act | WRONG in layer 0 |\nnext: WRONG numeric: x\n";
        let coloured = painted(text);
        assert!(coloured.starts_with("\u{1b}[31;1marchitectural:\u{1b}[0m gelu_erf\n"), "{coloured:?}");
        assert!(coloured.contains("| \u{1b}[31mWRONG\u{1b}[0m in layer 0 |"), "{coloured:?}");
        let mut plain = String::new();
        for (at, part) in coloured.split('\u{1b}').enumerate() {
            plain += if at == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) };
        }
        assert_eq!(plain, text);
    }
}
