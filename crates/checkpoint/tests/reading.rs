//! Reading sound checkpoints: rows, types, identity, what is unused, NaN, and writing them out again.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use half::bf16;
use loupe_checkpoint::{Checkpoint, RowSelection, Tensors, sha256_hex, write_random};
use loupe_spec::{Dtype, Values, Weight};
use tempfile::TempDir;

const CONFIG: &str = r#"{"model_type":"gemma2","vocab_size":11,"hidden_size":6,"intermediate_size":5,
    "num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#;

fn folder(shards: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_random(CONFIG, folder.path(), shards, 1, &mut |_, _| ()).unwrap();
    folder
}

fn open(folder: &Path) -> Checkpoint {
    Checkpoint::open(folder.to_str().unwrap(), None).unwrap()
}

fn tensors(folder: &Path) -> Tensors {
    open(folder).tensors().unwrap()
}

/// Rewrites a one-file checkpoint's header and data.
fn edit(folder: &Path, change: impl FnOnce(String, Vec<u8>) -> (String, Vec<u8>)) {
    let file = folder.join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let (header, data) = change(String::from_utf8(header.to_vec()).unwrap(), data.to_vec());
    fs::write(file, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()).unwrap();
}

#[test]
fn tensors_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<Tensors>();
    check::<Checkpoint>();
}

#[test]
fn rows_are_those_of_the_whole_tensor() {
    let folder = folder(2);
    let tensors = tensors(folder.path());
    let read = |rows| tensors.read(Weight::EMBED_TOKENS, rows, Dtype::F32).unwrap();
    let all = read(RowSelection::All);
    assert_eq!(all.shape, [11, 6]);
    let range = read(RowSelection::Range(3..5));
    assert_eq!((range.shape.as_slice(), range.values.to_f64()), ([2, 6].as_slice(), [all.row(3), all.row(4)].concat()));
    let list = read(RowSelection::List(&[10, 0, 10]));
    assert_eq!(list.shape, [3, 6]);
    assert_eq!(list.values.to_f64(), [all.row(10), all.row(0), all.row(10)].concat());
    assert_eq!(read(RowSelection::List(&[])).shape, [0, 6]);
    assert_eq!(read(RowSelection::Range(11..11)).shape, [0, 6]);
}

#[test]
fn rows_that_are_not_there_are_refused() {
    let folder = folder(1);
    let tensors = tensors(folder.path());
    // Rows of 12 bytes: 12 * 2^62 wraps to 0, which must not read row 0.
    for rows in [
        RowSelection::List(&[1 << 62]),
        RowSelection::List(&[11]),
        RowSelection::List(&[0, usize::MAX]),
        RowSelection::Range(5..12),
        RowSelection::Range(12..usize::MAX),
    ] {
        let text = tensors.read(Weight::EMBED_TOKENS, rows, Dtype::F32).unwrap_err().to_string();
        assert!(text.contains("it has 11 rows"), "{text}");
    }
    #[allow(clippy::reversed_empty_ranges)] // what a caller's subtraction can make
    let backwards = RowSelection::Range(5..3);
    assert!(tensors.read(Weight::EMBED_TOKENS, backwards, Dtype::F32).is_err());
    let text = tensors.read(Weight::NORM, RowSelection::List(&[0]), Dtype::F32).unwrap_err().to_string();
    assert!(text.contains("only read whole"), "{text}");
    assert!(tensors.read(Weight::NORM, RowSelection::All, Dtype::I64).is_err());
}

#[test]
fn tensors_that_the_model_lacks_are_refused() {
    let folder = folder(1);
    let tensors = tensors(folder.path());
    let text = tensors.entry(Weight::LM_HEAD).unwrap_err().to_string();
    assert!(text.contains("tie_word_embeddings"), "{text}");
    let beyond: Weight = "model.layers.2.self_attn.q_proj.weight".parse().unwrap();
    let text = tensors.entry(beyond).unwrap_err().to_string();
    assert!(text.contains("model.layers.2.self_attn.q_proj.weight") && text.contains("2 layers"), "{text}");
}

#[test]
fn every_stored_type_is_read_as_what_it_holds() {
    let folder = folder(1);
    let before = tensors(folder.path()).read(Weight::NORM, RowSelection::All, Dtype::F64).unwrap();
    let stored = [("F16", Dtype::F16), ("F32", Dtype::F32), ("F64", Dtype::F64)];
    for (name, dtype) in stored {
        let folder = self::folder(1);
        // model.norm is the last tensor: the data is cut before it and goes on with the same values in another type.
        edit(folder.path(), |header, mut data| {
            let start = data.len() - 12;
            data.truncate(start);
            for value in before.values.to_f64() {
                match dtype {
                    Dtype::F16 => data.extend(half::f16::from_f64(value).to_le_bytes()),
                    Dtype::F32 => data.extend((value as f32).to_le_bytes()),
                    _ => data.extend(value.to_le_bytes()),
                }
            }
            let old = format!("\"BF16\",\"shape\":[6],\"data_offsets\":[{start},{}]", start + 12);
            assert!(header.contains(&old));
            (header.replace(&old, &format!("\"{name}\",\"shape\":[6],\"data_offsets\":[{start},{}]", data.len())), data)
        });
        let tensors = tensors(folder.path());
        assert_eq!(tensors.entry(Weight::NORM).unwrap().dtype, dtype);
        // Eight significant bits of about 0.1 fit every one of these types.
        let after = tensors.read(Weight::NORM, RowSelection::All, Dtype::Bf16).unwrap();
        assert_eq!(after.values.to_f64(), before.values.to_f64(), "{name}");
    }
}

#[test]
fn nan_and_infinity_are_named_with_tensor_file_and_index() {
    let folder = folder(1);
    // Element [4, 2] of the first tensor, the embedding table.
    let at = (4 * 6 + 2) * 2;
    let plant = |value: bf16| {
        edit(folder.path(), |header, mut data| {
            data[at..at + 2].copy_from_slice(&value.to_le_bytes());
            (header, data)
        });
    };
    for (value, said) in [(bf16::NAN, "holds NaN"), (bf16::NEG_INFINITY, "holds -inf")] {
        plant(value);
        let tensors = tensors(folder.path());
        for rows in [RowSelection::All, RowSelection::Range(3..6), RowSelection::List(&[1, 4])] {
            for dtype in Dtype::FLOATS {
                let text = tensors.read(Weight::EMBED_TOKENS, rows.clone(), dtype).unwrap_err().to_string();
                for part in ["model.embed_tokens.weight", "model.safetensors", "[4, 2]", said] {
                    assert!(text.contains(part), "\"{part}\" not in: {text}");
                }
            }
        }
        assert!(tensors.read(Weight::EMBED_TOKENS, RowSelection::Range(0..4), Dtype::F32).is_ok());
    }
    plant(bf16::from_f32(1e5));
    let text =
        tensors(folder.path()).read(Weight::EMBED_TOKENS, RowSelection::All, Dtype::F16).unwrap_err().to_string();
    assert!(text.contains("beyond f16") && text.contains("[4, 2]"), "{text}");
}

#[test]
fn unused_tensors_are_a_note() {
    let folder = folder(1);
    edit(folder.path(), |header, mut data| {
        let start = data.len();
        data.extend([0; 4]);
        let extra =
            format!(r#","rotary.inv_freq":{{"dtype":"F32","shape":[1],"data_offsets":[{start},{}]}}}}"#, start + 4);
        let header = header.trim_end().strip_suffix('}').unwrap().to_string();
        (header + &extra, data)
    });
    let tensors = tensors(folder.path());
    assert_eq!(tensors.notes().len(), 1);
    assert!(tensors.notes()[0].contains("unused: rotary.inv_freq"), "{:?}", tensors.notes());
}

#[test]
fn the_id_is_of_config_index_and_headers_and_not_of_the_data() {
    let folder = folder(2);
    let file = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let header = |name: &str| {
        let bytes = file(name);
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        bytes[..8 + length].to_vec()
    };
    let (config, index) = (file("config.json"), file("model.safetensors.index.json"));
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let all = [config, index, header(names[0]), header(names[1])].concat();
    assert_eq!(tensors(folder.path()).id(), sha256_hex(&all));

    let mut data = file(names[1]);
    *data.last_mut().unwrap() ^= 1;
    fs::write(folder.path().join(names[1]), data).unwrap();
    assert_eq!(tensors(folder.path()).id(), sha256_hex(&all));
}

#[test]
fn an_export_holds_the_same_tensors_and_tokens() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("a/new/folder");
    let tiny = Checkpoint::open("builtin:tiny", None).unwrap();
    tiny.export(&out, None).unwrap();
    let again = open(&out);
    assert_eq!(again.config_json(), tiny.config_json());
    assert_eq!(again.encode("The sky").unwrap(), tiny.encode("The sky").unwrap());
    let [a, b] = [&tiny, &again].map(|checkpoint| checkpoint.tensors().unwrap());
    for weight in tiny.graph().weights() {
        assert_eq!(a.entry(weight).unwrap().bytes, b.entry(weight).unwrap().bytes, "{weight}");
    }
    let text = again.export(&out, None).unwrap_err().to_string();
    assert!(text.contains("already holds"), "{text}");
    let names = fs::read_dir(&out).unwrap().count();
    assert_eq!(names, 3);
}

#[test]
fn an_export_takes_a_changed_config_that_fits_and_no_other() {
    let source = folder(2);
    let scratch = tempfile::tempdir().unwrap();
    let checkpoint = open(source.path());
    let mut config: serde_json::Value = serde_json::from_str(checkpoint.config_json()).unwrap();
    config["rope_theta"] = 500.0.into();
    checkpoint.export(scratch.path(), Some(&config)).unwrap();
    assert_eq!(open(scratch.path()).config().rope_theta, 500.0);
    tensors(scratch.path());

    let other = scratch.path().join("other");
    config["hidden_size"] = 8.into();
    let text = checkpoint.export(&other, Some(&config)).unwrap_err().to_string();
    assert!(text.contains("other names or shapes"), "{text}");
    config["model_type"] = "llama".into();
    assert!(checkpoint.export(&other, Some(&config)).is_err());
    assert!(!other.exists());
}

#[test]
fn an_entry_is_a_view_of_the_file() {
    let folder = folder(1);
    let tensors = tensors(folder.path());
    let entry = tensors.entry(Weight::EMBED_TOKENS).unwrap();
    assert_eq!((entry.shape, entry.dtype, entry.bytes.len()), ([11, 6].as_slice(), Dtype::Bf16, 132));
    let read = tensors.read(Weight::EMBED_TOKENS, RowSelection::All, Dtype::Bf16).unwrap();
    assert_eq!(Values::from_le_bytes(entry.dtype, entry.bytes), read.values);
    assert_eq!(entry.file, folder.path().join("model.safetensors"));
}
