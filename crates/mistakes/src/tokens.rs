//! Mistakes of the prompt: the model is right, and is asked something else.

use burn::tensor::backend::Backend;
use loupe_model::Operations;
use loupe_spec::{Config, Probe};

use crate::{Formula, Mistake, MistakeKind, Plant, right};

fn is_token_ids(probe: Probe) -> bool {
    probe == Probe::TokenIds
}

/// `<bos>` is not there.
pub(crate) struct BosMissing;

impl Plant for BosMissing {
    const ABOUT: Mistake = Mistake {
        id: "bos_missing",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The prompt's first token, <bos>, is not there.",
        seen_in: "mlc #2722; llama.cpp #15326",
        formula: Formula { right: "ids = [bos] + tokenize(prompt)", wrong: "ids = tokenize(prompt)" },
        right: right!("crates/checkpoint/src/tokens.rs", "self.tokenizer.encode(prompt, true)"),
        hidden_when: "the engine is given token ids",
        at: is_token_ids,
    };

    /// No operation: [`edit_tokens`].
    fn plant<B: Backend>(_operations: &mut Operations<B>, _config: &Config) {}
}

/// `<bos>` is there twice.
pub(crate) struct BosTwice;

impl Plant for BosTwice {
    const ABOUT: Mistake = Mistake {
        id: "bos_twice",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The prompt begins with <bos> twice: once from the chat template, once from the tokenizer.",
        seen_in: "sglang #888; llama.cpp #15326",
        formula: Formula { right: "ids = [bos] + tokenize(prompt)", wrong: "ids = [bos, bos] + tokenize(prompt)" },
        right: right!("crates/checkpoint/src/tokens.rs", "self.tokenizer.encode(prompt, true)"),
        hidden_when: "the engine is given token ids",
        at: is_token_ids,
    };

    /// No operation: [`edit_tokens`].
    fn plant<B: Backend>(_operations: &mut Operations<B>, _config: &Config) {}
}

/// The tokenizer puts a space before the prompt.
pub(crate) struct SpacePrefix;

impl Plant for SpacePrefix {
    const ABOUT: Mistake = Mistake {
        id: "space_prefix",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The tokenizer puts a space before the prompt.",
        seen_in: "llama.cpp #8248",
        formula: Formula { right: "ids = [bos] + tokenize(prompt)", wrong: "ids = [bos] + tokenize(\" \" + prompt)" },
        right: right!("crates/checkpoint/src/tokens.rs", "self.tokenizer.encode(prompt, true)"),
        hidden_when: "the engine is given token ids",
        at: is_token_ids,
    };

    /// No operation: [`edit_prompt`].
    fn plant<B: Backend>(_operations: &mut Operations<B>, _config: &Config) {}
}

/// The text that an engine with mistake `name` tokenizes in the place of `prompt`.
pub fn edit_prompt(name: &str, prompt: &str) -> Option<String> {
    (name == SpacePrefix::ABOUT.id).then(|| format!(" {prompt}"))
}

/// The token ids that an engine with mistake `name` runs in the place of `ids`.
pub fn edit_tokens(name: &str, ids: &[usize]) -> Option<Vec<usize>> {
    let (bos, rest) = ids.split_first()?;
    match name {
        "bos_missing" if !rest.is_empty() => Some(rest.to_vec()),
        "bos_twice" => Some([&[*bos], ids].concat()),
        _ => None,
    }
}
