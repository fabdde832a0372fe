//! Files that are cut off, that lie, or that want to be run: one error each, and no panic.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use loupe_candidate::Source;
use loupe_spec::Random;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/forms/right")
}

/// A zip file with these entries.
fn zipped(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// numpy's header for numbers of type `descr` in `shape`.
fn npy(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16 + 1).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.push(b'\n');
    bytes.extend(numbers);
    bytes
}

/// Opens a file of these bytes and reads all that it holds; the first error, if there is one.
fn read(name: &str, bytes: &[u8]) -> Result<usize, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let source = Source::open(&path).map_err(|error| error.to_string())?;
    let names = source.names();
    for name in &names {
        source.get(name).map_err(|error| error.to_string())?;
    }
    Ok(names.len())
}

#[track_caller]
fn refused(name: &str, bytes: &[u8], said: &str) {
    let error = read(name, bytes).unwrap_err();
    assert!(error.contains(said), "\"{said}\" is not in\n{error}");
    assert!(error.len() < 700 && !error.contains('\n'), "{error}");
}

#[test]
fn what_lies_about_itself_is_refused() {
    let four = [0, 0, 128, 63];
    assert_eq!(read("a.npy", &npy("<f4", "(1,)", &four)), Ok(1));
    refused("a.npy", &npy("<f4", "(2,)", &four), "4 bytes of numbers, expected 8");
    refused("a.npy", &npy("<f4", "(4294967296, 4294967296)", &four), "more than the file's");
    refused("a.npy", &npy("<c8", "(1,)", &four), "numbers of type");
    refused("a.npy", &npy("|O", "(1,)", &four), "numbers of type");
    refused("a.npy", b"\x93NUMPY\x01\x00\xff\xff{", "no header of numpy's");
    refused("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "4294967295 bytes long, expected at most 65536");
    refused("a.npy", &npy("<f4", &"(".repeat(100), &four), "nested more than 8 deep");
    refused("a.npz", &zipped(&[("x.npy", npy("<f4", "(1000000000,)", &four))]), "shape [1000000000] is more than");
    refused("a.npz", &zipped(&[("readme.txt", b"hello".to_vec())]), "neither arrays of numpy's nor tensors of torch's");
    refused("a.npz", b"PK\x03\x04 and nothing else", "a broken zip file");
    refused("a.gguf", b"GGUF\x03\x00\x00\x00", "weights");
    refused("a.log", b"a line\nanother\n", "a text in which no line says");
    refused("a.bin", &[1, 2, 3], "3 bytes are no f32 numbers");
    refused("a.xyz", &[0, 1, 2, 3, 4], "a file of another kind");
    refused("a.pt", &[0x80, 2, 0x8a, 10], "a bare pickle");
}

#[test]
fn json_says_what_it_is() {
    // Its ninth byte is that of a safetensors header.
    assert_eq!(read("a.json", br#"{"norm":{"shape":[2],"data":[1.5,2]}}"#), Ok(1));
    assert_eq!(read("a.json", br#"{"norm": [[1, 2.5], [NaN, -Infinity]], "note": "x", "words": ["a", "b"]}"#), Ok(1));
    assert_eq!(read("a.json", br#"{"tensors": {"norm": {"shape": [2], "dtype": "f16", "data": "AAAAAA=="}}}"#), Ok(1));
    assert_eq!(read("a.json", br#"{"norm": [1, 2], "made": {"by": "me", "dtype": "f32", "at": {"t": 1}}}"#), Ok(1));
    refused("a.json", br#"{"norm": {"shape": [1]}}"#, "expected a list of numbers");
    refused("a.json", br#"{"norm": [[1, 2], [3]]}"#, "a list of 1, expected 2");
    refused("a.json", br#"{"norm": [1, [2]]}"#, "a list among numbers");
    refused("a.json", br#"{"norm": [[1], 2]}"#, "a number among lists");
    refused("a.json", br#"{"norm": {"shape": [3], "data": "AAAAAA=="}}"#, "\"data\" has 1 numbers, \"shape\" is [3]");
    refused("a.json", br#"{"norm": {"shape": [1], "data": "AAA"}}"#, "\"data\": ");
    refused("a.json", br#"{"norm": {"shape": [1], "dtype": "q4", "data": ""}}"#, "\"dtype\" is \"q4\"");
    refused("a.json", br#"{"norm": {"file": "b.bin"}}"#, "\"file\" needs \"shape\"");
    refused("a.json", br#"{"norm": {"file": "b.bin", "shape": [1]}}"#, "b.bin");
    refused("a.json", br#"{"norm": "#, "one JSON object of arrays by name");
    refused("a.json", br#"{"a": 1}"#, "it holds no arrays");
    refused("a.json", b"[1, 2]", "no line says a tensor");
    refused("a.json", format!("{{\"a\": {}}}", "[".repeat(100_000)).as_bytes(), "one JSON object of arrays by name");
}

/// What Python would run is named and not run.
#[test]
fn a_pickle_is_data_and_never_code() {
    let pickle = |body: &[u8]| zipped(&[("a/data.pkl", [b"\x80\x02", body, b"."].concat())]);
    let call = b"cos\nsystem\nX\x04\x00\x00\x00true\x85R";
    refused("a.pt", &pickle(call), "it holds code: Python would call os system");
    refused("a.pt", &pickle(b"cbuiltins\neval\n)\x81"), "Python would call builtins eval");
    refused("a.pt", &pickle(b"}"), "it holds no tensors");
    refused("a.pt", &pickle(b"R"), "takes what it never put");
    refused("a.pt", &pickle(b"h\x07"), "recalls what it never kept");
    refused("a.pt", &pickle(b"t"), "no mark");
    refused("a.pt", &pickle(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "cut off");
    // A list that holds itself.
    refused("a.pt", &pickle(b"]q\x00h\x00a"), "nested more than");
    // A tensor of more numbers than its storage has.
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00K\x05\x85K\x01\x85\x89}tR";
    refused("a.pt", &pickle(tensor), "is no tensor");
}

/// Whatever byte a file ends at, and whichever is another: an answer, and no panic.
#[test]
fn cut_and_changed_files_have_an_answer() {
    for name in ["outputs.npz", "outputs.pt", "outputs.json", "npy/layer_0/q_proj.npy", "bin/l_out-0.bin"] {
        let bytes = std::fs::read(fixtures().join(name)).unwrap();
        let file = Path::new(name).file_name().unwrap().to_str().unwrap();
        assert!(read(file, &bytes).is_ok(), "{name}");
        let mut refused = 0;
        for at in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
            refused += usize::from(read(file, &bytes[..at]).is_err());
        }
        assert!(refused > 0, "{name}");
        let mut random = Random::of(name);
        for _ in 0..60 {
            let mut changed = bytes.clone();
            let at = (random.uniform() * bytes.len() as f64) as usize;
            changed[at] = (random.uniform() * 256.0) as u8;
            let _ = read(file, &changed);
        }
    }
}
