//! The verdict in one line, and how sure it is.

use loupe_spec::{Arithmetic, Probe};

use crate::finding::NamedMistake;
use crate::verdict::{Class, Judgement, Verdict};
use crate::words::{and, count, in_words};

/// `architectural: gelu_erf, in every layer; explains 4 of 4 failing stages`
pub fn headline(verdict: &Verdict) -> String {
    let what = match verdict.verdict {
        Judgement::Exact => "every judged value is the reference's, bit for bit".to_string(),
        Judgement::Numeric => numeric(verdict),
        Judgement::Architectural => architectural(verdict),
        Judgement::BackendFault => fault(verdict),
        Judgement::Inconclusive => format!(
            "rounding, as much as in {}{}, or a mistake: what was recorded cannot tell which",
            verdict.candidate.dtype,
            lost(verdict).map(|lost| format!(" with {lost}")).unwrap_or_default()
        ),
    };
    let hidden = verdict.indistinguishable.len();
    let unnoticed = match matches!(verdict.exit_code, 1 | 3) || hidden == 0 {
        true => String::new(),
        false => format!("; {} cannot be ruled out", count(hidden, "mistake")),
    };
    let unknown = match verdict.coverage.unknown {
        unknown if unknown > 0 && verdict.exit_code == 0 => format!("; {} not judged", count(unknown, "tensor")),
        _ => String::new(),
    };
    let apart = match verdict.coverage.not_comparable.len() {
        0 => String::new(),
        tensors => format!("; {} could not be compared", count(tensors, "tensor")),
    };
    let rows = match verdict.other_rows {
        Some(rows) => format!(
            "; or another prompt was run: yours has {rows} rows, this one {}",
            count(verdict.coverage.of_tokens, "token")
        ),
        None => String::new(),
    };
    // An engine that has no cap gives the same values.
    let seen = |probe: &str| verdict.stages.iter().any(|stage| stage.probe == probe);
    let uncapped = match verdict.exit_code == 0 && seen("logits.raw") && !seen("logits") {
        true => "; its logits are those before the cap",
        false => "",
    };
    format!("{}: {what}{uncapped}{rows}{apart}{unknown}{unnoticed}", verdict.verdict.name())
}

fn numeric(verdict: &Verdict) -> String {
    let dtype = verdict.candidate.dtype;
    if !verdict.mistakes.is_empty() {
        return format!(
            "{}, a cast elsewhere than in transformers and no mistake of the formulas; no other difference is larger than rounding \
             in {dtype}",
            named(verdict)
        );
    }
    match lost(verdict) {
        None => format!("no difference is larger than rounding in {dtype}"),
        Some(lost) => format!("no difference is larger than rounding in {dtype}, with {lost}"),
    }
}

/// What is lost beside the rounding of results, in words and by its name: `TF32 operands (tf32)`.
fn lost(verdict: &Verdict) -> Option<String> {
    let detail = verdict.detail.as_deref()?;
    let words = detail.split(" + ").map(|name| {
        let arithmetic = Arithmetic::ALL.into_iter().find(|arithmetic| arithmetic.name() == name);
        match (arithmetic, name.strip_suffix("_decimals")) {
            (Some(arithmetic), _) => format!("{} ({name})", arithmetic.what()),
            (None, Some(decimals)) => format!("values printed with {decimals} decimals"),
            (None, None) => name.to_string(),
        }
    });
    Some(and(&words.collect::<Vec<_>>()))
}

fn fault(verdict: &Verdict) -> String {
    let whose = match verdict.recording_suspect {
        true => "what follows was computed without them, so the recording may have broken them",
        false => "the formulas may be right, what ran them is not",
    };
    let mut faults = verdict.stages.iter().filter(|stage| stage.class == Class::Fault);
    let Some(first) = faults.next() else { return format!("{}: {whose}", named(verdict)) };
    let more = match faults.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let also = if verdict.mistakes.is_empty() { String::new() } else { format!("; {} besides", named(verdict)) };
    format!("{}{more}: zeros, NaN or infinities that the inputs do not explain; {whose}{also}", first.probe)
}

fn architectural(verdict: &Verdict) -> String {
    let failing = verdict.stages.iter().filter(|stage| stage.class == Class::Wrong).count();
    let open = &verdict.unexplained;
    let found = verdict.mistakes.len() + verdict.fitted.len();
    let unknown = |probe: &Probe| format!("{probe} differs by more than rounding, and no known mistake explains it");
    // What is not what was asked for; the notes say it in full.
    let is_said = found + open.len() == 0 || verdict.mistakes.iter().any(is_of_the_prompt);
    let asked = match verdict.structure.first().filter(|_| !is_said) {
        Some(first) if verdict.detail.as_deref() == Some("shape") => format!("{first}; "),
        Some(first) => format!("{}; ", first.split_once(':').map_or(first.as_str(), |(what, _)| what)),
        None => String::new(),
    };
    let what = match (found, open.first()) {
        (0, Some(first)) if open.len() == 1 => unknown(first),
        (0, Some(first)) => format!("{}; the same goes for {} more", unknown(first), count(open.len() - 1, "stage")),
        (0, None) => match verdict.detail.as_deref() {
            _ if !verdict.structure.is_empty() => structure(&verdict.structure),
            Some("f16_overflow") => "values are beyond 65504, the largest of f16 (f16_overflow)".to_string(),
            Some("values") => format!("{} with other values than Gemma's", count(failing, "stage")),
            Some(other) => other.to_string(),
            None => "it answers another question".to_string(),
        },
        (_, open_first) => {
            let explains = if found == 1 { "explains" } else { "together they explain" };
            let explained = failing.saturating_sub(open.len());
            let of_the_prompt = verdict.mistakes.iter().all(is_of_the_prompt) && verdict.fitted.is_empty();
            let sure = match failing {
                0 if of_the_prompt => String::new(),
                0 => "; no stage is beyond its limit by itself, all together show it".to_string(),
                _ => format!("; {explains} {explained} of {}", count(failing, "failing stage")),
            };
            let rest = open_first.map(|first| format!("; no known mistake explains {first}")).unwrap_or_default();
            format!("{}{sure}{rest}", named(verdict))
        }
    };
    format!("{asked}{what}")
}

/// The first of `sentences`, and how many more there are.
fn structure(sentences: &[String]) -> String {
    let first = sentences.first().map_or("", String::as_str);
    if sentences.len() > 1 {
        format!("{first}; and {} more (in the notes)", sentences.len() - 1)
    } else {
        first.to_string()
    }
}

fn is_of_the_prompt(mistake: &NamedMistake) -> bool {
    mistake.sites == [Probe::TOKEN_IDS]
}

/// Each mistake and each number with another value, and where: `scale_missing, in every layer; gelu_erf, in layer 2`.
fn named(verdict: &Verdict) -> String {
    let of = verdict.coverage.of_layers;
    let place = |layers: &[usize], probe: &Probe| match in_words(layers, of) {
        Some(layers) => format!(", in {layers}"),
        None if *probe == Probe::TOKEN_IDS => ", in the prompt".to_string(),
        None => format!(", at {probe}"),
    };
    let mistake = |mistake: &NamedMistake| {
        let either = [&mistake.id].into_iter().chain(&mistake.alternatives).map(String::as_str);
        let what = either.collect::<Vec<_>>().join(" or ");
        (mistake.probe, format!("{what}{}", place(&mistake.layers, &mistake.probe)))
    };
    let fitted = verdict
        .fitted
        .iter()
        .map(|fitted| (fitted.probe, format!("{}{}", fitted.line(), place(&fitted.layers, &fitted.probe))));
    // What shows first stands first.
    let mut all: Vec<(Probe, String)> = verdict.mistakes.iter().map(mistake).chain(fitted).collect();
    all.sort_by_key(|(probe, _)| *probe);
    all.into_iter().map(|(_, what)| what).collect::<Vec<_>>().join("; ")
}
