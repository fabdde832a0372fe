//! `trace`: every probe point, or those named, also as another tool takes them.

use std::collections::BTreeSet;

use loupe_config::{Common, Emit, Input, ModelRef};
use loupe_spec::{Graph, Probe, nearest};
use serde_json::{Value, json};

use crate::done::{Done, Kept, model_of};
use crate::next_config::next_config;
use crate::session::Session;
use crate::{CheckError, doppler, text};

pub(crate) fn run(
    model: &ModelRef,
    input: &Input,
    layers: Option<&[usize]>,
    patterns: Option<&[String]>,
    emit: Option<Emit>,
    common: &Common,
) -> Result<(Done, Option<Value>), CheckError> {
    let mut session = Session::open(model, input, common)?;
    for layer in layers.unwrap_or_default() {
        session.layer(*layer)?;
    }
    let mut wanted = match emit {
        None => choose(session.graph(), layers, patterns)?,
        Some(Emit::DopplerBoundaries) => doppler::wanted(session.graph(), layers),
    };
    wanted.insert(Probe::TOKEN_IDS);
    let recorded = session.run(wanted)?;
    let mut out = session.header(&recorded.info);
    text::section(&mut out, "tensors");
    let last = session.config().num_hidden_layers - 1;
    let both_ends = [Probe::of(Some(last), "output"), Probe::of(None, "norm")];
    let both_ends = both_ends.iter().flatten().all(|probe| recorded.values.contains_key(probe));
    let info = recorded.info.clone();
    let emitted = match emit {
        None => None,
        Some(Emit::DopplerBoundaries) => Some(doppler::capture(&session, input, layers, &recorded, common)?),
    };
    let kept = Kept::of(recorded.named());
    for (name, summary) in &kept.summaries {
        text::field(&mut out, name, &summary.to_string());
    }
    if both_ends {
        text::section(&mut out, "transformers' hidden_states[-1] is \"norm\", not the last layer's output.");
    }
    if common.output.is_none() {
        text::field(&mut out, "\nnot kept", "add \"output\": \"out/trace\" to write the full tensors");
    }
    let all = json!({"layers": (0..=last).collect::<Vec<_>>(), "token": -1});
    let done = Done {
        text: out,
        findings: Vec::new(),
        next: Some(next_config("layer-out", model, Some(input), common, all)),
        model: model_of(&session.checkpoint, Some(session.tensors.id())),
        info,
        kept,
        token_ids: session.token_ids,
        timings: session.timings,
    };
    Ok((done, emitted))
}

/// The probes that match one of `patterns` (all without), of `layers` (all without) or of no layer.
fn choose(graph: &Graph, layers: Option<&[usize]>, patterns: Option<&[String]>) -> Result<BTreeSet<Probe>, CheckError> {
    let in_layers = |probe: &Probe| probe.layer().is_none_or(|l| layers.is_none_or(|layers| layers.contains(&l)));
    let all: Vec<Probe> = graph.probes().filter(in_layers).collect();
    let Some(patterns) = patterns else { return Ok(all.into_iter().collect()) };
    let mut chosen = BTreeSet::new();
    for pattern in patterns {
        let before = chosen.len();
        chosen.extend(all.iter().copied().filter(|probe| matches(pattern, &probe.to_string())));
        if chosen.len() == before && !all.iter().any(|probe| matches(pattern, &probe.to_string())) {
            let names: Vec<String> = all.iter().map(ToString::to_string).collect();
            let nearest = nearest(pattern, names.iter().map(String::as_str)).map(str::to_string);
            return Err(CheckError::NoProbe { pattern: pattern.clone(), nearest });
        }
    }
    Ok(chosen)
}

/// Whether `name` is `pattern`, in which `*` stands for any characters, none included.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut tail) = name.strip_prefix(head) else { return false };
    // Each part at its first place: what is left then is longest, so no other choice can match where this does not.
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in between.split('*') {
        let Some(at) = tail.find(part) else { return false };
        tail = &tail[at + part.len()..];
    }
    tail.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("layers.*.self_attn.q_*", "layers.12.self_attn.q_proj"));
        assert!(matches("*", "norm") && matches("norm*", "norm") && matches("norm", "norm"));
        assert!(!matches("layers.*.output", "layers.1.output.x") && !matches("norm", "norms"));
        assert!(matches("*a*b*a", "xaxbxba") && !matches("a*a", "a") && !matches("*ab*ab*", "xabx"));
    }

    /// Backtracking over twenty stars would not end.
    #[test]
    fn many_stars_take_no_longer_than_few() {
        let name = "layers.12.self_attn.q_proj".repeat(20);
        assert!(!matches(&format!("{}x", "*a".repeat(20)), &name) && matches(&"*".repeat(1000), &name));
    }
}
