//! Reading config.json: what a file leaves out, what it says twice, and everything that is wrong with it.

use serde::Deserialize;
use serde_json::Value;

use crate::{Config, LayerType, echo};

/// Everything that is wrong with a config.json, at once.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a field of the wrong type.
    #[error("not a readable config.json: {}", echo(&.0.to_string()))]
    Json(#[from] serde_json::Error),
    /// Readable, but not a Gemma 2 that this program can run.
    #[error("not a Gemma 2 that Loupe can run: {}", .0.join("; "))]
    Unsupported(Vec<String>),
}

/// The file as written. `None` is "left out"; the nested options are "left out" against "null".
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: Option<usize>,
    query_pre_attn_scalar: Option<f64>,
    sliding_window: Option<usize>,
    layer_types: Option<Vec<String>>,
    #[serde(default = "attn_cap")]
    attn_logit_softcapping: Option<f64>,
    #[serde(default = "final_cap")]
    final_logit_softcapping: Option<f64>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_parameters: Option<Value>,
    rope_scaling: Option<Value>,
    max_position_embeddings: Option<usize>,
    tie_word_embeddings: Option<bool>,
    hidden_activation: Option<String>,
    attention_bias: Option<bool>,
    use_bidirectional_attention: Option<bool>,
}

fn attn_cap() -> Option<f64> {
    Some(50.0)
}

fn final_cap() -> Option<f64> {
    Some(30.0)
}

impl Config {
    /// Reads config.json's text.
    ///
    /// # Errors
    /// Text that is not JSON, a field of the wrong type, or values that are not a Gemma 2: all of the latter at once.
    pub fn from_json(text: &str) -> Result<Config, ConfigError> {
        let value: Value = serde_json::from_str(text)?;
        // Judged before the fields: a config of another family lacks half of them, and that is not the news.
        match value.get("model_type").and_then(Value::as_str) {
            Some("gemma2") | None => {}
            Some(other) => {
                return Err(ConfigError::Unsupported(vec![format!(
                    "model_type is \"{}\", expected \"gemma2\"",
                    echo(other)
                )]));
            }
        }
        let raw: Raw = serde_json::from_value(value)?;
        let mut wrong = Vec::new();
        if raw.model_type.is_none() {
            wrong.push("model_type is missing, expected \"gemma2\"".to_string());
        }
        let rope_theta = rope_theta(&raw, &mut wrong);
        let layer_types = layer_types(&raw, &mut wrong);
        let config = Config {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            num_key_value_heads: raw.num_key_value_heads,
            head_dim: raw.head_dim.unwrap_or(256),
            query_pre_attn_scalar: raw.query_pre_attn_scalar.unwrap_or(256.0),
            sliding_window: raw.sliding_window.unwrap_or(4096),
            layer_types,
            attn_logit_softcapping: raw.attn_logit_softcapping,
            final_logit_softcapping: raw.final_logit_softcapping,
            rms_norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
            rope_theta,
            max_position_embeddings: raw.max_position_embeddings.unwrap_or(8192),
            tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(true),
        };
        if let Some(activation) = raw.hidden_activation.as_deref().filter(|a| *a != "gelu_pytorch_tanh") {
            wrong.push(format!("hidden_activation is \"{}\", expected \"gelu_pytorch_tanh\"", echo(activation)));
        }
        if raw.attention_bias == Some(true) {
            wrong.push("attention_bias is true; Gemma 2's projections have no bias".into());
        }
        if raw.use_bidirectional_attention == Some(true) {
            wrong.push("use_bidirectional_attention is true; Gemma 2's attention is causal".into());
        }
        config.sizes_wrong(&mut wrong);
        if wrong.is_empty() { Ok(config) } else { Err(ConfigError::Unsupported(wrong)) }
    }

    fn sizes_wrong(&self, wrong: &mut Vec<String>) {
        for (name, size) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("sliding_window", self.sliding_window),
        ] {
            // 2^24 is far above any Gemma and keeps every product of two sizes inside u64.
            if size == 0 || size > 1 << 24 {
                wrong.push(format!("{name} is {size}, expected 1 to {}", 1 << 24));
            }
        }
        if self.num_key_value_heads != 0 && !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            wrong.push(format!(
                "num_attention_heads ({}) is not a multiple of num_key_value_heads ({})",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            wrong.push(format!("head_dim is {}, expected an even number: RoPE rotates two halves", self.head_dim));
        }
        for (name, value) in [
            ("query_pre_attn_scalar", Some(self.query_pre_attn_scalar)),
            ("rope_theta", Some(self.rope_theta)),
            ("attn_logit_softcapping", self.attn_logit_softcapping),
            ("final_logit_softcapping", self.final_logit_softcapping),
        ] {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                wrong.push(format!("{name} is {value}, expected a positive number"));
            }
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0) {
            wrong.push(format!("rms_norm_eps is {}, expected 0 or more", self.rms_norm_eps));
        }
    }
}

/// Since transformers 5 `rope_parameters.rope_theta`, before that `rope_theta`.
fn rope_theta(raw: &Raw, wrong: &mut Vec<String>) -> f64 {
    let parameters = raw.rope_parameters.as_ref().filter(|v| !v.is_null());
    for scaling in [parameters, raw.rope_scaling.as_ref().filter(|v| !v.is_null())].into_iter().flatten() {
        let kind = scaling.get("rope_type").or_else(|| scaling.get("type"));
        if let Some(kind) = kind.and_then(Value::as_str).filter(|k| *k != "default") {
            wrong.push(format!("rope type is \"{}\"; Gemma 2 uses \"default\", without scaling", echo(kind)));
        }
    }
    let nested = parameters.and_then(|p| p.get("rope_theta")).and_then(Value::as_f64);
    nested.or(raw.rope_theta).unwrap_or(10_000.0)
}

/// `layer_types` wins where present; else even layers slide (transformers: `bool((i + 1) % 2)`).
fn layer_types(raw: &Raw, wrong: &mut Vec<String>) -> Vec<LayerType> {
    let Some(names) = &raw.layer_types else {
        let parity = |l: usize| if l.is_multiple_of(2) { LayerType::Sliding } else { LayerType::Full };
        return (0..raw.num_hidden_layers.min(1 << 24)).map(parity).collect();
    };
    if names.len() != raw.num_hidden_layers {
        wrong.push(format!("layer_types has {} entries for {} layers", names.len(), raw.num_hidden_layers));
    }
    let parse = |name: &String| {
        LayerType::ALL.into_iter().find(|layer| layer.name() == name).unwrap_or_else(|| {
            let [one, other] = LayerType::ALL.map(LayerType::name);
            let message = format!("layer_types holds \"{}\", expected \"{one}\" or \"{other}\"", echo(name));
            // One wrong name is often every layer's.
            if !wrong.contains(&message) {
                wrong.push(message);
            }
            LayerType::Full
        })
    };
    names.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SIZES: &str = r#""vocab_size":8,"hidden_size":6,"intermediate_size":4,"num_hidden_layers":3,
        "num_attention_heads":2,"num_key_value_heads":1,"head_dim":4"#;

    fn parse(rest: &str) -> Result<Config, ConfigError> {
        Config::from_json(&format!("{{\"model_type\":\"gemma2\",{SIZES}{rest}}}"))
    }

    #[test]
    fn left_out_keys_take_transformers_defaults_and_null_caps_mean_none() {
        let config = parse("").unwrap();
        assert_eq!(config.attn_logit_softcapping, Some(50.0));
        assert_eq!(config.final_logit_softcapping, Some(30.0));
        assert_eq!(config.rope_theta, 10_000.0);
        assert_eq!(config.window(0), Some(4096));
        assert_eq!(config.window(1), None);
        assert_eq!(parse(r#","attn_logit_softcapping":null"#).unwrap().attn_logit_softcapping, None);
    }

    #[test]
    fn layer_types_win_over_parity_and_both_places_of_theta_are_read() {
        let config = parse(
            r#","layer_types":["full_attention","full_attention","sliding_attention"],
               "rope_parameters":{"rope_type":"default","rope_theta":500.0},"rope_theta":7.0"#,
        )
        .unwrap();
        assert_eq!(config.window(0), None);
        assert_eq!(config.window(2), Some(4096));
        assert_eq!(config.rope_theta, 500.0);
        assert_eq!(parse(r#","rope_theta":7.0"#).unwrap().rope_theta, 7.0);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let text = parse(r#","attention_bias":true,"rope_scaling":{"type":"yarn"},"layer_types":["full"]"#)
            .unwrap_err()
            .to_string();
        for part in ["attention_bias", "yarn", "1 entries for 3 layers", "\"full\""] {
            assert!(text.contains(part), "{part} not in {text}");
        }
        let family = Config::from_json(r#"{"model_type":"llama"}"#).unwrap_err().to_string();
        assert!(family.contains("\"llama\""), "{family}");
    }
}
