//! Verdicts for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use loupe_spec::echo;

use crate::candidate::found;
use crate::verdict::{Class, Coverage, Judgement, StageVerdict, Unseen, Verdict, Verdicts};

/// Probe by candidate: local error, budget used, and a mark. Stages of one kind stand in one row, the layer that used
/// most of its budget speaking for all.
pub fn table(verdicts: &Verdicts) -> String {
    let mut out = String::new();
    let mut groups: Vec<(Option<String>, Vec<&Verdict>)> = Vec::new();
    for verdict in &verdicts.verdicts {
        match groups.iter_mut().find(|(check, _)| *check == verdict.candidate.check) {
            Some((_, group)) => group.push(verdict),
            None => groups.push((verdict.candidate.check.clone(), vec![verdict])),
        }
    }
    for (check, group) in groups {
        if let Some(check) = check {
            let _ = writeln!(out, "\n{}", echo(&check));
        }
        let _ = writeln!(out, "{}", group_table(&group));
    }
    out
}

fn group_table(group: &[&Verdict]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let mut header = vec!["probe".to_string()];
    header.extend(group.iter().map(|verdict| label(verdict)));
    table.set_header(header);
    let mut patterns: Vec<String> = Vec::new();
    let worst: Vec<BTreeMap<String, (&StageVerdict, usize)>> = group
        .iter()
        .map(|verdict| {
            let mut rows: BTreeMap<String, (&StageVerdict, usize)> = BTreeMap::new();
            for stage in &verdict.stages {
                let pattern = stage.pattern.clone();
                if !patterns.contains(&pattern) {
                    patterns.push(pattern.clone());
                }
                let row = rows.entry(pattern).or_insert((stage, 0));
                row.1 += 1;
                if stage.budget_used > row.0.budget_used {
                    row.0 = stage;
                }
            }
            rows
        })
        .collect();
    for pattern in &patterns {
        let mut row = vec![pattern.clone()];
        row.extend(worst.iter().map(|rows| rows.get(pattern).map_or(String::new(), |(stage, _)| cell(stage))));
        table.add_row(row);
    }
    let mut last = vec!["verdict".to_string()];
    last.extend(group.iter().map(|verdict| headline(verdict)));
    table.add_row(last);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn label(verdict: &Verdict) -> String {
    let file = || Path::new(&verdict.candidate.path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = verdict.candidate.backend.clone().or_else(file).unwrap_or_default();
    let inferred = if verdict.candidate.dtype_inferred { "?" } else { "" };
    format!("{} {}{inferred}", echo(&name), verdict.candidate.dtype)
}

/// `1.2e-7   34%`, or a word where a number would mislead.
fn cell(stage: &StageVerdict) -> String {
    let layer = stage.layer.map(|layer| format!(" @{layer}")).unwrap_or_default();
    match stage.class {
        Class::Exact => "exact".to_string(),
        Class::Numeric => format!("{:.1e} {:>4.0}%", stage.local_error, stage.budget_used * 100.0),
        Class::Wrong => format!("{:.1e} WRONG{layer}", stage.local_error),
        Class::Fault => format!("FAULT{layer}"),
    }
}

fn headline(verdict: &Verdict) -> String {
    let detail = verdict.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{detail}", verdict.verdict.name())
}

/// Where nothing is wrong, how much that does not say.
fn unnoticed(verdict: &Verdict) -> Option<String> {
    verdict.unnoticed().filter(|_| !matches!(verdict.exit_code, 1 | 3))
}

/// One candidate in a line, for where many were right.
pub fn one_line(verdict: &Verdict) -> String {
    let coverage = &verdict.coverage;
    format!(
        "{}: {}{}; looked at {} of {} stages\n",
        echo(&verdict.candidate.path),
        headline(verdict),
        unnoticed(verdict).map(|unnoticed| format!("; {unnoticed}")).unwrap_or_default(),
        coverage.probes,
        coverage.of
    )
}

/// ` (layers 0, 2)`; nothing for none.
fn in_layers(layers: &[usize]) -> String {
    let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
    if layers.is_empty() { String::new() } else { format!(" (layers {})", layers.join(", ")) }
}

/// `, 4 of their 420 values, 5 statistics`; nothing where all values were recorded.
fn in_part(coverage: &Coverage) -> String {
    let mut text = String::new();
    if coverage.values < coverage.of_values {
        let _ = write!(text, ", {} of their {} values", coverage.values, coverage.of_values);
    }
    if coverage.statistics > 0 {
        let _ = write!(text, ", {} statistics of them", coverage.statistics);
    }
    text
}

/// One candidate in words: what was looked at, what is wrong, what could not be seen.
pub fn summary(verdict: &Verdict) -> String {
    let mut out = String::new();
    let coverage = &verdict.coverage;
    let _ = writeln!(
        out,
        "{}\n  looked at {} of {} stages, {} layer(s), {}{}",
        echo(&verdict.candidate.path),
        coverage.probes,
        coverage.of,
        coverage.layers.len(),
        match coverage.tokens == coverage.of_tokens {
            true => format!("{} token(s)", coverage.tokens),
            false => format!("{} of {} tokens", coverage.tokens, coverage.of_tokens),
        },
        in_part(coverage)
    );
    if !coverage.ignored.is_empty() {
        let _ = writeln!(out, "  not judged (no probe of ours): {}", found(&coverage.ignored));
    }
    for what in &coverage.not_comparable {
        let _ = writeln!(out, "  not compared: {what}");
    }
    for note in &verdict.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    if let Some(first) = &verdict.first_divergence {
        let place = match (&first.statistic, first.token) {
            (Some(statistic), _) => format!("in its {statistic}"),
            (None, Some(token)) => format!("at token {token}, {:?}", first.coordinate),
            (None, None) => format!("at {:?}", first.coordinate),
        };
        let _ = writeln!(
            out,
            "  first divergence: {} {place}: {:.6} against {:.6}; local error {:.2e}, budget {:.2e}",
            first.probe, first.values[0], first.values[1], first.local_error, first.budget
        );
    }
    for mistake in &verdict.mistakes {
        let at = in_layers(&mistake.layers);
        let _ = writeln!(out, "  {} at {}{at}: {}", mistake.id, mistake.probe, mistake.sentence);
        let _ = writeln!(out, "    {}; seen in {}", mistake.evidence, mistake.seen_in);
        let _ = writeln!(out, "    the right code: {}", mistake.right);
        if !mistake.alternatives.is_empty() {
            let _ = writeln!(out, "    fits as well on this input: {}", mistake.alternatives.join(", "));
        }
    }
    for fitted in &verdict.fitted {
        let _ = writeln!(out, "  {} at {}{}", fitted.line(), fitted.probe, in_layers(&fitted.layers));
        let _ = writeln!(out, "    no mistake of the catalogue says so; {}", fitted.evidence);
    }
    for why in ["identical here", "below the noise", "not recorded", "not tried"] {
        let nowhere = verdict.unseen.iter().filter(|unseen| unseen.why == why && unseen.sites.is_none());
        let mut ids: Vec<&str> = nowhere.map(|unseen| unseen.id.as_str()).collect();
        ids.dedup();
        if !ids.is_empty() {
            let _ = writeln!(out, "  cannot be told ({why}): {}", ids.join(", "));
        }
    }
    let partly = || verdict.unseen.iter().filter(|unseen| unseen.sites.is_some());
    let (not_tried, hidden): (Vec<&Unseen>, Vec<&Unseen>) = partly().partition(|unseen| unseen.why == "not tried");
    for (some, what) in [
        (hidden, "cannot be told in some layers or at some stages alone"),
        (not_tried, "were looked for below the noise in the first layers only, as the model is large"),
    ] {
        if !some.is_empty() {
            let _ = writeln!(out, "  {} more {what} (listed in the JSON)", some.len());
        }
    }
    stimuli(&mut out, verdict);
    let word = match verdict.verdict {
        Judgement::Exact => "every bit is the reference's",
        Judgement::Numeric => "no difference is larger than rounding",
        Judgement::Architectural => "the mathematics differs",
        Judgement::BackendFault => "what ran it is broken",
        Judgement::Inconclusive => "not to be told from what was recorded",
    };
    let unnoticed = unnoticed(verdict).map(|unnoticed| format!("; {unnoticed}")).unwrap_or_default();
    let _ = writeln!(out, "  {}: {word}{unnoticed}", headline(verdict));
    if let Some(next) = &verdict.next {
        let _ = writeln!(out, "  next: {next}");
    }
    out
}

/// What to run to see what this input hides; where that was not asked for, how to ask.
fn stimuli(out: &mut String, verdict: &Verdict) {
    let written = verdict.stimuli.iter().any(|stimulus| stimulus.folder.is_some());
    let asked = written || verdict.unseen.iter().any(|unseen| unseen.no_stimulus.is_some());
    let count = verdict.indistinguishable.len();
    if !asked && count > 0 {
        let _ = writeln!(
            out,
            "  {count} mistake(s) cannot be told here; \"stimulus\": true beside \"output\" looks for inputs that show them, \
             and says of which there is none"
        );
    }
    if written {
        let _ = writeln!(out, "  To see what this input hides:");
    } else if !verdict.stimuli.is_empty() {
        let _ =
            writeln!(out, "  To tell apart what fits alike (\"stimulus\": true beside \"output\" writes it as files):");
    }
    for stimulus in &verdict.stimuli {
        let ids = &stimulus.token_ids;
        let _ = match &stimulus.folder {
            Some(folder) => writeln!(out, "    {folder} ({} tokens): {}", ids.len(), stimulus.name),
            None => writeln!(out, "    {}, token ids {}:", stimulus.name, echo(&format!("{ids:?}"))),
        };
        for change in &stimulus.changed {
            let _ = writeln!(out, "      {change}");
        }
        for shown in &stimulus.shows {
            let size = match (shown.verified, shown.times_noise) {
                (false, _) => "not verified: too large to run here".to_string(),
                (true, Some(times)) => format!("{times:.0} times the noise"),
                (true, None) => "right code has no noise there".to_string(),
            };
            let record = if shown.recorded { "" } else { "; record that stage" };
            let _ = writeln!(out, "      shows {} at {} ({size}{record})", shown.id, shown.probe);
        }
        for [one, other] in &stimulus.tells_apart {
            let _ = writeln!(out, "      tells {one} from {other}");
        }
        if let Some(folder) = &stimulus.folder {
            let _ = writeln!(
                out,
                "      run that model on its token_ids.json, dump to {folder}/ENGINE_DUMP.safetensors, then: loupe {folder}/compare.json"
            );
        }
    }
    for unseen in &verdict.unseen {
        if let Some(reason) = &unseen.no_stimulus {
            let _ = writeln!(out, "    no stimulus for {}: {reason}", unseen.id);
        }
    }
}
