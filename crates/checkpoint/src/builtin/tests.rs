#![allow(clippy::unwrap_used)]

use loupe_spec::Weight;

use super::{NAME, file};
use crate::{Checkpoint, sha256_hex};

fn tiny() -> Checkpoint {
    Checkpoint::open(NAME, None).unwrap()
}

/// Pins the model: goldens and reports made from it name these bytes.
#[test]
fn is_the_same_on_every_platform() {
    let hash = |name| sha256_hex(&file(name).unwrap().unwrap());
    assert_eq!(hash("model.safetensors"), "156408d304a65a000f7d9ce5f92b143047fab1f319f716f86f60cc25654dbae2");
    assert_eq!(hash("tokenizer.json"), "0677605dc022970fca067b622a7f67e354a0d2398d36f469d727a8dddc4fc995");
}

#[test]
fn opens_as_a_checkpoint_without_anything_unused() {
    let tiny = tiny();
    let tensors = tiny.tensors().unwrap();
    assert!(tensors.notes().is_empty());
    assert_eq!(tensors.id().len(), 64);
    assert_eq!(tensors.entry(Weight::EMBED_TOKENS).unwrap().shape, [tiny.config().vocab_size, 60]);
}

#[test]
fn the_vocabulary_is_the_tokenizers() {
    let tokenizer = tokenizers::Tokenizer::from_bytes(file("tokenizer.json").unwrap().unwrap()).unwrap();
    assert_eq!(tokenizer.get_vocab_size(true), tiny().config().vocab_size);
}

#[test]
fn the_default_prompt_is_one_token_a_word_and_longer_than_the_window() {
    let tiny = tiny();
    let ids = tiny.encode("The color of the sky is").unwrap();
    // The ids that transformers' AutoTokenizer gives for the exported folder.
    assert_eq!(ids, [2, 356, 366, 361, 359, 369, 371]);
    assert_eq!(tiny.pieces(&ids).unwrap(), ["<bos>", "The", "▁color", "▁of", "▁the", "▁sky", "▁is"]);
    assert!(ids.len() > tiny.config().sliding_window);
}

#[test]
fn any_text_has_tokens_and_reads_back() {
    let tiny = tiny();
    let tokenizer = tokenizers::Tokenizer::from_bytes(file("tokenizer.json").unwrap().unwrap()).unwrap();
    for prompt in ["  two spaces", "tab\tand\nline", "naïve 日本 🙂", "\0", "▁", "Theofsky<bos>"] {
        let ids = tiny.encode(prompt).unwrap();
        assert_eq!(ids.first(), Some(&2), "{prompt:?}");
        assert!(!ids.contains(&3), "<unk> in {prompt:?}");
        let ids: Vec<u32> = ids.into_iter().skip(1).map(|id| id as u32).collect();
        // A ▁ that was typed reads back as the space it looks like to the tokenizer.
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), prompt.replace('▁', " "));
    }
}
