//! What a config's "names" may say of names that nobody knows.

use loupe_compare::MOST_NAMES;
use loupe_spec::{Probe, Stage, echo};

use crate::names::{Meaning, Names};

/// Entries for the unknown names that are like a probe's, those of several layers in one; if none is, what an entry looks like.
pub fn entries(names: &Names) -> String {
    // An entry is made to be copied: of a name that cannot be shown whole there is none.
    let unknown: Vec<(&str, Option<Probe>)> = names
        .entries
        .iter()
        .filter_map(|(name, meaning)| match meaning {
            Meaning::Unknown(near) if echo(name) == *name => {
                Some((name.as_str(), near.as_deref().and_then(Probe::named)))
            }
            _ => None,
        })
        .collect();
    let entry = |name: &str, near: Probe| {
        let layer = near.layer().unwrap_or(0);
        let pattern = in_any_layer(name, layer);
        let is_of_it =
            |other: &str| (0..names.layers).any(|l| l != layer && pattern.replace("{l}", &l.to_string()) == other);
        match pattern != name && near.layer().is_some() && unknown.iter().any(|(other, _)| is_of_it(other)) {
            true => format!("\"{pattern}\": \"{}\"", near.pattern()),
            false => format!("\"{name}\": \"{near}\""),
        }
    };
    let mut entries: Vec<String> = Vec::new();
    let mut taken: Vec<Probe> = Vec::new();
    for (name, near) in unknown.iter().filter_map(|(name, near)| Some((*name, (*near)?))) {
        let entry = entry(name, near);
        // Two tensors are not one probe.
        let is_free = !taken.contains(&near);
        taken.push(near);
        if is_free && !entries.contains(&entry) && entries.len() < MOST_NAMES {
            entries.push(entry);
        }
    }
    if entries.is_empty() {
        // Which stage it is, nobody can say but its author.
        let example = entry(unknown.first().map_or("ITS_NAME", |(name, _)| name), Probe::Layer(0, Stage::Output));
        let (name, target) = example.split_once(": ").unwrap_or((&example, "\"\""));
        entries.push(format!("{name}: {}", target.replace("output", "STAGE")));
    }
    entries.join(", ")
}

/// `name` with `{l}` in the place of the first run of digits that is `layer`.
pub fn in_any_layer(name: &str, layer: usize) -> String {
    let digits = layer.to_string();
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let alone = |(at, _): &(usize, &str)| {
        !is_digit(name[..*at].chars().next_back()) && !is_digit(name[at + digits.len()..].chars().next())
    };
    match name.match_indices(&digits).find(alone) {
        Some((at, _)) => format!("{}{{l}}{}", &name[..at], &name[at + digits.len()..]),
        None => name.to_string(),
    }
}
