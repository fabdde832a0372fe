//! A checkpoint that has been found: config.json is read, the rest waits.

use std::sync::OnceLock;

use loupe_spec::{Config, Graph};

use crate::hash::sha256_hex;
use crate::hub::HubSettings;
use crate::names::{CONFIG, TOKENIZER};
use crate::source::{File, Source};
use crate::tokens::Tokens;
use crate::{CheckpointError, Tensors};

/// A Gemma 2 checkpoint. Holds config.json; opens the tokenizer and the tensors when asked for them.
#[derive(Debug)]
pub struct Checkpoint {
    model: String,
    pub(crate) source: Source,
    pub(crate) config_file: File,
    config: Config,
    graph: OnceLock<Graph>,
    /// A real tokenizer.json takes a second to read: once is enough.
    tokens: OnceLock<Tokens>,
}

impl Checkpoint {
    /// Finds `model`, a folder, a hub id such as `google/gemma-2-2b-it` or `builtin:tiny`, and reads its config.json.
    ///
    /// A hub id is looked up in the Hugging Face cache (`HF_HUB_CACHE`, `HF_HOME`) at `revision`, a branch, tag or
    /// commit (default `main`), and downloaded only where the cache lacks it.
    ///
    /// # Errors
    /// Nothing of that name, no config.json, a config.json that is not a Gemma 2's, `revision` for anything but a hub
    /// id, or the hub's refusal.
    pub fn open(model: &str, revision: Option<&str>) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open_with(model, revision, &HubSettings::from_env())
    }

    pub(crate) fn open_with(
        model: &str,
        revision: Option<&str>,
        settings: &HubSettings,
    ) -> Result<Checkpoint, CheckpointError> {
        let source = Source::find(model, revision, settings)?;
        let config_file = source.file(CONFIG)?.ok_or_else(|| {
            source.missing(CONFIG, "name the folder of a checkpoint in Hugging Face layout, not one above or below it")
        })?;
        let config = parse_config(&config_file)?;
        let (graph, tokens) = (OnceLock::new(), OnceLock::new());
        Ok(Checkpoint { model: model.into(), source, config_file, config, graph, tokens })
    }

    /// `model` as given to [`Checkpoint::open`].
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The commit that is read where `model` is a hub id, whatever branch or tag was asked for.
    pub fn revision(&self) -> Option<&str> {
        self.source.commit()
    }

    /// What config.json says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The values of a forward pass, and the tensors it takes. Recorded when it is first asked for, which is after the tensors
    /// were opened: a config.json may claim millions of layers.
    pub fn graph(&self) -> &Graph {
        self.graph.get_or_init(|| Graph::of(&self.config))
    }

    /// config.json's text.
    pub fn config_json(&self) -> &str {
        // Checked to be UTF-8 when it was parsed.
        std::str::from_utf8(&self.config_file.bytes).unwrap_or_default()
    }

    /// Token ids of `prompt` [T], `<bos>` included, as tokenizer.json makes them.
    ///
    /// # Errors
    /// An empty prompt, no tokenizer.json or one that cannot be read, or a token beyond the vocabulary.
    pub fn encode(&self, prompt: &str) -> Result<Vec<usize>, CheckpointError> {
        if prompt.is_empty() {
            return Err(CheckpointError::EmptyPrompt);
        }
        let tokens = match self.tokens.get() {
            Some(tokens) => tokens,
            None => {
                let no_tokenizer = || {
                    let offline = self.source.offline(TOKENIZER);
                    offline.unwrap_or_else(|| CheckpointError::NoTokenizer { location: self.model.clone() })
                };
                let file = self.source.file(TOKENIZER)?.ok_or_else(no_tokenizer)?;
                let read = Tokens::read(&file)?;
                self.tokens.get_or_init(|| read)
            }
        };
        tokens.encode(prompt, self.config.vocab_size)
    }

    /// How each token reads in the tokenizer (`▁sky`), for people; `None` where this machine has no tokenizer for the
    /// model that works. Downloads nothing.
    pub fn pieces(&self, ids: &[usize]) -> Option<Vec<String>> {
        let tokens = match self.tokens.get() {
            Some(tokens) => tokens,
            None => {
                let read = Tokens::read(&self.source.local_file(TOKENIZER).ok()??).ok()?;
                self.tokens.get_or_init(|| read)
            }
        };
        Some(ids.iter().map(|id| tokens.piece(*id)).collect())
    }

    /// SHA-256 of tokenizer.json in hex; `None` where this machine has none for the model.
    pub fn tokenizer_sha256(&self) -> Option<String> {
        self.source.local_file(TOKENIZER).ok()?.map(|file| sha256_hex(&file.bytes))
    }

    /// Opens the tensors and checks that they are those config.json calls for. Reads headers, no data.
    ///
    /// # Errors
    /// No tensors there, a broken index or file, or tensors that are missing, misshapen or of a type that is not read:
    /// all of those at once, beside the unused ones. Unused ones alone are no error but [`Tensors::notes`].
    pub fn tensors(&self) -> Result<Tensors, CheckpointError> {
        Tensors::open(&self.model, &self.source, &self.config_file, &self.config)
    }
}

fn parse_config(file: &File) -> Result<Config, CheckpointError> {
    let text = std::str::from_utf8(&file.bytes).map_err(|utf8| CheckpointError::Io {
        doing: "read",
        path: file.path.clone(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, utf8),
    })?;
    Config::from_json(text).map_err(|source| CheckpointError::Config { path: file.path.clone(), source })
}
