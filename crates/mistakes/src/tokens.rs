//! Mistakes of the prompt: the model is right, and is asked something else.

use loupe_spec::{Change, Edit, Formula, Mistake, MistakeKind, Probe, What};

use crate::cite::right;

fn is_token_ids(probe: Probe) -> bool {
    probe == Probe::TOKEN_IDS
}

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

/// What `edits` change of prompts and ids, and of the graph: each mistake once.
pub(crate) fn changes(edits: &[Edit]) -> Vec<Change> {
    let made = Edit::once(edits).into_iter().filter(|edit| !edit.sites.is_empty());
    let changes =
        made.filter_map(|edit| if let What::Mistake(mistake) = edit.what { Some(mistake.changes) } else { None });
    changes.flatten().copied().collect()
}
