//! Text to token ids, through tokenizer.json.

use std::path::PathBuf;

use loupe_spec::echo;
use tokenizers::Tokenizer;

use crate::CheckpointError;
use crate::source::File;

/// A tokenizer.json that has been read.
#[derive(Debug)]
pub(crate) struct Tokens {
    path: PathBuf,
    tokenizer: Tokenizer,
}

impl Tokens {
    pub fn read(file: &File) -> Result<Tokens, CheckpointError> {
        let wrong = |e: tokenizers::Error| CheckpointError::Tokenizer {
            path: file.path.clone(),
            reason: format!("not a tokenizer.json that can be read: {}", echo(&e.to_string())),
        };
        let mut tokenizer = Tokenizer::from_bytes(&file.bytes).map_err(wrong)?;
        // Some files carry the settings of whoever saved them last; a prompt is neither cut nor filled up here.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(wrong)?;
        Ok(Tokens { path: file.path.clone(), tokenizer })
    }

    /// Ids of `prompt` [T], special tokens added as tokenizer.json says (Gemma: `<bos>` first).
    pub fn encode(&self, prompt: &str, vocab_size: usize) -> Result<Vec<usize>, CheckpointError> {
        let wrong = |reason: String| CheckpointError::Tokenizer { path: self.path.clone(), reason };
        let encoded = self.tokenizer.encode(prompt, true);
        let encoding = encoded.map_err(|e| wrong(format!("could not encode the prompt: {}", echo(&e.to_string()))))?;
        let ids: Vec<usize> = encoding.get_ids().iter().map(|id| *id as usize).collect();
        match ids.iter().find(|id| **id >= vocab_size) {
            Some(id) => Err(wrong(format!(
                "makes token {id} ({}) of the prompt, but config.json has vocab_size {vocab_size}; \
                 the tokenizer is another model's",
                echo(&self.piece(*id))
            ))),
            None => Ok(ids),
        }
    }

    /// How token `id` reads; `<id>` where the tokenizer has no such token.
    pub fn piece(&self, id: usize) -> String {
        u32::try_from(id).ok().and_then(|id| self.tokenizer.id_to_token(id)).unwrap_or_else(|| format!("<{id}>"))
    }
}
