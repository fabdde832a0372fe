//! Mistakes of the prompt: the model is right, and is asked something else.

use loupe_spec::Probe;

use crate::{Change, Formula, Mistake, MistakeKind, known, right};

fn is_token_ids(probe: Probe) -> bool {
    probe == Probe::TokenIds
}

/// `<bos>` is not there.
pub(crate) const BOS_MISSING: Mistake = Mistake {
    id: "bos_missing",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The prompt's first token, <bos>, is not there.",
    seen_in: "mlc #2722; llama.cpp #15326",
    formula: Formula { right: "ids = [bos] + tokenize(prompt)", wrong: "ids = tokenize(prompt)" },
    right: right!("crates/checkpoint/src/tokens.rs", "self.tokenizer.encode(prompt, true)"),
    hidden_when: "the engine is given token ids",
    at: is_token_ids,
    changes: &[Change::Tokens(|ids| match ids {
        [_bos, rest @ ..] if !rest.is_empty() => rest.to_vec(),
        _ => ids.to_vec(),
    })],
};

/// `<bos>` is there twice.
pub(crate) const BOS_TWICE: Mistake = Mistake {
    id: "bos_twice",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The prompt begins with <bos> twice: once from the chat template, once from the tokenizer.",
    seen_in: "sglang #888; llama.cpp #15326",
    formula: Formula { right: "ids = [bos] + tokenize(prompt)", wrong: "ids = [bos, bos] + tokenize(prompt)" },
    right: right!("crates/checkpoint/src/tokens.rs", "self.tokenizer.encode(prompt, true)"),
    hidden_when: "the engine is given token ids",
    at: is_token_ids,
    changes: &[Change::Tokens(|ids| ids.iter().take(1).chain(ids).copied().collect())],
};

/// The tokenizer puts a space before the prompt.
pub(crate) const SPACE_PREFIX: Mistake = Mistake {
    id: "space_prefix",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The tokenizer puts a space before the prompt.",
    seen_in: "llama.cpp #8248",
    formula: Formula { right: "ids = [bos] + tokenize(prompt)", wrong: "ids = [bos] + tokenize(\" \" + prompt)" },
    right: right!("crates/checkpoint/src/tokens.rs", "self.tokenizer.encode(prompt, true)"),
    hidden_when: "the engine is given token ids",
    at: is_token_ids,
    changes: &[Change::Prompt(|prompt| format!(" {prompt}"))],
};

/// What the mistakes called `names` change of prompts and ids.
pub(crate) fn of(names: &[String]) -> impl Iterator<Item = Change> {
    names.iter().filter_map(|name| known(name).ok()).flat_map(|mistake| mistake.changes).copied()
}

/// `ids` after `mistakes`, one after the other.
pub(crate) fn edited(mistakes: &[&Mistake], ids: &[usize]) -> Vec<usize> {
    mistakes.iter().flat_map(|mistake| mistake.changes).fold(ids.to_vec(), |ids, change| match change {
        Change::Tokens(edit) => edit(&ids),
        _ => ids,
    })
}

/// Token ids that tell one order of edits from another: each is different.
pub(crate) const SOME: [usize; 3] = [0, 1, 2];
