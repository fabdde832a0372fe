//! What a config's "names" may say of names that nobody knows.

use loupe_judge::MOST_NAMES;
use loupe_spec::{Probe, echo};

use crate::meaning::Meaning;
use crate::names::Names;

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
    // `target` with `{l}` for a layer stands for the stage of any.
    let entry = |name: &str, target: &str, layer: usize| {
        let pattern = in_any_layer(name, layer);
        let is_of_it =
            |other: &str| (0..names.layers).any(|l| l != layer && pattern.replace("{l}", &l.to_string()) == other);
        let is_of_several =
            target.contains("{l}") && pattern != name && unknown.iter().any(|(other, _)| is_of_it(other));
        match is_of_several {
            true => format!("\"{pattern}\": \"{target}\""),
            false => format!("\"{name}\": \"{}\"", target.replace("{l}", &layer.to_string())),
        }
    };
    let mut entries: Vec<String> = Vec::new();
    let mut taken: Vec<Probe> = Vec::new();
    for (name, near) in unknown.iter().filter_map(|(name, near)| Some((*name, (*near)?))) {
        let entry = entry(name, &near.pattern(), near.layer().unwrap_or(0));
        // Two tensors are not one probe.
        let is_free = !taken.contains(&near);
        taken.push(near);
        if is_free && !entries.contains(&entry) && entries.len() < MOST_NAMES {
            entries.push(entry);
        }
    }
    if entries.is_empty() {
        // Which stage it is, nobody can say but its author.
        entries.push(entry(unknown.first().map_or("ITS_NAME", |(name, _)| name), "layers.{l}.STAGE", 0));
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
