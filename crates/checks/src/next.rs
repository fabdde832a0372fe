//! What to do after a verdict: the last line of its text.

use std::collections::BTreeSet;

use loupe_config::{Common, Compare, Input, ModelRef};
use loupe_judge::{Judgement, Verdict, Why};
use loupe_runtime::mistakes;
use loupe_spec::{Arithmetic, Dtype, Graph, MistakeKind, Precision, Probe};
use serde_json::json;

use crate::next_config::{next_config, short};

/// The one thing that leads on from `verdict`, of a candidate judged at `precision`, of `model` over the tokens of `input`.
pub(crate) fn next(
    verdict: &Verdict,
    compare: &Compare,
    precision: Precision,
    model: &ModelRef,
    input: &Input,
    graph: &Graph,
) -> String {
    let by_hand = |probe: Probe| {
        let (check, keys) = match probe.layer() {
            None if probe.is_embedding() => ("embed", json!({})),
            Some(layer) if probe.path().starts_with("self_attn.") => ("attn", json!({ "layer": layer })),
            _ => ("trace", json!({ "probes": [probe.to_string()] })),
        };
        format!(
            "for {probe} in full, run the config {}",
            short(&next_config(check, model, Some(input), &Common::default(), keys))
        )
    };
    match verdict.verdict {
        Judgement::Inconclusive => format!(
            "record layers.0.input_layernorm and layers.0.self_attn.q_proj of the same run: with both, Loupe can tell a precision \
             from a mistake. Or say \"candidate_dtype\": \"{}\", if that is what it computes in; for a quantised engine, point \"model\" at its \
             weights, dequantised",
            precision.arithmetic().map_or(precision.storage.name(), Arithmetic::name)
        ),
        Judgement::BackendFault => {
            let probe = verdict.first_divergence.as_ref().and_then(|first| first.probe.parse().ok());
            let probe = probe
                .or(verdict.mistakes.first().map(|mistake| mistake.probe))
                .or(graph.probes().next_back())
                .unwrap_or(Probe::TOKEN_IDS);
            format!(
                "{}; {}",
                if verdict.recording_suspect {
                    format!(
                        "see whether {probe} is copied before it is computed, or its buffer used again, and record it anew"
                    )
                } else {
                    format!(
                        "run it twice, and on another device or driver: where {probe} comes out right, a kernel is at fault"
                    )
                },
                by_hand(probe)
            )
        }
        Judgement::Architectural => {
            let likely = verdict.mistakes.iter().find(|mistake| !mistake.alternatives.is_empty());
            let named = verdict.mistakes.iter().map(|mistake| mistake.probe);
            let fitted = verdict.fitted.iter().map(|fitted| fitted.probe);
            let first = verdict.first_divergence.as_ref().and_then(|first| first.probe.parse().ok());
            match (likely, named.chain(fitted).min().or(first)) {
                (Some(mistake), Some(probe)) if !is_recorded(verdict, &mistake.sites) => {
                    let site = mistake.sites.first().copied().unwrap_or(probe);
                    format!(
                        "record {site}, whole{}: it tells {} from {}",
                        if graph.inputs(site).is_empty() { "" } else { ", and what it is computed from" },
                        mistake.id,
                        mistake.alternatives.join(", ")
                    )
                }
                (_, Some(probe)) if probe == Probe::TOKEN_IDS => {
                    "give the engine the ids of the prompt; or, where yours are the ones that you meant, give them to Loupe as \
                     \"token_ids\" in the place of \"prompt\"; then judge it again"
                        .to_string()
                }
                (_, Some(probe)) if verdict.mistakes.is_empty() && verdict.fitted.is_empty() => format!(
                    "make sure that this tensor really is {probe} (\"check\": \"names\" says what was read as what); {}",
                    by_hand(probe)
                ),
                (_, Some(probe)) => format!("change yours to \"right\" above, and judge again; {}", by_hand(probe)),
                (_, None) if verdict.detail.as_deref() == Some("shape") => {
                    "mend the shapes first; what follows from them cannot be judged".to_string()
                }
                (_, None) => {
                    "nothing else is wrong: give the engine the ids of the prompt, or the config those of the engine, and both the same \
                     checkpoint; then judge again"
                        .to_string()
                }
            }
        }
        Judgement::Exact | Judgement::Numeric => {
            let coverage = &verdict.coverage;
            if coverage.last_token == Some(0) && coverage.of_tokens > 1 {
                return "record a later token as well, best of all the last: token 0 attends to itself alone, so that neither mask \
                        nor rotation nor scores show in it"
                    .to_string();
            }
            let missing = |why: Why| verdict.unseen.iter().any(|unseen| unseen.why == why && unseen.sites.is_none());
            if missing(Why::NotRecorded) {
                let seen = |probe: &str| verdict.stages.iter().any(|stage| stage.probe == probe);
                let wanted = ["logits", "logits.raw", "norm", "embed.scaled"];
                let wanted = wanted.into_iter().find(|probe| !seen(probe)).unwrap_or("layers.0.output");
                if wanted == "logits" && seen("logits.raw") {
                    return "record the logits after the cap; if those that were read as logits.raw are what your engine samples from, it \
                            has no cap (final_softcap_missing): say so with \"names\": {\"THEIR_NAME\": \"logits\"}"
                        .to_string();
                }
                return format!(
                    "record {wanted} as well: not everything that could be wrong shows in what was recorded"
                );
            }
            if verdict.coverage.values < verdict.coverage.of_values {
                return match deciding(verdict, graph) {
                    Some((probe, ids)) => {
                        format!("record {probe} whole and what it is computed from: it shows {}", some(&ids))
                    }
                    None => "record whole tensors: these few values cannot tell everything that they touch".to_string(),
                };
            }
            // In these no input shows where a cast stands.
            let is_wide = matches!(verdict.candidate.dtype, Dtype::F32 | Dtype::F64);
            let of_casts = |id: &String| {
                is_wide && mistakes().iter().any(|known| known.id == id && known.kind == MistakeKind::DtypePolicy)
            };
            if verdict.indistinguishable.iter().any(|id| !of_casts(id)) && !compare.stimulus {
                return "add \"stimulus\": true and an \"output\": Loupe then looks for inputs that show what this one hides"
                    .to_string();
            }
            "a longer prompt, or the engine's next backend or precision".to_string()
        }
    }
}

/// What to do where the candidate has other `rows` than the prompt `tokens`, and what it was taken for explains too little.
pub(crate) fn whose_rows(rows: usize, tokens: usize, without_bos: bool) -> String {
    let bos = if without_bos { " (the config's do not begin with <bos>, 2; did the engine's?)" } else { "" };
    let positions = if rows < tokens { ", or say which tokens the rows are (\"positions\")" } else { "" };
    format!(
        "your tensors have {rows} rows, and the prompt {tokens} tokens: give the ids that the engine ran, as \"token_ids\" in \
         the config or as a tensor of that name{bos}{positions}; then judge it again"
    )
}

/// The tensor at which most of the mistakes are made that the few values recorded leave below the noise, and their ids.
fn deciding(verdict: &Verdict, graph: &Graph) -> Option<(Probe, Vec<&'static str>)> {
    let hidden = verdict.unseen.iter().filter(|unseen| unseen.why == Why::BelowTheNoise && unseen.sites.is_none());
    let hidden: Vec<_> = hidden.filter_map(|unseen| mistakes().iter().find(|known| known.id == unseen.id)).collect();
    let made_at = |probe: Probe| -> BTreeSet<&'static str> {
        hidden.iter().filter(|mistake| (mistake.at)(probe)).map(|mistake| mistake.id).collect()
    };
    let all = graph.probes().filter(|probe| *probe != Probe::TOKEN_IDS);
    // Of several, the first.
    let counted = all.map(|probe| (probe, made_at(probe))).rev();
    let (probe, ids) = counted.max_by_key(|(_, ids)| ids.len()).filter(|(_, ids)| !ids.is_empty())?;
    Some((probe, ids.into_iter().collect()))
}

/// The first of `ids`, and how many more there are.
fn some(ids: &[&str]) -> String {
    let shown = ids.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    if ids.len() > 3 { format!("{shown} and {} more", ids.len() - 3) } else { shown }
}

/// Whether one of `sites` was recorded whole.
fn is_recorded(verdict: &Verdict, sites: &[Probe]) -> bool {
    let whole = verdict.coverage.values == verdict.coverage.of_values;
    whole && sites.iter().any(|site| verdict.stages.iter().any(|stage| stage.probe == site.to_string()))
}
