//! The dump writers of `writers/`, run: what they write is read as what it is, and judged.
//!
//! Rust and a C compiler are there wherever Loupe is built. What Python writes is in the repository. Where Node or a C++
//! compiler is missing, the test says on the terminal that it did not run; with `LOUPE_REQUIRE_NODE=1` or `LOUPE_REQUIRE_CXX=1`
//! that is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

use half::bf16;
use loupe_dump::{Dtype as DumpDtype, Dump};
use loupe_report::read_safetensors;
use loupe_spec::{Dtype, HostTensor, Values};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Sandbox, is_here, repository};

/// Every value of a forward pass of `mini` as transformers computed it, right or with a mistake.
fn recorded(mistake: Option<&str>) -> Vec<(String, HostTensor)> {
    let folder = repository().join("tests/fixtures");
    let path = match mistake {
        Some(id) => folder.join(format!("mistakes/{id}.safetensors")),
        None => folder.join("mini/golden-f32.safetensors"),
    };
    let file = read_safetensors(&path).unwrap();
    // Masks have a type of their own in each engine; few write them.
    let names = file.names().into_iter().filter(|name| !name.ends_with(".mask"));
    names.map(|name| (name.clone(), file.get(&name).unwrap())).collect()
}

/// The same, with all values rounded to what an engine that stores bf16 would hold; for the alignment of odd sizes and a type
/// that neither C nor JavaScript has.
fn in_bf16(tensor: &HostTensor) -> Vec<u8> {
    tensor.values.to_f64().into_iter().flat_map(|value| bf16::from_f64(value).to_le_bytes()).collect()
}

/// What the verdict on `candidate`, of `model`, says: the names of the mistakes and the exit code.
#[track_caller]
fn judged(candidate: &Path, model: &str, keys: &str) -> (i32, Vec<String>) {
    let run = Sandbox::new().config(&format!(
        r#"{{"check": "compare", "model": {model:?}, "candidate": {candidate:?}, "format": "json"{keys}}}"#
    ));
    assert_eq!(run.stderr, "");
    let verdict: Value = serde_json::from_str(&run.stdout).unwrap();
    let verdict = &verdict["verdicts"][0];
    // Each name is known: what is not judged is followed by the reason.
    let ignored = verdict["coverage"]["ignored"].as_array().unwrap().iter();
    assert!(ignored.clone().all(|name| name.as_str().unwrap().ends_with(')')), "{verdict:#}");
    let names =
        verdict["mistakes"].as_array().unwrap().iter().map(|mistake| mistake["id"].as_str().unwrap().to_string());
    (run.code, names.collect())
}

fn mini() -> String {
    repository().join("tests/fixtures/mini").to_str().unwrap().to_string()
}

/// Has `write` make a dump of the right run and of one with erf-GELU, and judges both.
#[track_caller]
fn writes_what_is_judged(write: impl Fn(&Sandbox, &[(String, HostTensor)], &Path)) {
    for (mistake, code, names) in [(None, 0, vec![]), (Some("gelu_erf"), 1, vec!["gelu_erf"])] {
        let sandbox = Sandbox::new();
        let dump = sandbox.path("dump.safetensors");
        let tensors = recorded(mistake);
        write(&sandbox, &tensors, &dump);
        let file = read_safetensors(&dump).unwrap();
        for (name, tensor) in &tensors {
            assert_eq!(file.get(name).unwrap().values.to_f64(), tensor.values.to_f64(), "{name}");
            assert_eq!(file.shape(name).unwrap(), tensor.shape, "{name}");
        }
        assert_eq!(judged(&dump, &mini(), ""), (code, names.into_iter().map(str::to_string).collect()));
    }
}

/// The words by which the programs of `tests/cli/writers` take tensors: name, type, shape, and a file with the bytes.
fn words(sandbox: &Sandbox, tensors: &[(String, HostTensor)]) -> Vec<String> {
    let word = |(at, (name, tensor)): (usize, &(String, HostTensor))| {
        let (dtype, bytes) = match &tensor.values {
            Values::I64(ids) => ("I32", ids.iter().flat_map(|id| i32::try_from(*id).unwrap().to_le_bytes()).collect()),
            values => ("F32", values.to_le_bytes()),
        };
        let file = sandbox.path(&format!("{at}.raw"));
        std::fs::write(&file, bytes).unwrap();
        [name.clone(), dtype.to_string(), shape(&tensor.shape), file.to_str().unwrap().to_string()]
    };
    tensors.iter().enumerate().flat_map(word).collect()
}

fn shape(lengths: &[usize]) -> String {
    lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}

#[test]
fn the_rust_crate() {
    writes_what_is_judged(|_, tensors, path| {
        let mut dump = Dump::new();
        for (name, tensor) in tensors {
            match &tensor.values {
                Values::I64(ids) => dump.tokens(&ids.iter().map(|id| *id as u32).collect::<Vec<_>>()).unwrap(),
                Values::F32(values) => dump.add(name, &tensor.shape, values).unwrap(),
                other => unreachable!("{name} is in {}", other.dtype()),
            }
        }
        dump.save(path).unwrap();
    });
}

/// Every warning is an error: the header goes into other people's builds.
fn compiled(sandbox: &Sandbox, compiler: &str, language: &str, standard: &str) -> PathBuf {
    let (writers, program) = (repository().join("writers"), sandbox.path("dump"));
    let source = repository().join("tests/cli/writers/dump.c");
    let mut cc = Command::new(compiler);
    cc.args(["-x", language, standard, "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"]).arg(writers);
    run(cc.arg(source).arg("-o").arg(&program));
    program
}

#[test]
fn the_c_header() {
    writes_what_is_judged(|sandbox, tensors, path| {
        let program = compiled(sandbox, "cc", "c", "-std=c99");
        run(Command::new(program).arg(path).args(words(sandbox, tensors)));
    });
    if is_here("c++", "LOUPE_REQUIRE_CXX") {
        writes_what_is_judged(|sandbox, tensors, path| {
            let program = compiled(sandbox, "c++", "c++", "-std=c++11");
            run(Command::new(program).arg(path).args(words(sandbox, tensors)));
        });
    }
}

#[test]
fn the_c_header_says_what_is_wrong_and_leaves_no_file() {
    let sandbox = Sandbox::new();
    let program = compiled(&sandbox, "cc", "c", "-std=c11");
    std::fs::write(sandbox.path("x"), [0; 8]).unwrap();
    let (out, x) = (sandbox.path("dump.safetensors"), sandbox.path("x"));
    for (out, name, dtype, said) in [
        (out.clone(), "norm", "F31", "loupe.h: expected F64, F32, F16, BF16, I64, I32, U32 or U8, not: F31\n"),
        (out.clone(), "a\"b", "F32", "loupe.h: a name with quotes, backslashes or other than ASCII characters: a\"b\n"),
        (out.clone(), "\u{fc}", "F32", "loupe.h: a name with quotes, backslashes or other than ASCII characters: "),
        (
            out.clone(),
            "__metadata__",
            "F32",
            "loupe.h: a name of 1 to 512 bytes, which is not __metadata__, was expected",
        ),
        (sandbox.path("no/folder"), "norm", "F32", "loupe.h: cannot write: "),
    ] {
        let done = Command::new(&program).arg(&out).args([name, dtype, "2"]).arg(&x).output().unwrap();
        assert!(String::from_utf8_lossy(&done.stderr).starts_with(said), "{done:?}");
        assert!(done.status.code() == Some(1) && !out.exists());
    }
    let twice = ["norm".as_ref(), "F32".as_ref(), "2".as_ref(), x.as_path()].repeat(2);
    let done = Command::new(&program).arg(&out).args(twice).output().unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("norm"), "{done:?}");
    assert!(done.status.code() == Some(1) && !out.exists());
}

fn node_is_here() -> bool {
    is_here("node", "LOUPE_REQUIRE_NODE")
}

#[test]
fn the_javascript_module() {
    if !node_is_here() {
        return;
    }
    let (module, program) = (repository().join("writers/loupe.mjs"), repository().join("tests/cli/writers/dump.mjs"));
    let module = module.canonicalize().unwrap();
    for how in ["arrays", "buffers"] {
        writes_what_is_judged(|sandbox, tensors, path| {
            let mut node = Command::new("node");
            run(node.arg(&program).arg(&module).arg(how).arg(path).args(words(sandbox, tensors)));
        });
    }
}

/// Types that the languages do not have, as the bytes of a GPU's buffer: with odd numbers of them.
#[test]
fn sixteen_bits_are_passed_as_they_are() {
    let tensors: Vec<_> =
        recorded(None).into_iter().filter(|(_, tensor)| tensor.values.dtype() == Dtype::F32).collect();
    let sandbox = Sandbox::new();
    let mut words = Vec::new();
    let mut dump = Dump::new();
    for (at, (name, tensor)) in tensors.iter().enumerate() {
        let file = sandbox.path(&format!("{at}.raw"));
        std::fs::write(&file, in_bf16(tensor)).unwrap();
        words.extend([name.clone(), "BF16".to_string(), shape(&tensor.shape), file.to_str().unwrap().to_string()]);
        dump.add_bytes(name, DumpDtype::BF16, &tensor.shape, in_bf16(tensor)).unwrap();
    }
    let mut written = vec![sandbox.path("rust.safetensors"), sandbox.path("c.safetensors")];
    dump.save(&written[0]).unwrap();
    run(Command::new(compiled(&sandbox, "cc", "c", "-std=c99")).arg(&written[1]).args(&words));
    if node_is_here() {
        let program = repository().join("tests/cli/writers/dump.mjs");
        let module = repository().join("writers/loupe.mjs").canonicalize().unwrap();
        for how in ["arrays", "buffers"] {
            written.push(sandbox.path(&format!("{how}.safetensors")));
            let path = written.last().unwrap();
            run(Command::new("node").arg(&program).arg(&module).arg(how).arg(path).args(&words));
        }
    }
    for path in written {
        let file = read_safetensors(&path).unwrap();
        for (name, tensor) in &tensors {
            let read = file.get(name).unwrap();
            assert_eq!((read.values.dtype(), read.values.to_le_bytes()), (Dtype::Bf16, in_bf16(tensor)), "{name}");
        }
    }
}

/// An engine that shares no line with Loupe, on the built-in model; and with mistakes in its own text.
#[test]
fn an_engine_in_javascript_is_judged() {
    if !node_is_here() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox
        .config(&format!(r#"{{"check": "export", "model": "builtin:tiny", "output": {:?}}}"#, sandbox.path("tiny")))
        .ok();
    let text = std::fs::read_to_string(repository().join("writers/engine.mjs")).unwrap();
    std::fs::copy(repository().join("writers/loupe.mjs"), sandbox.path("loupe.mjs")).unwrap();
    for (right, wrong, id) in [
        ("", "", ""),
        ("(1 + w[d])", "w[d]", "norm_without_one"),
        ("value * Math.sqrt(D)", "value", "embed_scale_missing"),
        (
            "[(t * heads + n) * H + i, (t * heads + n) * H + i + H / 2]",
            "[(t * heads + n) * H + 2 * i, (t * heads + n) * H + 2 * i + 1]",
            "rope_interleaved",
        ),
        // One of its two places, and the next stage that is recorded is several further on.
        ("norm(attended, of(\"post_attention_layernorm\"))", "attended", "post_norm_missing"),
        ("t - s < window", "t - s <= window", "window_off_by_one"),
        (
            "0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))",
            "x / (1 + Math.exp(-x))",
            "silu",
        ),
        ("config.query_pre_attn_scalar ** -0.5", "H ** -0.5", "scale_head_dim"),
        ("Math.floor(n / (N / K))", "(n % K)", "gqa_tiled"),
    ] {
        assert_eq!(text.matches(right).count() == 1, !right.is_empty(), "{right}");
        std::fs::write(sandbox.path("engine.mjs"), text.replacen(right, wrong, 1)).unwrap();
        let dump = sandbox.path("dump.safetensors");
        let mut node = Command::new("node");
        node.arg(sandbox.path("engine.mjs")).arg("--model").arg(sandbox.path("tiny")).arg("--dump").arg(&dump);
        run(node.args(["--ids", "2,356,366,361,359,369,371"]));
        let expected = (if id.is_empty() { 0 } else { 1 }, Vec::from_iter((!id.is_empty()).then(|| id.to_string())));
        assert_eq!(judged(&dump, "builtin:tiny", ""), expected, "{wrong}");
    }
}

/// What loupe.py wrote of transformers' own run, right and with erf-GELU (tests/fixtures/forms.py), and that it is this
/// loupe.py that wrote it.
#[test]
fn the_python_module() {
    let writer = std::fs::read(repository().join("writers/loupe.py")).unwrap();
    let digest: String = Sha256::digest(writer).iter().map(|byte| format!("{byte:02x}")).collect();
    let forms = repository().join("tests/fixtures/forms");
    let written = std::fs::read_to_string(forms.join("loupe.py.sha256")).unwrap();
    assert_eq!(written.trim(), digest, "writers/loupe.py is another one: run tests/fixtures/forms.py again");
    for (run, code, names) in [("right", 0, vec![]), ("gelu_erf", 1, vec!["gelu_erf"])] {
        let dump = forms.join(run).join("attached.safetensors");
        assert_eq!(judged(&dump, &mini(), ""), (code, names.into_iter().map(str::to_string).collect()));
    }
}
