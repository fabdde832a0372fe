//! Everything that can be wrong with a checkpoint's files: one error that says what and where, never a panic.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use loupe_checkpoint::{Checkpoint, RowSelection, write_random};
use loupe_spec::{Dtype, Graph};
use tempfile::TempDir;

const CONFIG: &str = r#"{"model_type":"gemma2","vocab_size":11,"hidden_size":6,"intermediate_size":5,
    "num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#;
const SHARD: &str = "model-00002-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A sound checkpoint of one or two files.
fn checkpoint(shards: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_random(CONFIG, folder.path(), shards, 1, &mut |_, _| ()).unwrap();
    folder
}

fn open(folder: &Path) -> Result<Checkpoint, String> {
    Checkpoint::open(folder.to_str().unwrap(), None).map_err(|e| e.to_string())
}

/// The error of opening the tensors, which must mention every part.
#[track_caller]
fn refuses(folder: &Path, parts: &[&str]) {
    let text = open(folder).and_then(|c| c.tensors().map_err(|e| e.to_string())).err();
    let text = text.unwrap_or_else(|| "no error at all".into());
    for part in parts {
        assert!(text.contains(part), "\"{part}\" not in: {text}");
    }
}

/// A safetensors file with this header and this much data.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn names_that_are_no_model() {
    for (model, revision, part) in [
        ("", None, "no such folder"),
        ("no-such-folder", None, "no such folder"),
        ("/no/such/folder", None, "no such folder"),
        ("builtin:big", None, "builtin:tiny"),
        ("builtin:tiny", Some("main"), "only a hub id"),
        ("src", Some("main"), "only a hub id"),
        ("Cargo.toml", None, "is a file"),
        ("src", None, "holds no config.json"),
    ] {
        let text = Checkpoint::open(model, revision).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains(part), "{model}: {text}");
    }
}

#[test]
fn config_json() {
    let folder = checkpoint(1);
    for (content, part) in [
        (b"{".as_slice(), "config.json"),
        (b"[]", "config.json"),
        (b"\xff\xfe", "utf-8"),
        (br#"{"model_type":"llama"}"#, "\"llama\""),
        (b"", "config.json"),
    ] {
        fs::write(folder.path().join("config.json"), content).unwrap();
        refuses(folder.path(), &[part]);
    }
}

#[test]
fn safetensors_files() {
    let folder = checkpoint(1);
    let file = folder.path().join("model.safetensors");
    let whole = fs::read(&file).unwrap();
    let tensor = |range: &str| format!(r#"{{"dtype":"F32","shape":[2],"data_offsets":{range}}}"#);
    let two = |a: &str, b: &str| format!(r#"{{"a":{},"b":{}}}"#, tensor(a), tensor(b));
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec();
    for (content, part) in [
        (Vec::new(), "0 bytes"),
        (whole[..5].to_vec(), "5 bytes"),
        (whole[..100].to_vec(), "claims a header of"),
        (whole[..whole.len() - 1].to_vec(), "cut off"),
        ([whole.as_slice(), b"x"].concat(), "followed by something else"),
        ([&u64::MAX.to_le_bytes(), b"{}".as_slice()].concat(), "claims a header of 18446744073709551615"),
        ([&1000u64.to_le_bytes(), b"{}".as_slice()].concat(), "claims a header of 1000"),
        (safetensors("{not json", 0), "not readable"),
        (safetensors("[]", 0), "not readable"),
        (safetensors(&two("[0,8]", "[4,12]"), 12), "overlap"),
        (safetensors(&two("[0,8]", "[16,24]"), 24), "gap"),
        (safetensors(&two("[0,8]", "[8,12]"), 12), "shape x dtype"),
        (safetensors(&two("[0,8]", "[8,16]"), 8), "cut off"),
        (safetensors(&two("[0,8]", "[8,7]"), 8), "overlap"),
        (safetensors(r#"{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,1]}}"#, 1), "Q4"),
        (safetensors(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, 8), "too large"),
        (pointer, "git lfs pull"),
    ] {
        fs::write(&file, content).unwrap();
        refuses(folder.path(), &["model.safetensors", part]);
    }
    fs::remove_file(&file).unwrap();
    refuses(folder.path(), &["model.safetensors.index.json", "converted"]);
    fs::create_dir(&file).unwrap();
    refuses(folder.path(), &["could not read"]);
}

#[test]
fn indexes() {
    let folder = checkpoint(2);
    let index = folder.path().join(INDEX);
    let text = fs::read_to_string(&index).unwrap();
    for outside in ["../x.safetensors", "/etc/passwd", "sub/x.safetensors", "..", "", ".", "c:x", "a\\\\b"] {
        fs::write(&index, text.replace(SHARD, outside)).unwrap();
        refuses(folder.path(), &[INDEX, "outside the folder"]);
    }
    fs::write(&index, text.replace(SHARD, "model-00003-of-00003.safetensors")).unwrap();
    refuses(folder.path(), &["model-00003-of-00003.safetensors, which is not there"]);
    fs::write(&index, text.replacen("model-00001-of-00002", "model-00002-of-00002", 1)).unwrap();
    refuses(folder.path(), &["but it does not", "00001-of-00002.safetensors does"]);
    for broken in ["{", "[]", "{}", r#"{"weight_map":{"a":1}}"#] {
        fs::write(&index, broken).unwrap();
        refuses(folder.path(), &[INDEX, "not a readable index"]);
    }
    fs::write(&index, &text).unwrap();
    open(folder.path()).unwrap().tensors().unwrap();
    let norm = format!("    \"model.norm.weight\": \"{SHARD}\"\n");
    assert!(text.contains(&norm));
    fs::write(&index, text.replace(&format!(",\n{norm}"), "\n")).unwrap();
    refuses(folder.path(), &["missing: model.norm.weight [6]"]);
}

#[test]
fn missing_misshapen_mistyped_and_unused_tensors_are_said_at_once_with_the_nearest_name() {
    let folder = checkpoint(1);
    let file = folder.path().join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let changed = header
        .replace("model.norm.weight", "model.nrom.weight")
        .replace("\"BF16\",\"shape\":[8,6]", "\"I16\",\"shape\":[8,6]")
        .replace("[11,6]", "[6,11]");
    fs::write(&file, [&(changed.len() as u64).to_le_bytes(), changed.as_bytes(), &bytes[8 + length..]].concat())
        .unwrap();
    refuses(
        folder.path(),
        &[
            "missing: model.norm.weight [6]; the nearest unused name is model.nrom.weight",
            "misshapen: model.embed_tokens.weight is [6, 11], expected [11, 6]",
            "of another type: model.layers.0.self_attn.q_proj.weight is I16",
            "unused: model.nrom.weight; the nearest name that is read is model.norm.weight",
        ],
    );
}

#[test]
fn a_config_with_absurdly_many_layers_costs_nothing() {
    let folder = checkpoint(1);
    fs::write(folder.path().join("config.json"), CONFIG.replace("layers\":2", "layers\":16000000")).unwrap();
    refuses(folder.path(), &["missing: model.layers.2.", "more"]);
}

#[test]
fn prompts() {
    let folder = checkpoint(1);
    let text = open(folder.path()).unwrap().encode("hello").unwrap_err().to_string();
    assert!(text.contains("no tokenizer.json") && text.contains("token_ids"), "{text}");
    assert!(open(folder.path()).unwrap().pieces(&[1]).is_none());
    assert!(open(folder.path()).unwrap().encode("").unwrap_err().to_string().contains("empty"));

    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let text = open(folder.path()).unwrap().encode("hello").unwrap_err().to_string();
    assert!(text.contains("tokenizer.json: not a tokenizer.json"), "{text}");

    // builtin:tiny's tokenizer has more tokens than this vocabulary of 11.
    let scratch = tempfile::tempdir().unwrap();
    Checkpoint::open("builtin:tiny", None).unwrap().export(scratch.path(), None).unwrap();
    fs::copy(scratch.path().join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let text = open(folder.path()).unwrap().encode("The sky").unwrap_err().to_string();
    assert!(text.contains("vocab_size 11") && text.contains("(The)"), "{text}");
    assert_eq!(open(folder.path()).unwrap().pieces(&[2, 9_999]).unwrap(), ["<bos>", "<9999>"]);
}

/// Whatever one byte of the header becomes, opening and reading answers, with tensors or with an error.
#[test]
fn a_changed_byte_of_the_header_never_panics() {
    let folder = checkpoint(1);
    let file = folder.path().join("model.safetensors");
    let whole = fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    let config = open(folder.path()).unwrap().config().clone();
    for at in 0..header {
        for byte in [b'9', b'"', b'-', 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            // Another file each time: the one before may still be mapped.
            fs::remove_file(&file).unwrap();
            fs::write(&file, changed).unwrap();
            let Ok(tensors) = open(folder.path()).unwrap().tensors() else { continue };
            for weight in Graph::of(&config).weights() {
                let _ = tensors.read(weight, RowSelection::All, Dtype::F32);
            }
        }
    }
}

/// tokenizers says of some files by panicking that they are wrong, and of others not at all.
#[test]
fn a_tokenizer_that_panics_or_grows_without_end_is_the_files_fault() {
    let folder = checkpoint(1);
    let byte_levels =
        vec![r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}"#; 60];
    let grows = format!(r#""pre_tokenizer":{{"type":"Sequence","pretokenizers":[{}]}}"#, byte_levels.join(","));
    let template = r#""type":"TemplateProcessing","pair":[],"special_tokens":{}"#;
    for (key, parts) in [
        (r#""decoder":{"type" 1}"#, ["not a tokenizer.json that can be read", "panics"]),
        (
            &format!(r#""post_processor":{{{template},"single":[{{"SpecialToken":{{"id":"<bos>","type_id":0}}}}]}}"#),
            ["could not encode the prompt", "panics"],
        ),
        (&grows, ["bytes of the prompt's 2", "give token_ids"]),
    ] {
        let text = format!(r#"{{"version":"1.0",{key},"model":{{"type":"BPE","vocab":{{"a":0,"b":1}},"merges":[]}}}}"#);
        fs::write(folder.path().join("tokenizer.json"), text).unwrap();
        let text = open(folder.path()).unwrap().encode("ab").unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)) && text.contains("tokenizer.json: "), "{text}");
    }
}
