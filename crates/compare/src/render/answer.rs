//! What is wrong, where it begins, what right and wrong code are, and what to do now.

use std::fmt::Write as _;

use loupe_spec::{Probe, Stage, echo};

use super::headline::headline;
use crate::finding::{FittedParameter, NamedMistake};
use crate::verdict::{Divergence, Verdict};
use crate::words::in_words;

/// Of one candidate, in the order in which a person wants to know it.
pub fn answer(verdict: &Verdict) -> String {
    let mut out = format!("{}\n", headline(verdict));
    line(&mut out, "judged", &judged(verdict));
    if let Some(first) = &verdict.first_divergence {
        first_stage(&mut out, verdict, first);
    }
    let of_layers = verdict.coverage.of_layers;
    verdict.mistakes.iter().for_each(|found| mistake(&mut out, found, of_layers));
    verdict.fitted.iter().for_each(|found| parameter(&mut out, found, of_layers));
    if let Some(next) = &verdict.next {
        let _ = writeln!(out, "\nnext: {next}");
    }
    out
}

/// `  label     text`
fn line(out: &mut String, label: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {label:<9} {text}");
}

/// `out/a.safetensors, as f32 (read off its values)`
fn judged(verdict: &Verdict) -> String {
    let candidate = &verdict.candidate;
    let backend = candidate.backend.as_ref().map(|backend| format!("{} ", echo(backend))).unwrap_or_default();
    let inferred = if candidate.dtype_inferred { " (read off its values)" } else { "" };
    format!("{}, as {backend}{}{inferred}", echo(&candidate.path), candidate.dtype)
}

/// The first stage that differs, with both values of the element that differs most.
fn first_stage(out: &mut String, verdict: &Verdict, first: &Divergence) {
    let place = match (&first.statistic, first.token) {
        (Some(statistic), _) => format!("its {statistic}"),
        (None, Some(token)) if first.coordinate.len() > 1 => format!("token {token}, element {:?}", first.coordinate),
        (None, _) => format!("element {:?}", first.coordinate),
    };
    let _ = writeln!(out, "\nfirst stage that differs: {}, {place}", first.probe);
    let of_mask = matches!(first.probe.parse(), Ok(Probe::Layer(_, Stage::Mask)));
    let [yours, right] = first.values.map(|value| match of_mask {
        true => if value == 0.0 { "0 (hidden)" } else { "1 (visible)" }.to_string(),
        false => number(value),
    });
    line(out, "yours", &yours);
    line(out, "Gemma's", &format!("{right}, from what you recorded before this stage"));
    let used = verdict.stages.iter().find(|stage| stage.probe == first.probe).map(|stage| stage.budget_used);
    let dtype = verdict.candidate.dtype;
    let error = format!("{} times the size of the whole tensor", times(first.local_error));
    let error = if first.budget == 0.0 {
        format!("{error}; right code has no rounding here")
    } else if first.local_error > first.budget {
        format!("{error}; rounding in {dtype} makes {:.2e} at most", first.budget)
    } else if let Some(used) = used.filter(|used| used.is_finite()) {
        format!("{error}; of this token alone {used:.1} times what rounding in {dtype} makes at most")
    } else {
        format!("{error}; a probability that has to be 0 is not, or the other way round")
    };
    line(out, "error", &error);
}

/// Six decimals, or six digits where those would show none.
fn number(value: f64) -> String {
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

fn mistake(out: &mut String, found: &NamedMistake, of_layers: usize) {
    let _ = writeln!(out, "\n{}: {}", found.id, found.sentence);
    line(out, "right", found.formula.right);
    line(out, "yours", found.formula.wrong);
    line(out, "in Loupe", &found.right);
    line(out, "where", &place(&found.sites, &found.layers, found.probe, of_layers));
    line(out, "evidence", &found.evidence);
    line(out, "seen in", &found.seen_in);
    if !found.alternatives.is_empty() {
        let what = format!(
            "{}: no worse on this input (\"check\": \"explain\" says what it does)",
            found.alternatives.join(" or ")
        );
        line(out, "or", &what);
    }
}

fn parameter(out: &mut String, found: &FittedParameter, of_layers: usize) {
    let (value, expected) = found.values();
    let _ = writeln!(out, "\n{}: another number than config.json gives.", found.parameter);
    line(out, "right", &format!("{expected}, in {}", found.formula));
    line(out, "yours", &value);
    line(out, "where", &place(&[], &found.layers, found.probe, of_layers));
    line(out, "evidence", &found.evidence);
}

/// `layers.{l}.input_layernorm, layers.{l}.post_attention_layernorm, in every layer`
fn place(sites: &[Probe], layers: &[usize], first: Probe, of_layers: usize) -> String {
    let mut patterns: Vec<String> = Vec::new();
    for pattern in sites.iter().chain(sites.is_empty().then_some(&first)).map(|probe| probe.pattern()) {
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    let layers = in_words(layers, of_layers).map(|layers| format!(", in {layers}")).unwrap_or_default();
    format!("{}{layers}", patterns.join(", "))
}
