//! `attn`: one layer's attention, step by step, on that layer's real input.

use loupe_config::{Common, Input, ModelRef};
use loupe_runtime::Recorded;
use loupe_spec::{Config, HostTensor, Probe};
use serde_json::json;

use crate::done::{Done, Kept, model_of};
use crate::next_config::next_config;
use crate::session::Session;
use crate::{CheckError, text};

pub(crate) fn run(model: &ModelRef, input: &Input, layer: usize, common: &Common) -> Result<Done, CheckError> {
    let mut session = Session::open(model, input, common)?;
    session.layer(layer)?;
    // From the layer's input to what attention gives back.
    let (first, last) = (in_layer(layer, "input")?, in_layer(layer, "self_attn.o_proj")?);
    let wanted: Vec<Probe> = session.graph().probes().filter(|probe| (first..=last).contains(probe)).collect();
    let recorded = session.run(wanted.into_iter().chain([Probe::TOKEN_IDS]))?;
    let mut out = session.header(&recorded.info);
    let at = At { recorded: &recorded, layer, last: session.token_ids.len() - 1 };
    sizes(&mut out, session.config(), layer, session.token_ids.len());
    at.projections(&mut out)?;
    at.rotated(&mut out)?;
    at.attention(&mut out, session.config())?;
    Ok(Done {
        text: out,
        findings: Vec::new(),
        next: Some(next_config("weights", model, None, common, json!({"layer": layer, "proj": "q"}))),
        model: model_of(&session.checkpoint, Some(session.tensors.id())),
        info: recorded.info.clone(),
        kept: Kept::of(recorded.named()),
        token_ids: session.token_ids,
        timings: session.timings,
    })
}

fn in_layer(layer: usize, path: &str) -> Result<Probe, CheckError> {
    Ok(format!("layers.{layer}.{path}").parse()?)
}

fn sizes(out: &mut String, config: &Config, layer: usize, tokens: usize) {
    text::field(out, "layer", &layer.to_string());
    text::field(out, "hidden_size", &config.hidden_size.to_string());
    let heads = (config.num_attention_heads, config.num_key_value_heads);
    text::field(out, "heads, kv heads, head_dim", &format!("{}, {}, {}", heads.0, heads.1, config.head_dim));
    let window = match config.window(layer) {
        None => "full attention: no window in this layer".to_string(),
        Some(window) if window >= tokens => {
            format!("sliding, {window} keys: no shorter than this prompt of {tokens}, so it hides nothing here")
        }
        Some(window) => {
            format!("sliding, {window} keys: the last token sees keys {} to {}", tokens - window, tokens - 1)
        }
    };
    text::field(out, "window", &window);
    let scale = config.query_pre_attn_scalar.powf(-0.5);
    text::field(out, "scale", &format!("query_pre_attn_scalar {}^-0.5 = {scale:.6}", config.query_pre_attn_scalar));
    let cap = config.attn_logit_softcapping.map_or("none".to_string(), |cap| cap.to_string());
    text::field(out, "score cap", &cap);
}

struct At<'a> {
    recorded: &'a Recorded,
    layer: usize,
    last: usize,
}

impl At<'_> {
    fn get(&self, path: &str) -> Result<&HostTensor, CheckError> {
        Ok(self.recorded.get(in_layer(self.layer, path)?)?)
    }

    fn projections(&self, out: &mut String) -> Result<(), CheckError> {
        text::section(out, "first 8 (q, k, v: of head 0)");
        text::row(out, "layer input, last token", &self.get("input")?.token(self.last), 8, 4);
        for (name, path) in [
            ("input norm", "input_layernorm"),
            ("q", "self_attn.q_proj"),
            ("k", "self_attn.k_proj"),
            ("v", "self_attn.v_proj"),
        ] {
            text::row(out, &format!("{name}, last token"), &self.get(path)?.token(self.last), 8, 4);
            text::row(out, &format!("{name}, token 0"), &self.get(path)?.token(0), 8, 4);
        }
        text::section(out, "max abs per token");
        for (name, path) in [("q", "self_attn.q_proj"), ("k", "self_attn.k_proj"), ("v", "self_attn.v_proj")] {
            let per_token = text::max_abs_per_token(self.get(path)?);
            text::row_of_all(out, name, &per_token, 4);
        }
        Ok(())
    }

    fn rotated(&self, out: &mut String) -> Result<(), CheckError> {
        text::section(out, "after RoPE, first 8 of head 0");
        for (name, path) in [("q", "self_attn.q_rope"), ("k", "self_attn.k_rope")] {
            text::row(out, &format!("{name}, last token"), &self.get(path)?.token(self.last), 8, 4);
            text::row(out, &format!("{name}, token 0"), &self.get(path)?.token(0), 8, 4);
        }
        Ok(())
    }

    /// Head 0's row of the last token over the last 16 keys, through scores, cap, mask and softmax.
    fn attention(&self, out: &mut String, config: &Config) -> Result<(), CheckError> {
        let keys = self.last + 1;
        let shown = keys.min(16);
        text::section(out, &format!("head 0, last token, keys {} to {}", keys - shown, keys - 1));
        // [N, T, S]: the row of head 0 and the last token.
        let row = |path| self.get(path).map(|tensor| tensor.row(self.last));
        for (name, path) in [
            ("scores", "self_attn.scores"),
            ("capped", "self_attn.scores_capped"),
            ("mask", "self_attn.mask"),
            ("probs", "self_attn.probs"),
        ] {
            let values = row(path)?;
            let decimals = if name == "mask" { 0 } else { 4 };
            let tail = values.get(keys - shown..).unwrap_or(&values);
            text::field(out, name, &text::numbers_wide(tail.iter().copied(), decimals, 10));
        }
        if let Some(cap) = config.attn_logit_softcapping {
            let scores = self.get("self_attn.scores")?.values.to_f64();
            text::field(out, "largest |score| / cap", &format!("{:.4}", text::max_abs(&scores) / cap));
        }
        text::section(out, "first 8");
        text::row(out, "context, last token", &self.get("self_attn.context")?.token(self.last), 8, 4);
        text::row(out, "context, token 0", &self.get("self_attn.context")?.token(0), 8, 4);
        text::row(out, "o_proj, last token", &self.get("self_attn.o_proj")?.token(self.last), 8, 4);
        text::row(out, "o_proj, token 0", &self.get("self_attn.o_proj")?.token(0), 8, 4);
        Ok(())
    }
}
