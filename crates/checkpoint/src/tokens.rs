//! Text to token ids, through tokenizer.json.

use std::path::PathBuf;

use loupe_spec::{echo, guarded};
use tokenizers::Tokenizer;

use crate::CheckpointError;
use crate::growth::growth;
use crate::source::File;

/// A tokenizer.json that has been read.
#[derive(Debug)]
pub(crate) struct Tokens {
    path: PathBuf,
    tokenizer: Tokenizer,
    /// Of one byte of a prompt its steps make at most so many.
    growth: f64,
}

/// A prompt never becomes longer than this, in bytes. Of each, tokenizers keeps the place in the prompt, in sixteen more; Gemma's
/// makes three of one.
const LONGEST: f64 = (1 << 24) as f64;

impl Tokens {
    pub fn read(file: &File) -> Result<Tokens, CheckpointError> {
        let read = guarded(|| {
            let mut tokenizer = Tokenizer::from_bytes(&file.bytes)?;
            // Some files carry the settings of whoever saved them last; a prompt is neither cut nor filled up here.
            tokenizer.with_padding(None);
            tokenizer.with_truncation(None)?;
            Ok(tokenizer)
        });
        let tokenizer = said(read).map_err(|what| CheckpointError::Tokenizer {
            path: file.path.clone(),
            reason: format!("not a tokenizer.json that can be read: {}", echo(&what)),
        })?;
        let steps =
            [serde_json::to_value(tokenizer.get_normalizer()), serde_json::to_value(tokenizer.get_pre_tokenizer())];
        // What cannot be written cannot be judged.
        let growth = steps.into_iter().map(|steps| steps.map_or(f64::INFINITY, |steps| growth(&steps))).product();
        Ok(Tokens { path: file.path.clone(), tokenizer, growth })
    }

    /// Ids of `prompt` [T], special tokens added as tokenizer.json says (Gemma: `<bos>` first).
    pub fn encode(&self, prompt: &str, vocab_size: usize) -> Result<Vec<usize>, CheckpointError> {
        let wrong = |reason: String| CheckpointError::Tokenizer { path: self.path.clone(), reason };
        let longest = self.growth * prompt.len() as f64;
        if longest > LONGEST {
            return Err(wrong(format!(
                "could make {longest:.1e} bytes of the prompt's {}, expected at most {LONGEST:.1e}; give token_ids in its place",
                prompt.len()
            )));
        }
        let encoded = said(guarded(|| self.tokenizer.encode(prompt, true)));
        let encoding = encoded.map_err(|what| wrong(format!("could not encode the prompt: {}", echo(&what))))?;
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

/// What the crate tokenizers made, or what is wrong with the file: of some files it says so by panicking.
fn said<T>(made: Result<Result<T, tokenizers::Error>, String>) -> Result<T, String> {
    match made {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(format!("the crate tokenizers panics: {panic}")),
    }
}
