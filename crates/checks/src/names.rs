//! `names`: which probe point each tensor of a candidate is taken for, without judging anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{Table, presets};
use loupe_candidate::{Meaning, Names, in_any_layer};
use loupe_checkpoint::Checkpoint;
use loupe_config::ModelRef;
use loupe_spec::{NameEntry, Probe, echo, hint};
use serde_json::{Map, Value, json};

use crate::candidate::load;
use crate::{CheckError, text};

/// The text, and the mapping as a config's "names".
pub(crate) fn run(
    candidate: &Path,
    model: Option<&ModelRef>,
    entries: &[NameEntry],
) -> Result<(String, Value), CheckError> {
    let loaded = load(candidate)?;
    let layers = match model {
        Some(model) => Some(Checkpoint::open(&model.id, model.revision.as_deref())?.config().num_hidden_layers),
        None => None,
    };
    let names = Names::of(&loaded.source.names(), entries, layers);
    let mut out = "loupe names\n".to_string();
    text::field(&mut out, "candidate", &echo(&loaded.path));
    text::field(&mut out, "tensors", &format!("{} ({})", names.entries.len(), loaded.source.kind));
    if !names.sources.is_empty() {
        text::field(&mut out, "names", &names.line());
    }
    if let Some(remark) = names.counting.remark() {
        text::field(&mut out, "note", remark);
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["tensor", "probe point", "layers", "or, by its values"]);
    for Line { first, own, probes, others, count } in lines(&names) {
        let name = if count > 1 { own } else { first };
        let layers = if count > 1 { count.to_string() } else { String::new() };
        table.add_row([echo(&name), probes.join(" + "), layers, others.join(", ")]);
    }
    if !table.is_empty() {
        let _ = writeln!(out, "\n{table}");
    }
    let of = |pick: &dyn Fn(&Meaning) -> Option<String>| -> Vec<(String, String)> {
        names.entries.iter().filter_map(|(name, meaning)| Some((echo(name), pick(meaning)?))).collect()
    };
    let nothing = of(&|meaning| match meaning {
        Meaning::Nothing(what) => Some(what.to_string()),
        _ => None,
    });
    let unknown = of(&|meaning| match meaning {
        Meaning::Unknown(near) => Some(hint(near.as_deref()).trim_start_matches("; ").to_string()),
        _ => None,
    });
    for (title, rows) in [("no probe points", nothing), ("unknown", unknown)] {
        if rows.is_empty() {
            continue;
        }
        text::section(&mut out, title);
        for (name, what) in rows.iter().take(SHOWN) {
            text::field(&mut out, name, what);
        }
        if rows.len() > SHOWN {
            text::field(&mut out, &format!("and {} more", rows.len() - SHOWN), "");
        }
    }
    let mapping = |(name, meaning): &(String, Meaning)| match meaning {
        Meaning::Values(probes) => Some((name.clone(), probes.first()?.to_string().into())),
        _ => None,
    };
    let mapping: Map<String, Value> = names.entries.iter().filter_map(mapping).collect();
    Ok((out, json!({ "names": mapping })))
}

/// What a tensor of all hidden states holds.
const STACKED: [&str; 3] = ["embed.scaled", "layers.{l}.output", "norm"];

/// So many names of a kind are shown.
const SHOWN: usize = 20;

/// Names that differ in their layer alone.
struct Line {
    /// The first of them.
    first: String,
    /// All of them, with `{l}` for the layer.
    own: String,
    probes: Vec<String>,
    others: Vec<String>,
    count: usize,
}

/// The names that are probe points, in the order of the file, those of several layers in one line.
fn lines(names: &Names) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    // What another tensor is called this one does not hold.
    let taken: BTreeSet<Probe> = names
        .entries
        .iter()
        .filter_map(|(_, meaning)| match meaning {
            Meaning::Values(probes) => probes.first().copied(),
            _ => None,
        })
        .collect();
    let said = |probes: &[Probe]| probes.iter().map(|probe| probe.pattern()).collect::<Vec<_>>();
    for (name, meaning) in &names.entries {
        let (first, probes, others) = match meaning {
            Meaning::Values(probes) => {
                let free = names.others(probes).into_iter().filter(|other| !taken.contains(other));
                (probes.first(), said(&probes[..1]), said(&free.collect::<Vec<_>>()))
            }
            Meaning::Fused(probes) => (probes.first(), said(probes), Vec::new()),
            Meaning::Stacked => (None, STACKED.map(str::to_string).to_vec(), Vec::new()),
            _ => continue,
        };
        let layer = first.and_then(|probe| probe.layer());
        let own = layer.map_or(name.clone(), |layer| in_any_layer(name, layer));
        match at.get(&own) {
            Some(at) => lines[*at].count += 1,
            None => {
                at.insert(own.clone(), lines.len());
                lines.push(Line { first: name.clone(), own, probes, others, count: 1 });
            }
        }
    }
    lines
}
