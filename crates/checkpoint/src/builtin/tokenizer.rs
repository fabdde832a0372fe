//! The built-in model's tokenizer.json: Gemma's kind of tokenizer (BPE with byte fallback, `▁` for a space, `<bos>` put
//! first), with a vocabulary of a few common words.

use serde_json::{Map, Value, json};

const SPECIAL: [&str; 4] = ["<pad>", "<eos>", "<bos>", "<unk>"];

/// Words that are one token each. One that follows a space starts with `▁`, as in Gemma's vocabulary.
const WORDS: &str = "The ▁the ▁of ▁color ▁sky ▁is ▁a ▁and ▁to ▁in ▁that ▁it ▁for ▁on ▁with ▁as ▁was ▁blue ▁red ▁green \
                     ▁this ▁are ▁not ▁sea";

/// tokenizer.json's text.
pub(super) fn json() -> String {
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let printable = ('!'..='~').map(String::from);
    let mut tokens: Vec<String> = SPECIAL.map(String::from).into_iter().chain(bytes).chain(printable).collect();
    tokens.push("▁".into());

    // A word grows from its left, one character a merge, so no merge can take a character away from another.
    let mut merges: Vec<(String, String)> = Vec::new();
    for word in WORDS.split(' ') {
        let mut grown = String::new();
        for character in word.chars() {
            let merge = (grown.clone(), character.to_string());
            grown.push(character);
            if !merge.0.is_empty() && !merges.contains(&merge) {
                merges.push(merge);
                tokens.push(grown.clone());
            }
        }
    }

    let vocab: Map<String, Value> = tokens.into_iter().enumerate().map(|(id, token)| (token, id.into())).collect();
    let special = |(id, content): (usize, &str)| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        })
    };
    let bos = json!({ "SpecialToken": { "id": "<bos>", "type_id": 0 } });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": SPECIAL.into_iter().enumerate().map(special).collect::<Vec<_>>(),
        "normalizer": { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        "pre_tokenizer": {
            "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [
                bos, { "Sequence": { "id": "A", "type_id": 0 } },
                { "SpecialToken": { "id": "<bos>", "type_id": 1 } }, { "Sequence": { "id": "B", "type_id": 1 } }
            ],
            "special_tokens": { "<bos>": { "id": "<bos>", "ids": [2], "tokens": ["<bos>"] } }
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
                { "type": "ByteFallback" },
                { "type": "Fuse" }
            ]
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": merges
        }
    })
    .to_string()
}
