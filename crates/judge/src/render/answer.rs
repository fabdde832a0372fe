//! What is wrong, where it begins, what right and wrong code are, and what to do now.

use std::fmt::Write as _;

use loupe_spec::{Kind, Parameter, Probe, echo};

use super::headline::headline;
use super::part::{Part, line};
use crate::finding::{FittedParameter, NamedMistake};
use crate::verdict::{Divergence, Verdict};
use crate::words::{count, in_words, share};

/// Of one candidate as text; of `several` its path first.
pub fn text(verdict: &Verdict, several: bool) -> String {
    let path = if several { format!("{}: ", echo(&verdict.candidate.path)) } else { String::new() };
    let parts: Vec<String> = answer(verdict).iter().map(ToString::to_string).collect();
    let mut out = format!("{path}{}", parts.join("\n"));
    if let Some(next) = &verdict.next {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\nnext: {next}");
    }
    out
}

/// Of one candidate, in the order in which a person wants to know it: the verdict, the first stage that differs, what was found.
pub fn answer(verdict: &Verdict) -> Vec<Part> {
    let mut parts = vec![Part { title: headline(verdict), lines: vec![line("judged", judged(verdict))] }];
    parts.extend(verdict.first_divergence.as_ref().map(|first| first_stage(verdict, first)));
    let of_layers = verdict.coverage.of_layers;
    // What shows first stands first.
    let mistakes = verdict.mistakes.iter().map(|found| (found.probe, mistake(found, of_layers)));
    let numbers = verdict.fitted.iter().map(|found| (found.probe, parameter(found, of_layers)));
    let mut found: Vec<(Probe, Part)> = mistakes.chain(numbers).collect();
    found.sort_by_key(|(probe, _)| *probe);
    parts.extend(found.into_iter().map(|(_, part)| part));
    parts
}

/// `out/a.safetensors, as f32 (guessed from its values): wrong`
fn judged(verdict: &Verdict) -> String {
    let candidate = &verdict.candidate;
    let backend = candidate.backend.as_ref().map(|backend| format!("{} ", echo(backend))).unwrap_or_default();
    let printed = candidate.decimals.map(|decimals| format!(", printed with {}", count(decimals as usize, "decimal")));
    let inferred = if candidate.dtype_inferred { " (guessed from its values)" } else { "" };
    let answer = match verdict.exit_code {
        0 if !verdict.mistakes.is_empty() => "right but for a cast",
        0 => "right",
        4 => "not decided",
        _ => "wrong",
    };
    let path = echo(&candidate.path);
    let unknown = match verdict.coverage.unknown {
        0 => String::new(),
        unknown => format!("; {} with names that Loupe does not know", count(unknown, "tensor")),
    };
    format!("{path}, as {backend}{}{}{inferred}: {answer}{unknown}", candidate.dtype, printed.unwrap_or_default())
}

/// The first stage that differs, with both values of the element that differs most.
fn first_stage(verdict: &Verdict, first: &Divergence) -> Part {
    let probe: Option<Probe> = first.probe.parse().ok();
    let place = match &first.statistic {
        Some(statistic) => format!("in its {statistic}"),
        None => format!("worst at {}", coordinates(probe, &first.coordinate)),
    };
    let of_mask = probe.is_some_and(|probe| probe.kind() == Kind::Mask);
    let [yours, right] = first.values.map(|value| match of_mask {
        true => if value == 0.0 { "0 (hidden)" } else { "1 (visible)" }.to_string(),
        false => number(value),
    });
    let used = verdict.stages.iter().find(|stage| stage.probe == first.probe).map(|stage| stage.budget_used);
    let dtype = verdict.candidate.dtype;
    let error = format!("{} of the tensor's norm", times(first.local_error));
    let error = if first.budget == 0.0 {
        format!("{error}; right code has no rounding here")
    } else if first.local_error > first.budget {
        format!("{error}; the limit is {}, three times rounding in {dtype}", times(first.budget))
    } else if let Some(used) = used.filter(|used| used.is_finite()) {
        format!("{error}, and of this token alone {} times the limit", share(used))
    } else {
        format!("{error}; a probability that has to be 0 is not, or the other way round")
    };
    Part {
        title: format!("first stage that differs: {}, {place}", first.probe),
        lines: vec![
            line("yours", yours),
            line("Gemma's", format!("{right}, from {}", first.from.in_words())),
            line("error", error),
        ],
    }
}

/// `token 6, lane 51`: an element by the names of its axes (docs/probes.md).
pub fn coordinates(probe: Option<Probe>, at: &[usize]) -> String {
    let Some(axes) = probe.map(Probe::axes).filter(|axes| axes.len() == at.len() && axes.len() > 1) else {
        return format!("element {at:?}");
    };
    axes.iter().zip(at).map(|(axis, at)| format!("{} {at}", axis.called(axes)[0])).collect::<Vec<_>>().join(", ")
}

/// Six decimals, or six digits where those would show none.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e9).contains(&size) || !value.is_finite() {
        format!("{value:.6}")
    } else {
        format!("{value:.5e}")
    }
}

/// Two digits, as a power of ten where it is small or large.
fn times(error: f64) -> String {
    if (0.01..1e3).contains(&error) { format!("{error:.2}") } else { format!("{error:.2e}") }
}

fn mistake(found: &NamedMistake, of_layers: usize) -> Part {
    let mut lines = vec![
        line("right", found.formula.right.clone()),
        line("yours", found.formula.wrong.clone()),
        line("reference", found.right.clone()),
        line("where", place(&found.sites, &found.layers, of_layers)),
        line("evidence", found.evidence.clone()),
        line("seen in", found.seen_in.clone()),
    ];
    if !found.alternatives.is_empty() {
        let what = format!(
            "{}, which this input does not tell from it (\"check\": \"explain\" says what it does)",
            found.alternatives.join(" or ")
        );
        lines.push(line("or", what));
    }
    Part { title: format!("{}: {}", found.id, found.sentence), lines }
}

fn parameter(found: &FittedParameter, of_layers: usize) -> Part {
    let (value, expected) = found.values();
    let root = Parameter::named(&found.parameter).zip(found.value).and_then(|(own, value)| own.as_root(value));
    let layers = in_words(&found.layers, of_layers).map(|layers| format!("in {layers}; ")).unwrap_or_default();
    Part {
        title: format!("{}: another number than the checkpoint's.", found.parameter),
        lines: vec![
            line("right", format!("{expected}, in {}", found.formula)),
            line("yours", root.map_or(value.clone(), |root| format!("{value} = {root}"))),
            line("where", format!("{layers}seen first at {}", found.probe)),
            line("evidence", found.evidence.clone()),
        ],
    }
}

/// `layers.{l}.input_layernorm, layers.{l}.post_attention_layernorm, in every layer`
fn place(sites: &[Probe], layers: &[usize], of_layers: usize) -> String {
    let patterns = Probe::patterns(sites.iter().copied());
    let layers = in_words(layers, of_layers).map(|layers| format!(", in {layers}")).unwrap_or_default();
    format!("{}{layers}", patterns.join(", "))
}
