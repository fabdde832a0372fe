//! What the tests of several modules need.

/// A two-layer config.json.
pub(crate) const SMALL: &str = r#"{"model_type":"gemma2","vocab_size":11,"hidden_size":6,"intermediate_size":5,
    "num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#;
