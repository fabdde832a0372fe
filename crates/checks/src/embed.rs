//! `embed`: the embedding, its scale, and what layer 0 makes of it.

use loupe_config::{Common, Input, ModelRef};
use loupe_spec::{Dtype, Probe};
use serde_json::json;

use crate::done::{Done, Kept, model_of};
use crate::next_config::next_config;
use crate::session::Session;
use crate::{CheckError, text};

/// What is shown.
const SHOWN: [(&str, &str); 3] =
    [("embedding, raw", "embed.raw"), ("embedding, scaled", "embed.scaled"), ("layer 0 output", "layers.0.output")];

pub(crate) fn run(model: &ModelRef, input: &Input, common: &Common) -> Result<Done, CheckError> {
    let mut session = Session::open(model, input, common)?;
    let shown = SHOWN.map(|(label, name)| name.parse().map(|probe: Probe| (label, probe)));
    let shown = shown.into_iter().collect::<Result<Vec<_>, _>>()?;
    let recorded = session.run(shown.iter().map(|(_, probe)| *probe).chain([Probe::TOKEN_IDS]))?;
    let mut out = session.header(&recorded.info);
    let last = session.token_ids.len() - 1;

    text::section(&mut out, "scale");
    scale(&mut out, session.config().hidden_size, common.dtype);
    text::section(&mut out, "last token, first 5");
    for (label, probe) in &shown {
        text::row(&mut out, label, &recorded.get(*probe)?.token(last), 5, 4);
    }
    text::section(&mut out, "max abs per token");
    for (label, probe) in &shown {
        let per_token = text::max_abs_per_token(recorded.get(*probe)?);
        text::row_of_all(&mut out, label, &per_token, 2);
    }
    Ok(Done {
        text: out,
        findings: Vec::new(),
        next: Some(next_config("attn", model, Some(input), common, json!({"layer": 0}))),
        model: model_of(&session.checkpoint, Some(session.tensors.id())),
        info: recorded.info.clone(),
        kept: Kept::of(recorded.named()),
        token_ids: session.token_ids,
        timings: session.timings,
    })
}

/// The scale, exact and as the run's dtype and bf16 hold it: an engine that loads bf16 may have rounded it.
fn scale(out: &mut String, hidden_size: usize, dtype: Dtype) {
    let exact = (hidden_size as f64).sqrt();
    let bf16 = Dtype::Bf16.round(exact);
    text::field(out, "sqrt(hidden_size)", &format!("sqrt({hidden_size}) = {exact}"));
    text::field(out, &format!("as used here ({dtype})"), &dtype.round(exact).to_string());
    let verdict = if bf16 == exact {
        format!("{bf16}: exact, no dtype rounds it")
    } else {
        format!("{bf16}: rounded, off by {:.2e} relative", (bf16 - exact).abs() / exact)
    };
    text::field(out, "in bf16", &verdict);
}
