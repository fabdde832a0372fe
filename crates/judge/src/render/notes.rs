//! What was looked at and what was not, what could be wrong without being seen, and inputs that would show it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use loupe_spec::{echo, echo_path};

use super::headline::headline;
use super::part::{Line, line};
use crate::candidate::found;
use crate::coverage::Coverage;
use crate::verdict::{Stimulus, Unseen, Verdict, Why};
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
    inputs_text(&mut out, inputs(verdict));
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
    for why in Why::ALL {
        let nowhere = verdict.unseen.iter().filter(|unseen| unseen.why == why && unseen.sites.is_none());
        let number = nowhere.filter(|unseen| counted.insert(&unseen.id)).count();
        if number > 0 {
            parts.push(format!("{number} {}", why.in_words()));
        }
    }
    parts
}

/// What to run to see what this input hides: what it is for, then each input with what is said of it; and for which mistakes there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// What they are for.
    pub title: &'static str,
    /// An input, and a line each for what differs, what it shows and how it is used.
    pub each: Vec<(String, Vec<String>)>,
    /// Why there is none for some mistakes.
    pub none: Vec<String>,
}

/// The inputs that a verdict describes.
pub fn inputs(verdict: &Verdict) -> Inputs {
    let is_written = verdict.stimuli.iter().any(|stimulus| stimulus.folder.is_some());
    let reason = |unseen: &Unseen| Some(format!("no stimulus for {}: {}", unseen.id, unseen.no_stimulus.as_ref()?));
    Inputs {
        title: match verdict.stimuli.is_empty() || is_written {
            true => "to see what this input hides:",
            false => "to tell apart what fits alike (\"stimulus\": true beside \"output\" writes it as files):",
        },
        each: verdict.stimuli.iter().map(input).collect(),
        none: verdict.unseen.iter().filter_map(reason).collect(),
    }
}

fn input(stimulus: &Stimulus) -> (String, Vec<String>) {
    let ids = &stimulus.token_ids;
    let title = match &stimulus.folder {
        Some(folder) => format!("{folder} ({} tokens): {}", ids.len(), stimulus.name),
        None => format!("{}, token ids {}:", stimulus.name, echo(&format!("{ids:?}"))),
    };
    let mut lines = stimulus.changed.clone();
    for shown in &stimulus.shows {
        let size = match (shown.verified, shown.times_noise) {
            (false, _) => "not verified: too large to run here".to_string(),
            (true, Some(times)) => format!("{times:.0} times the noise"),
            (true, None) => "right code has no noise there".to_string(),
        };
        let record = if shown.recorded { "" } else { "; record that stage" };
        lines.push(format!("shows {} at {} ({size}{record})", shown.id, shown.probe));
    }
    lines.extend(stimulus.tells_apart.iter().map(|[one, other]| format!("tells {one} from {other}")));
    lines.extend(stimulus.folder.iter().map(|folder| {
        format!(
            "run that model on its token_ids.json, dump to {folder}/ENGINE_DUMP.safetensors, then: loupe {folder}/compare.json"
        )
    }));
    (title, lines)
}

/// The same as text.
fn inputs_text(out: &mut String, Inputs { title, each, none }: Inputs) {
    if !each.is_empty() {
        let _ = writeln!(out, "\n{title}");
    }
    for (input, lines) in each {
        let _ = writeln!(out, "  {input}");
        for line in lines {
            let _ = writeln!(out, "    {line}");
        }
    }
    for reason in none {
        let _ = writeln!(out, "  {reason}");
    }
}
