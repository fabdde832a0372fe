//! What every check over a prompt needs: the checkpoint, its tensors, the token ids, the backend.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_config::{Common, Input, ModelRef};
use loupe_runtime::{Info, Limits, Recorded, Spec, TraceJob, edits, plant_in_prompt, plant_in_tokens, trace};
use loupe_spec::{Config, Edit, Graph, HostTensor, Probe, Values, echo};

use crate::{CheckError, progress, text};

/// An open checkpoint with a prompt in it.
pub struct Session<'a> {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its tensors.
    pub tensors: Tensors,
    /// The prompt.
    pub token_ids: Vec<usize>,
    /// How each token reads, where there is a tokenizer.
    pub pieces: Option<Vec<String>>,
    common: &'a Common,
    /// The mistakes that the config plants.
    edits: Vec<Edit>,
    /// What took how long, so far.
    pub timings: Vec<(String, f64)>,
}

impl<'a> Session<'a> {
    /// Opens `model` and turns `input` into token ids.
    ///
    /// # Errors
    /// What the checkpoint says, or an id outside its vocabulary.
    pub fn open(model: &ModelRef, input: &Input, common: &'a Common) -> Result<Session<'a>, CheckError> {
        let started = Instant::now();
        let checkpoint = Checkpoint::open(&model.id, model.revision.as_deref())?;
        let tensors = checkpoint.tensors()?;
        let opened = started.elapsed().as_secs_f64();
        let edits = edits(&common.mistakes, checkpoint.graph())?;
        let token_ids = match input {
            Input::Prompt(prompt) => checkpoint.encode(&plant_in_prompt(&edits, prompt))?,
            Input::TokenIds(ids) => ids.clone(),
        };
        let token_ids = plant_in_tokens(&edits, token_ids);
        let vocab_size = checkpoint.config().vocab_size;
        if let Some((position, id)) = token_ids.iter().enumerate().find(|(_, id)| **id >= vocab_size) {
            return Err(CheckError::TokenId { id: *id, position, vocab_size });
        }
        // tokenizer.json is 17 MB of JSON: it is read for text only, never to decorate ids that were given.
        let pieces = match input {
            Input::Prompt(_) => checkpoint.pieces(&token_ids),
            Input::TokenIds(_) => None,
        };
        let tokenized = started.elapsed().as_secs_f64() - opened;
        let timings = vec![("open".to_string(), opened), ("tokenize".to_string(), tokenized)];
        Ok(Session { checkpoint, tensors, token_ids, pieces, common, edits, timings })
    }

    /// config.json
    pub fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    /// The model.
    pub fn graph(&self) -> &Graph {
        self.checkpoint.graph()
    }

    /// `layer`, if the model has it.
    ///
    /// # Errors
    /// It has not.
    pub fn layer(&self, layer: usize) -> Result<usize, CheckError> {
        let layers = self.config().num_hidden_layers;
        if layer < layers { Ok(layer) } else { Err(CheckError::Layer { layer, layers }) }
    }

    /// Runs the prompt as far as `wanted` needs, on the config's backend.
    ///
    /// # Errors
    /// What the backend, the checkpoint or the model says.
    pub fn run(&mut self, wanted: impl IntoIterator<Item = Probe>) -> Result<Recorded, CheckError> {
        let wanted: BTreeSet<Probe> = wanted.into_iter().collect();
        let ids = Values::I64(self.token_ids.iter().map(|id| *id as i64).collect());
        let given = BTreeMap::from([(Probe::TOKEN_IDS, HostTensor { shape: vec![self.token_ids.len()], values: ids })]);
        let started = Instant::now();
        let spec = Spec::of(self.common);
        let recorded = progress::shown(&spec.backend, |progress| {
            let job = TraceJob {
                graph: self.checkpoint.graph(),
                tensors: &self.tensors,
                positions: (0..self.token_ids.len()).collect(),
                given,
                wanted,
                mistakes: &self.edits,
                dtype: self.common.dtype,
                limits: Limits::default(),
                progress: Some(progress),
            };
            trace(&spec, job)
        })?;
        let total = started.elapsed().as_secs_f64();
        self.timings.push(("backend".to_string(), total - recorded.seconds));
        self.timings.push(("run".to_string(), recorded.seconds));
        Ok(recorded)
    }

    /// The lines every check's text starts with.
    pub fn header(&self, info: &Info) -> String {
        let mut out = text::header(&self.checkpoint, Some(self.tensors.id()), self.common, Some(info));
        let ids: Vec<String> = self.token_ids.iter().map(ToString::to_string).collect();
        text::field(&mut out, "token ids", &format!("{} ({} tokens)", text::some_of(&ids), ids.len()));
        if let Some(pieces) = &self.pieces {
            let quoted: Vec<String> = pieces.iter().map(|piece| echo(&format!("{piece:?}"))).collect();
            text::field(&mut out, "tokens", &text::some_of(&quoted));
        }
        for note in self.tensors.notes() {
            text::field(&mut out, "note", note);
        }
        out
    }
}
