//! `layer-out`: the residual stream after chosen layers, at one token, the first token beside it.

use loupe_config::{Common, Input, ModelRef};
use loupe_spec::{HostTensor, Probe};
use serde_json::json;

use crate::done::{Done, Kept, model_of};
use crate::next_config::next_config;
use crate::session::Session;
use crate::{CheckError, text};

pub(crate) fn run(
    model: &ModelRef,
    input: &Input,
    layers: &[usize],
    token: i64,
    common: &Common,
) -> Result<Done, CheckError> {
    let mut session = Session::open(model, input, common)?;
    for layer in layers {
        session.layer(*layer)?;
    }
    let tokens = session.token_ids.len();
    let at = resolve(token, tokens)?;
    let last_layer = session.config().num_hidden_layers - 1;
    let mut names: Vec<String> = layers.iter().map(|layer| format!("layers.{layer}.output")).collect();
    if layers.contains(&last_layer) {
        names.push("norm".to_string());
    }
    let wanted = names.iter().map(|name| name.parse()).collect::<Result<Vec<Probe>, _>>()?;
    let recorded = session.run(wanted.iter().copied().chain([Probe::TOKEN_IDS]))?;
    let mut out = session.header(&recorded.info);
    for probe in &wanted {
        let name = match probe.layer() {
            Some(layer) if layer == last_layer => {
                format!("layer {layer} (the last; transformers' hidden_states[-1] is the final norm, not this)")
            }
            Some(layer) => format!("layer {layer}"),
            None => format!("final norm of layer {last_layer} (transformers' hidden_states[-1])"),
        };
        text::section(&mut out, &name);
        let value = recorded.get(*probe)?;
        lines(&mut out, &format!("token {at}"), value, at);
        lines(&mut out, "token 0 (BOS)", value, 0);
    }
    Ok(Done {
        text: out,
        findings: Vec::new(),
        next: Some(next_config("embed", model, Some(input), common, json!({}))),
        model: model_of(&session.checkpoint, Some(session.tensors.id())),
        info: recorded.info.clone(),
        kept: Kept::of(recorded.named()),
        token_ids: session.token_ids,
        timings: session.timings,
    })
}

fn lines(out: &mut String, name: &str, value: &HostTensor, token: usize) {
    let row = value.token(token);
    text::row(out, &format!("{name}, first 8"), &row, 8, 4);
    text::row(out, &format!("{name}, max abs"), &[text::max_abs(&row)], 1, 4);
    text::row(out, &format!("{name}, mean abs"), &[text::mean_abs(&row)], 1, 4);
}

/// -1 is the last token.
fn resolve(token: i64, tokens: usize) -> Result<usize, CheckError> {
    let count = i64::try_from(tokens).unwrap_or(i64::MAX);
    let index = if token < 0 { token + count } else { token };
    match usize::try_from(index) {
        Ok(index) if index < tokens => Ok(index),
        _ => Err(CheckError::Token { token, tokens }),
    }
}
