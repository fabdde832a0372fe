//! Files that other programs wrote, whole and broken.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use loupe_report::{TensorFile, read, read_safetensors};
use loupe_spec::{Dtype, Values};
use proptest::prelude::*;

/// A safetensors file of this header and these bytes.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn open(bytes: &[u8]) -> Result<TensorFile, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.safetensors");
    fs::write(&path, bytes).unwrap();
    read_safetensors(&path).map_err(|error| error.to_string())
}

#[test]
fn integer_and_boolean_types_widen() {
    let header = r#"{"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"U32","shape":[1],
        "data_offsets":[4,8]},"c":{"dtype":"BOOL","shape":[2],"data_offsets":[8,10]},
        "d":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[10,11]}}"#;
    let file = open(&file(header, &[255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0])).unwrap();
    assert_eq!(file.names(), ["a", "b", "c", "d"]);
    assert_eq!(file.get("a").unwrap().values, Values::I64(vec![-1]));
    assert_eq!(file.get("b").unwrap().values, Values::I64(vec![u32::MAX.into()]));
    assert_eq!(file.get("c").unwrap().values, Values::U8(vec![1, 0]));
    assert_eq!((file.dtype("a"), file.dtype("d")), (Some(Dtype::I64), None));
    let error = file.get("d").unwrap_err().to_string();
    assert!(error.contains("tensor \"d\" is F8_E4M3, expected F64, F32"), "{error}");
}

#[test]
fn a_broken_file_says_what_is_wrong() {
    let one = |offsets: &str| format!(r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}}}"#);
    let whole = file(&one("[0,8]"), &[0; 8]);
    assert!(open(&whole).is_ok());
    let two =
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
    for (bytes, part) in [
        (vec![], "it has 0 bytes, and the length of its header alone takes 8"),
        (whole[..whole.len() - 1].to_vec(), "its tensors take 8 bytes, but only 7 follow the header: it is cut off"),
        (whole[..20].to_vec(), "but only 12 follow"),
        ([&whole[..], &[0]].concat(), "its tensors take 8 bytes, but 9 follow"),
        (u64::MAX.to_le_bytes().to_vec(), "its header claims 18446744073709551615 bytes, but only 0 follow"),
        (file("{", &[]), "its header is wrong"),
        (file("[]", &[]), "its header is wrong"),
        (file(&one("[4,12]"), &[0; 12]), "invalid offset for tensor `a`"),
        (file(two, &[0; 3]), "invalid offset for tensor `b`"),
        (file(&one("[0,4]"), &[0; 4]), "invalid shape, data type, or offset"),
        (
            file(&one("[0,8]").replace("[2]", "[4294967296,4294967296,4294967296]"), &[0; 8]),
            "overflow computing buffer size",
        ),
        (file(&one("[0,8]").replace("F32", "F33"), &[0; 8]), "unknown variant `F33`"),
    ] {
        let error = open(&bytes).unwrap_err();
        assert!(error.contains(part), "no {part:?} in {error}");
        assert!(error.contains("dump.safetensors is not a whole safetensors file"), "{error}");
    }
}

#[test]
fn what_is_no_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read_safetensors(folder.path()).unwrap_err().to_string().contains("it is a folder"));
    let none = read_safetensors(Path::new("/none/such.safetensors")).unwrap_err().to_string();
    assert!(none.contains("cannot open /none/such.safetensors"), "{none}");
}

/// Opens the bytes and, where that works, reads everything.
fn read_all(bytes: &[u8]) {
    if let Ok(file) = open(bytes) {
        for name in file.names() {
            let _ = file.get(&name);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        read_all(&bytes);
    }

    #[test]
    fn a_random_header_never_panics(
        dtype in prop::sample::select(vec!["F64", "F32", "BF16", "I32", "BOOL", "F4", "F8_E4M3", "C64", "X"]),
        shape in prop::collection::vec(prop_oneof![0usize..4, Just(usize::MAX)], 0..4),
        start in prop_oneof![0usize..9, Just(usize::MAX)],
        end in prop_oneof![0usize..33, Just(usize::MAX)],
        data in 0usize..33,
    ) {
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}}}"#);
        read_all(&file(&header, &vec![0; data]));
    }

    #[test]
    fn one_changed_byte_never_panics(at in 0usize..80, byte in any::<u8>()) {
        let mut bytes = file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 8]);
        let len = bytes.len();
        bytes[at % len] = byte;
        read_all(&bytes);
    }

    #[test]
    fn a_random_json_never_panics(text in any::<String>()) {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("run");
        fs::write(folder.path().join("run.json"), text).unwrap();
        prop_assert!(read(&prefix).is_err());
    }
}
