//! What was looked at and what was not, what could be wrong without being seen, and inputs that would show it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use loupe_spec::{echo, echo_path};

use super::headline::headline;
use super::part::{Line, line};
use crate::candidate::found;
use crate::coverage::Coverage;
use crate::verdict::{Verdict, Why};
use crate::words::count;

/// Of one candidate as text, below `title` where there are several.
pub fn text(verdict: &Verdict, title: Option<&str>, json: Option<&Path>) -> String {
    let mut out = "\n".to_string();
    if let Some(title) = title {
        let _ = writeln!(out, "{title}");
    }
    let listed = match json {
        Some(json) => format!("listed under \"unseen\" in {}", echo_path(json)),
        None => "an \"output\" in the config lists them, under \"unseen\"".to_string(),
    };
    for Line { label, text } in notes(verdict, &listed) {
        let _ = writeln!(out, "{label}: {text}");
    }
    stimuli(&mut out, verdict);
    out
}

/// What was looked at and what was not, remarks, and what is not ruled out; `listed` says where that is listed.
pub fn notes(verdict: &Verdict, listed: &str) -> Vec<Line> {
    let coverage = &verdict.coverage;
    let mut lines = vec![line("looked at", looked_at(coverage))];
    if !coverage.ignored.is_empty() {
        let what = format!(
            "{}; where Loupe does not know a name, \"names\" in the config says which stage it is",
            found(&coverage.ignored)
        );
        lines.push(line("not judged", what));
    }
    lines.extend(coverage.not_comparable.iter().map(|what| line("not compared", what.clone())));
    // What the first line says is not said again.
    let first = headline(verdict);
    lines.extend(verdict.notes.iter().filter(|note| !first.contains(*note)).map(|note| line("note", note.clone())));
    lines.extend(unnoticed(verdict, listed).map(|what| line("not ruled out", what)));
    lines
}

/// `97 of 97 stages, in 4 of 4 layers, 7 of 7 tokens`
fn looked_at(coverage: &Coverage) -> String {
    let mut text = format!("{} of {}", coverage.probes, count(coverage.of, "stage"));
    if coverage.of_layers > 0 {
        let _ = write!(text, ", {} of {}", coverage.layers.len(), count(coverage.of_layers, "layer"));
        let _ = write!(text, ", {} of {}", coverage.tokens, count(coverage.of_tokens, "token"));
    }
    if coverage.values < coverage.of_values {
        let _ =
            write!(text, "; {} of the {} that these stages have", coverage.values, count(coverage.of_values, "value"));
    }
    if coverage.statistics > 0 {
        let _ = write!(text, "; {} of them", count(coverage.statistics, "statistic"));
    }
    text
}

/// How much could be wrong without being seen, and where it is listed.
fn unnoticed(verdict: &Verdict, listed: &str) -> Option<String> {
    let ids = &verdict.indistinguishable;
    let mut what = count(ids.len(), "mistake");
    if (1..=NAMED).contains(&ids.len()) {
        let _ = write!(what, " ({})", ids.join(", "));
    }
    let reasons = reasons(verdict);
    if !reasons.is_empty() {
        let _ = write!(what, ": {}", reasons.join(", "));
    }
    let partly = verdict.unseen.iter().filter(|unseen| unseen.sites.is_some()).count();
    if partly > 0 {
        let _ = write!(what, "; {partly} more in some layers or stages alone");
    }
    if ids.is_empty() && partly == 0 {
        return None;
    }
    Some(format!("{what}; {listed}"))
}

/// So many ids are named at once.
const NAMED: usize = 4;

/// Why mistakes cannot be seen anywhere in this candidate's recordings, and how many.
fn reasons(verdict: &Verdict) -> Vec<String> {
    let mut counted: BTreeSet<&str> = BTreeSet::new();
    let mut parts = Vec::new();
    for (why, place) in [
        (Why::BelowTheNoise, "smaller than rounding in this precision"),
        (Why::IdenticalHere, "without effect on this input"),
        (Why::NotRecorded, "not covered by what was recorded"),
        (Why::NotTried, "not tried in a model of this size"),
    ] {
        let nowhere = verdict.unseen.iter().filter(|unseen| unseen.why == why && unseen.sites.is_none());
        let number = nowhere.filter(|unseen| counted.insert(&unseen.id)).count();
        if number > 0 {
            parts.push(format!("{number} {place}"));
        }
    }
    parts
}

/// What to run to see what this input hides.
fn stimuli(out: &mut String, verdict: &Verdict) {
    let written = verdict.stimuli.iter().any(|stimulus| stimulus.folder.is_some());
    if written {
        let _ = writeln!(out, "\nto see what this input hides:");
    } else if !verdict.stimuli.is_empty() {
        let _ =
            writeln!(out, "\nto tell apart what fits alike (\"stimulus\": true beside \"output\" writes it as files):");
    }
    for stimulus in &verdict.stimuli {
        let ids = &stimulus.token_ids;
        let _ = match &stimulus.folder {
            Some(folder) => writeln!(out, "  {folder} ({} tokens): {}", ids.len(), stimulus.name),
            None => writeln!(out, "  {}, token ids {}:", stimulus.name, echo(&format!("{ids:?}"))),
        };
        for change in &stimulus.changed {
            let _ = writeln!(out, "    {change}");
        }
        for shown in &stimulus.shows {
            let size = match (shown.verified, shown.times_noise) {
                (false, _) => "not verified: too large to run here".to_string(),
                (true, Some(times)) => format!("{times:.0} times the noise"),
                (true, None) => "right code has no noise there".to_string(),
            };
            let record = if shown.recorded { "" } else { "; record that stage" };
            let _ = writeln!(out, "    shows {} at {} ({size}{record})", shown.id, shown.probe);
        }
        for [one, other] in &stimulus.tells_apart {
            let _ = writeln!(out, "    tells {one} from {other}");
        }
        if let Some(folder) = &stimulus.folder {
            let _ = writeln!(
                out,
                "    run that model on its token_ids.json, dump to {folder}/ENGINE_DUMP.safetensors, then: loupe {folder}/compare.json"
            );
        }
    }
    for unseen in &verdict.unseen {
        if let Some(reason) = &unseen.no_stimulus {
            let _ = writeln!(out, "  no stimulus for {}: {reason}", unseen.id);
        }
    }
}
