//! How long a text can become on its way through a tokenizer.json.
//!
//! Normalizers and pre-tokenizers run one after the other, each on what the one before it made. Some make more of a text: a
//! byte-level step writes two bytes for one, and a hundred of them (a file of 20 kB) would fill any memory. So the bound is
//! computed before a text goes in.

use serde_json::Value;

/// At most so many bytes become of one, whatever the text is, by `steps`: a normalizer or a pre-tokenizer as tokenizer.json
/// writes it, or null.
pub(crate) fn growth(steps: &Value) -> f64 {
    let bytes = |key: &str| steps.get(key).and_then(Value::as_str).map_or(0.0, |text| text.len() as f64);
    match steps.get("type").and_then(Value::as_str) {
        None => 1.0,
        Some("Sequence") => {
            let lists = ["normalizers", "pretokenizers"].into_iter().filter_map(|key| steps.get(key)?.as_array());
            lists.flatten().map(growth).product()
        }
        Some("Replace") => {
            let content = bytes("content");
            match steps.pointer("/pattern/String").and_then(Value::as_str).map_or(0, str::len) {
                // A regular expression may match nothing, before every byte and after the last.
                0 => 1.0 + 2.0 * content,
                pattern => (content / pattern as f64).max(1.0),
            }
        }
        Some("Prepend") => 1.0 + bytes("prepend"),
        // A table of what becomes of each character, in base64.
        Some("Precompiled") => 1.0 + bytes("precompiled_charsmap"),
        // Unicode Standard Annex 15: 3 bytes for one without compatibility, 11 with it.
        Some("NFC" | "NFD") => 3.0,
        Some("NFKC" | "NFKD") => 11.0,
        // Accents come off (as NFD), letters become small (2 at most), Chinese ones get a space on either side.
        Some("BertNormalizer") => 12.0,
        Some("Lowercase") => 2.0,
        // Two bytes for one, and a space before each piece, of which every one has a byte.
        Some("ByteLevel") => 3.0,
        // For a space, and before each piece, a character of at most four bytes.
        Some("Metaspace") => 8.0,
        // These take away, or cut.
        Some(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_multiply() {
        assert_eq!(growth(&Value::Null), 1.0);
        let gemma = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        assert_eq!(growth(&gemma), 3.0);
        let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true});
        assert_eq!(growth(&json!({"type": "Sequence", "pretokenizers": vec![byte_level; 4]})), 81.0);
        let everywhere = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "abc"});
        let nested = json!({"type": "Sequence", "normalizers": [everywhere]});
        assert_eq!(growth(&json!({"type": "Sequence", "normalizers": [nested, gemma, {"type": "NFC"}]})), 63.0);
    }
}
