//! What is written is read back, bit for bit, and nothing else is left in the folder.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use loupe_report::{Backend, Loupe, Model, Report, ReportError, SCHEMA, read, read_safetensors, write};
use loupe_spec::{HostTensor, Values};

fn tensor(shape: &[usize], values: Values) -> HostTensor {
    HostTensor { shape: shape.to_vec(), values }
}

fn tensors() -> Vec<(String, HostTensor)> {
    let named = |name: &str, shape: &[usize], values| (name.to_string(), tensor(shape, values));
    vec![
        named("token_ids", &[2], Values::I64(vec![2, -7])),
        named("layers.0.self_attn.mask", &[1, 3], Values::U8(vec![1, 0, 255])),
        named("embed.raw", &[2, 2], Values::F32(vec![0.1, f32::NAN, -0.0, f32::INFINITY])),
        named("embed.scaled", &[3], Values::Bf16([0.1, 2.0, -3.0].map(bf16::from_f32).to_vec())),
        named("norm", &[1], Values::F16(vec![f16::from_f32(0.1)])),
        named("logits", &[2], Values::F64(vec![0.1, 1.0 / 3.0])),
        named("none", &[0, 4], Values::F32(vec![])),
        named("scalar", &[], Values::F64(vec![2.5])),
    ]
}

fn report(tensors: &[(String, HostTensor)]) -> Report {
    Report {
        schema: SCHEMA.to_string(),
        loupe: Loupe { version: "0.1.0".to_string(), burn: "0.21.0".to_string() },
        config: serde_json::json!({"model": "m", "check": "trace"}),
        model: Model { id: "m".to_string(), revision: None, checkpoint_id: Some("ab".to_string()) },
        token_ids: vec![2, 651],
        backend: Backend {
            name: "flex".to_string(),
            device: "cpu".to_string(),
            driver: None,
            compiler: Some("nvrtc".to_string()),
        },
        dtype: loupe_spec::Dtype::F32,
        precision: "strict".to_string(),
        tensors: Report::summaries(tensors),
        timings_s: vec![("load".to_string(), 0.1), ("forward".to_string(), 1.0 / 3.0)],
        findings: Vec::new(),
    }
}

/// Equal in every bit: NaN is not equal to itself, so the values are compared as bytes.
fn assert_same(found: &HostTensor, expected: &HostTensor) {
    assert_eq!((&found.shape, found.values.dtype()), (&expected.shape, expected.values.dtype()));
    assert_eq!(found.values.to_le_bytes(), expected.values.to_le_bytes());
}

#[test]
fn a_report_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("new/folders/run.v1");
    let tensors = tensors();
    let report = report(&tensors);
    let written = write(&prefix, &report, &tensors).unwrap();
    for path in [&prefix, &written.json, &written.safetensors] {
        let (found, file) = read(path).unwrap();
        assert_eq!(found, report);
        assert_eq!(file.names().len(), tensors.len());
        for (name, expected) in &tensors {
            assert_same(&file.get(name).unwrap(), expected);
        }
        assert_eq!(file.metadata(), [("schema", SCHEMA)]);
    }
    let names: Vec<_> = fs::read_dir(prefix.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn the_json_keeps_the_order_of_computing_and_every_digit() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tensors();
    let written = write(&folder.path().join("run"), &report(&tensors), &tensors).unwrap();
    let text = fs::read_to_string(written.json).unwrap();
    let at = |name: &str| text.find(&format!("\"{name}\": {{")).unwrap();
    assert!(at("token_ids") < at("embed.raw") && at("embed.raw") < at("logits"), "{text}");
    assert!(text.contains("0.3333333333333333") && text.ends_with("}\n"), "{text}");
    assert!(!text.contains("findings"), "{text}");
}

#[test]
fn the_files_are_what_the_safetensors_crate_reads_and_every_tensor_is_aligned() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tensors();
    let written = write(&folder.path().join("run"), &report(&tensors), &tensors).unwrap();
    let bytes = fs::read(written.safetensors).unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, tensor) in &tensors {
        let view = read.tensor(name).unwrap();
        assert_eq!(view.data(), tensor.values.to_le_bytes(), "{name}");
        let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(offset % tensor.values.dtype().size(), 0, "{name}");
    }
}

#[test]
fn a_second_run_replaces_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("run");
    write(&prefix, &report(&tensors()), &tensors()).unwrap();
    let second = vec![("norm".to_string(), tensor(&[1], Values::F32(vec![7.0])))];
    write(&prefix, &report(&second), &second).unwrap();
    let (found, file) = read(&prefix).unwrap();
    assert_eq!((found.tensors.len(), file.names()), (1, vec!["norm".to_string()]));
}

#[test]
#[cfg(unix)]
fn others_may_read_a_report() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let written = write(&folder.path().join("run"), &report(&[]), &[]).unwrap();
    assert_eq!(mode(&written.json), mode(&plain));
    assert_eq!(mode(&written.safetensors), mode(&plain));
}

#[test]
fn what_does_not_belong_together_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("run");
    let one = |name: &str, shape: &[usize]| (name.to_string(), tensor(shape, Values::F32(vec![1.0])));
    let fails = |report: &Report, tensors: &[(String, HostTensor)], part: &str| {
        let error = write(&prefix, report, tensors).unwrap_err().to_string();
        assert!(error.contains(part), "no {part:?} in {error}");
    };
    fails(&report(&[]), &[one("a", &[1])], "the JSON says nothing of \"a\"");
    fails(&report(&[one("a", &[1])]), &[], "it holds no \"a\"");
    fails(&report(&[one("a", &[1])]), &[one("a", &[1, 1])], "\"a\" is [1, 1] f32, the JSON says [1] f32");
    fails(&report(&[]), &[one("a", &[1]), one("a", &[1])], "two of that name");
    fails(&report(&[]), &[one("a", &[2])], "the shape [2], but 1 elements");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_json_that_is_no_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("run");
    let written = write(&prefix, &report(&tensors()), &tensors()).unwrap();
    let good = fs::read_to_string(&written.json).unwrap();
    for (text, part) in [
        ("{", "is not a report of Loupe: EOF"),
        ("{}", "is no report of Loupe's: it has no \"schema\""),
        ("{\"schema\": \"loupe.verdict/1\"}", "has the schema \"loupe.verdict/1\""),
        ("{\"schema\": \"loupe.report/1\"}", "missing field `loupe`"),
        (&good.replace("\"norm\"", "\"nrom\""), "does not go with its JSON: it holds no \"nrom\""),
    ] {
        fs::write(&written.json, text).unwrap();
        let error = read(&prefix).unwrap_err().to_string();
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    let error = read(&folder.path().join("none")).unwrap_err();
    assert!(matches!(error, ReportError::Io { action: "read", .. }), "{error}");
    let (text, name) = (read_safetensors(&written.safetensors).unwrap().get("nrom").unwrap_err().to_string(), "norm");
    assert!(text.contains(&format!("no tensor \"nrom\"; the nearest is \"{name}\"")), "{text}");
}

/// Two programs with one `output`: whichever comes last, both files are its own.
#[test]
fn two_writers_of_one_report_leave_a_pair() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("run");
    let of = |name: &str| vec![(name.to_string(), tensor(&[1], Values::F64(vec![1.0])))];
    let write_both = |name: &str| (0..50).try_for_each(|_| write(&prefix, &report(&of(name)), &of(name)).map(drop));
    for round in 0..10 {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| write_both("norm"));
            write_both("logits").unwrap();
            other.join().unwrap().unwrap();
        });
        let pair = read(&prefix);
        assert!(pair.is_ok(), "round {round}: {:?}", pair.err());
    }
}
