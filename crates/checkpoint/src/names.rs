//! What the files of a checkpoint are called.

/// What the model is.
pub(crate) const CONFIG: &str = "config.json";
/// All tensors, where they are in one file.
pub(crate) const SINGLE: &str = "model.safetensors";
/// Which of several files holds which tensor.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// Text to token ids.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// What Python wants beside it.
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Those of a checkpoint in one file or several.
pub(crate) const ALL: [&str; 5] = [CONFIG, SINGLE, INDEX, TOKENIZER, TOKENIZER_CONFIG];
