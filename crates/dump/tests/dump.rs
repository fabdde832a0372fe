//! What is written is what safetensors reads, and nothing that is not a tensor is written.
#![allow(clippy::unwrap_used)]

use loupe_dump::{Dtype, Dump};
use safetensors::SafeTensors;

#[test]
fn the_file_holds_what_was_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.safetensors");
    let mut dump = Dump::new();
    dump.tokens(&[2, 651]).unwrap();
    dump.add("norm", &[2, 1], &[1.5f64, -0.25]).unwrap();
    dump.add("layers.0.output", &[1, 2], &[1.5f32, f32::NEG_INFINITY]).unwrap();
    dump.add_bytes("logits", Dtype::BF16, &[2, 1], vec![0x80, 0x3f, 0, 0xc0]).unwrap();
    dump.save(&path).unwrap();

    let bytes = std::fs::read(path).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.names().len(), 4);
    for (name, dtype, shape, bytes) in [
        ("token_ids", Dtype::U32, vec![2], [2u32, 651].map(u32::to_le_bytes).concat()),
        ("norm", Dtype::F64, vec![2, 1], [1.5f64, -0.25].map(f64::to_le_bytes).concat()),
        ("layers.0.output", Dtype::F32, vec![1, 2], [1.5f32, f32::NEG_INFINITY].map(f32::to_le_bytes).concat()),
        ("logits", Dtype::BF16, vec![2, 1], vec![0x80, 0x3f, 0, 0xc0]),
    ] {
        let tensor = read.tensor(name).unwrap();
        assert_eq!(
            (tensor.dtype(), tensor.shape(), tensor.data()),
            (dtype, shape.as_slice(), bytes.as_slice()),
            "{name}"
        );
    }
}

#[test]
fn a_wrong_length_and_a_second_value_of_one_name_are_errors() {
    let mut dump = Dump::new();
    dump.add("norm", &[2, 3], &[0.0f32; 6]).unwrap();
    let twice = dump.add("norm", &[2, 3], &[0.0f32; 6]).unwrap_err().to_string();
    assert_eq!(twice, "\"norm\" is there already; a dump holds one forward pass");
    for shape in [&[2, 4][..], &[usize::MAX, usize::MAX]] {
        let error = dump.add("logits", shape, &[0.0f32; 6]).unwrap_err().to_string();
        assert!(error.starts_with("\"logits\" has 24 bytes, expected ["), "{error}");
    }
    assert!(dump.save("no/such/folder/dump.safetensors").unwrap_err().to_string().starts_with("cannot write the dump"));
}
