//! `config.json` of a Gemma 2 checkpoint.

use serde_json::{Value, json};

/// Which keys a layer's queries may attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerType {
    /// The last `sliding_window` keys, the query's own included.
    Sliding,
    /// Every key up to the query's own.
    Full,
}

impl LayerType {
    pub(crate) const ALL: [LayerType; 2] = [LayerType::Sliding, LayerType::Full];

    /// What config.json calls it.
    pub fn name(self) -> &'static str {
        match self {
            LayerType::Sliding => "sliding_attention",
            LayerType::Full => "full_attention",
        }
    }

    /// The other one.
    pub fn other(self) -> LayerType {
        match self {
            LayerType::Sliding => LayerType::Full,
            LayerType::Full => LayerType::Sliding,
        }
    }
}

/// The fields of config.json that decide what Gemma 2 computes, under Hugging Face's names.
///
/// Source: transformers `Gemma2Config`; a key that file leaves out takes that class's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// V
    pub vocab_size: usize,
    /// D
    pub hidden_size: usize,
    /// F
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// N
    pub num_attention_heads: usize,
    /// K; N is a multiple of it.
    pub num_key_value_heads: usize,
    /// H; even. Not always D / N: 2B has 256 against 288.
    pub head_dim: usize,
    /// Queries are scaled by this to the power -0.5. Not always H: 27B has 144 against 128.
    pub query_pre_attn_scalar: f64,
    /// Keys a sliding layer sees, the query's own included.
    pub sliding_window: usize,
    /// One entry a layer.
    pub layer_types: Vec<LayerType>,
    /// Scores become `cap * tanh(scores / cap)`; `None` leaves them.
    pub attn_logit_softcapping: Option<f64>,
    /// Logits become `cap * tanh(logits / cap)`; `None` leaves them.
    pub final_logit_softcapping: Option<f64>,
    /// Added to the mean square inside RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// The last position the checkpoint was made for, plus one.
    pub max_position_embeddings: usize,
    /// Whether lm_head is the embedding table.
    pub tie_word_embeddings: bool,
}

impl Config {
    /// The keys of config.json that say another number than in `before`, and what they say.
    pub fn keys_changed(&self, before: &Config) -> Vec<(&'static str, Value)> {
        let pairs = self.numbers().into_iter().zip(before.numbers());
        pairs.filter(|(own, other)| own != other).map(|(own, _)| own).collect()
    }

    /// The numbers that no tensor's shape depends on, as config.json writes them.
    fn numbers(&self) -> [(&'static str, Value); 8] {
        let types: Vec<&str> = self.layer_types.iter().map(|layer| layer.name()).collect();
        // transformers takes a whole number alone.
        let whole = Some(self.query_pre_attn_scalar as u64).filter(|whole| *whole as f64 == self.query_pre_attn_scalar);
        [
            ("query_pre_attn_scalar", whole.map_or_else(|| json!(self.query_pre_attn_scalar), |whole| json!(whole))),
            ("attn_logit_softcapping", json!(self.attn_logit_softcapping)),
            ("final_logit_softcapping", json!(self.final_logit_softcapping)),
            ("rms_norm_eps", json!(self.rms_norm_eps)),
            ("rope_theta", json!(self.rope_theta)),
            ("rope_parameters", json!({"rope_type": "default", "rope_theta": self.rope_theta})),
            ("sliding_window", json!(self.sliding_window)),
            ("layer_types", json!(types)),
        ]
    }

    /// The smallest there is: what is asked of names alone is the same in every model.
    pub(crate) fn of_one_layer() -> Config {
        Config {
            vocab_size: 1,
            hidden_size: 1,
            intermediate_size: 1,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            num_key_value_heads: 1,
            head_dim: 2,
            query_pre_attn_scalar: 1.0,
            sliding_window: 1,
            layer_types: vec![LayerType::Full],
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            rms_norm_eps: 0.0,
            rope_theta: 1.0,
            max_position_embeddings: 1,
            // The head is a tensor of its own.
            tie_word_embeddings: false,
        }
    }

    /// The window that applies in layer `layer`: `None` where the layer sees every earlier key.
    pub fn window(&self, layer: usize) -> Option<usize> {
        (self.layer_types[layer] == LayerType::Sliding).then_some(self.sliding_window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `export` writes, transformers reads.
    #[test]
    fn a_changed_number_keeps_the_type_that_config_json_has_for_it() {
        let before = Config::of_one_layer();
        let mut config = before.clone();
        assert!(config.keys_changed(&before).is_empty());
        (config.query_pre_attn_scalar, config.rms_norm_eps) = (16.0, 1e-5);
        let keys = config.keys_changed(&before);
        assert_eq!(keys, [("query_pre_attn_scalar", json!(16)), ("rms_norm_eps", json!(1e-5))]);
        config = Config { layer_types: vec![LayerType::Sliding], rope_theta: 2.0, ..before.clone() };
        let rope = json!({"rope_type": "default", "rope_theta": 2.0});
        let keys = config.keys_changed(&before);
        assert_eq!(keys[..2], [("rope_theta", json!(2.0)), ("rope_parameters", rope)]);
        assert_eq!(keys[2..], [("layer_types", json!(["sliding_attention"]))]);
    }
}
