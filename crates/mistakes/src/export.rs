//! Mistakes that a checkpoint can hold: config.json says another number, and a right engine computes the wrong thing.

use loupe_spec::{Config, LayerType};
use serde_json::{Value, json};

/// Edits `document`, a config.json, so that a right engine makes the mistake `name`; `false` where no config.json can
/// say it (another rotation, another norm).
pub fn edit_config(name: &str, config: &Config, document: &mut Value) -> bool {
    let per_head = config.hidden_size as f64 / config.num_attention_heads as f64;
    let types = |slides: &dyn Fn(usize) -> bool| {
        let one = |layer| if slides(layer) { "sliding_attention" } else { "full_attention" };
        json!((0..config.num_hidden_layers).map(one).collect::<Vec<_>>())
    };
    let edits: Vec<(&str, Value)> = match name {
        "attn_softcap_missing" => vec![("attn_logit_softcapping", Value::Null)],
        "final_softcap_missing" => vec![("final_logit_softcapping", Value::Null)],
        "softcap_constant" => {
            vec![("attn_logit_softcapping", json!(config.attn_logit_softcapping.map(|cap| cap * 0.6)))]
        }
        "scale_head_dim" => vec![("query_pre_attn_scalar", json!(config.head_dim))],
        "scale_hidden_per_head" => vec![("query_pre_attn_scalar", json!(per_head))],
        "scale_missing" => vec![("query_pre_attn_scalar", json!(1))],
        "scale_twice" => vec![("query_pre_attn_scalar", json!(config.query_pre_attn_scalar.powi(2)))],
        "norm_eps" => vec![("rms_norm_eps", json!(config.rms_norm_eps * 10.0))],
        "norm_eps--none" => vec![("rms_norm_eps", json!(0.0))],
        "rope_theta" => {
            vec![("rope_theta", json!(1e6)), ("rope_parameters", json!({"rope_type": "default", "rope_theta": 1e6}))]
        }
        "window_parity" => {
            vec![("layer_types", types(&|layer| config.layer_types[layer] != LayerType::Sliding))]
        }
        "window_everywhere" => vec![("layer_types", types(&|_| true))],
        "window_nowhere" => vec![("layer_types", types(&|_| false))],
        "window_off_by_one" => vec![("sliding_window", json!(config.sliding_window + 1))],
        "window_off_by_one--fewer" => vec![("sliding_window", json!((config.sliding_window - 1).max(1)))],
        _ => return false,
    };
    if let Some(keys) = document.as_object_mut() {
        keys.extend(edits.into_iter().map(|(key, value)| (key.to_string(), value)));
    }
    true
}
