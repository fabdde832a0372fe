//! What people have: one run of a model, in the names and orders of axes of many programs. Right code is right in each, and a
//! mistake is named as in Loupe's own.

mod dump;
mod list;
mod names;

use std::collections::BTreeSet;

use loupe_spec::{HostTensor, Values};
use serde_json::Value;

use crate::{Run, Sandbox};
use dump::{Dump, of, reshaped};
use list::{FORMS, ours};
use names::HUGGING_FACE;

/// A checkpoint that is nowhere else: seven tokens, and no two axes of one length.
const MODEL: &str = r#"{"model_type":"gemma2","vocab_size":412,"hidden_size":24,"intermediate_size":20,"num_hidden_layers":3,
    "num_attention_heads":4,"num_key_value_heads":2,"head_dim":8,"query_pre_attn_scalar":9,"sliding_window":3,
    "attn_logit_softcapping":2.0,"final_logit_softcapping":2.0}"#;
const IDS: &str = "[2, 356, 366, 361, 359, 369, 371]";

/// Where a dump is made and judged.
struct Bench {
    sandbox: Sandbox,
}

impl Bench {
    fn new() -> Bench {
        let sandbox = Sandbox::new();
        sandbox.checkpoint(MODEL, 1);
        Bench { sandbox }
    }

    /// A run with `mistakes` planted, and all that it recorded.
    fn trace(&self, mistakes: &[&str]) -> Dump {
        let mistakes = serde_json::to_string(mistakes).unwrap();
        let config = format!(
            r#"{{"check": "trace", "model": "model", "token_ids": {IDS}, "mistakes": {mistakes}, "output": "run"}}"#
        );
        self.sandbox.config(&config).ok();
        self.read()
    }

    /// What the last run recorded.
    fn read(&self) -> Dump {
        let (_, file) = loupe_report::read(&self.sandbox.path("run")).unwrap();
        Dump(file.names().into_iter().map(|name| (name.clone(), file.get(&name).unwrap())).collect())
    }

    /// The verdict on `dump`, with `keys` beside the candidate and the model.
    fn judge(&self, dump: &Dump, keys: &str) -> Run {
        self.sandbox.dump(&dump.0);
        let head = r#""check": "compare", "candidate": "dump.safetensors", "model": "model", "format": "json""#;
        self.sandbox.config(&format!(r#"{{{head}, "token_ids": {IDS}{keys}}}"#))
    }
}

/// What is planted: nothing, or what these forms show.
const MISTAKES: [&str; 5] = ["", "gelu_erf", "norm_without_one", "scale_head_dim", "post_norm_missing"];

#[test]
fn every_form_is_read_and_judged_like_our_own() {
    let bench = Bench::new();
    let mut wrong = Vec::new();
    for mistake in MISTAKES {
        let planted: Vec<&str> = Some(mistake).filter(|id| !id.is_empty()).into_iter().collect();
        let trace = bench.trace(&planted);
        for form in FORMS {
            let run = bench.judge(&(form.write)(trace.clone()), form.keys);
            let verdict: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
            let verdict = &verdict["verdicts"][0];
            let named: BTreeSet<&str> =
                verdict["mistakes"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_str()).collect();
            let right = run.code == i32::from(!planted.is_empty()) && named == planted.iter().copied().collect();
            let said = run.stdout.contains(form.said);
            if !right || !said {
                let notes = verdict["notes"].to_string();
                wrong.push(format!(
                    "{}, {mistake:?}: {} {} {}\n    {notes}{}",
                    form.name, run.code, verdict["verdict"], verdict["detail"], run.stderr
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Loupe's own names are a file format: of a cap that is missing and values that were written before it, the name says which.
#[test]
fn our_own_names_mean_one_thing() {
    let bench = Bench::new();
    let mistaken = bench.trace(&["final_softcap_missing"]).keep(|name| ["norm", "logits"].contains(&name));
    let run = bench.judge(&mistaken, "");
    assert!(run.code == 1 && run.stdout.contains("\"id\": \"final_softcap_missing\""), "{}", run.stdout);
    let theirs = mistaken.called(&[("norm", "result_norm"), ("logits", "result_output")]);
    let run = bench.judge(&theirs, "");
    assert_eq!(run.code, 0, "{}", run.stdout);
    let verdict: Value = serde_json::from_str(&run.stdout).unwrap();
    let verdict = &verdict["verdicts"][0];
    assert!(verdict["notes"].to_string().contains("the values before the cap: read as logits.raw"), "{verdict:#}");
    let unseen = verdict["unseen"].as_array().unwrap();
    assert!(unseen.iter().any(|unseen| unseen["id"] == "final_softcap_missing"), "{verdict:#}");
    assert!(verdict["next"].as_str().unwrap().starts_with("record the logits after the cap"), "{verdict:#}");
    // Where both are there under names of their own, they are what they are called.
    let both = bench.trace(&["final_softcap_missing"]).keep(|name| ["norm", "logits.raw", "logits"].contains(&name));
    let run = bench.judge(&both.called(&[("norm", "model.norm"), ("logits.raw", "lm_head"), ("logits", "logits")]), "");
    assert!(run.code == 1 && run.stdout.contains("\"id\": \"final_softcap_missing\""), "{}", run.stdout);
}

/// `names` says what each tensor is taken for, and writes it as "names" of a config.
#[test]
fn names_are_said_and_written() {
    let bench = Bench::new();
    let mut dump = bench.trace(&[]).called(HUGGING_FACE);
    let spare = dump.0["model.norm"].clone();
    for name in ["zzz", "model.layers.1.input_layernrm", "model.rotary_emb"] {
        dump.0.insert(name.to_string(), spare.clone());
    }
    bench.sandbox.dump(&dump.0);
    let check = |keys: &str| {
        let run = bench.sandbox.config(&format!(r#"{{"check": "names", "candidate": "dump.safetensors"{keys}}}"#)).ok();
        run.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
    };
    let said = check(r#", "output": "mapping""#);
    for line in [
        "names Hugging Face modules",
        "| model.layers.{l}.mlp.act_fn | layers.{l}.mlp.act | 3 | |",
        "| lm_head | logits.raw | | logits |",
        "zzz",
        "model.layers.1.input_layernrm the nearest is \"layers.1.input_layernorm\"",
        "model.rotary_emb cosines and sines, which the check \"rope\" shows",
        "written: mapping.json",
    ] {
        assert!(said.contains(line), "\"{line}\" is not in\n{said}");
    }
    let written: Value = serde_json::from_slice(&std::fs::read(bench.sandbox.path("mapping.json")).unwrap()).unwrap();
    assert_eq!(written["names"]["model.layers.2"], "layers.2.output");
    let mapped = check(r#", "names": {"zzz": "norm"}"#);
    assert!(mapped.contains("| zzz | norm |"), "{mapped}");
    // The model says the same of its layers as the names do.
    let other = check(r#", "model": "model""#);
    assert!(other.contains("| model.layers.{l} | layers.{l}.output | 3 |"), "{other}");
}

/// What no engine computes is said, one line a kind.
#[test]
fn values_that_nothing_computes_are_said() {
    let bench = Bench::new();
    let right = ours(bench.trace(&[]));
    let q = |name: &str| name.ends_with("q_proj");
    let f16_of =
        |tensor: &HostTensor| Values::F16(tensor.values.to_f64().iter().map(|v| half::f16::from_f64(*v)).collect());
    type Change<'a> = &'a dyn Fn(&HostTensor) -> HostTensor;
    let zeros = |t: &HostTensor| of(t.shape.clone(), vec![0.0; t.values.len()]);
    let nan = |t: &HostTensor| {
        let mut values = t.values.to_f64();
        values[..7].fill(f64::NAN);
        of(t.shape.clone(), values)
    };
    let constant = |t: &HostTensor| of(t.shape.clone(), (0..t.values.len()).map(|at| (at / 32) as f64 + 1.0).collect());
    let alike = |t: &HostTensor| of(t.shape.clone(), t.values.to_f64()[..32].repeat(7));
    let other = right.0["layers.2.self_attn.context"].clone();
    let copy = |t: &HostTensor| reshaped(&other, &t.shape);
    // Half as wide a type: as many bytes hold twice as many numbers.
    let bits = |t: &HostTensor| {
        let twice = [t.values.le_bytes(), t.values.le_bytes()].concat();
        HostTensor {
            shape: t.shape.clone(),
            values: Values::from_le_bytes(loupe_spec::Dtype::F16, &twice[..2 * t.values.len()]),
        }
    };
    let halves = |t: &HostTensor| {
        let halves = f16_of(t);
        let twice = [halves.le_bytes(), halves.le_bytes()].concat();
        HostTensor { shape: t.shape.clone(), values: Values::from_le_bytes(loupe_spec::Dtype::F32, &twice) }
    };
    let changes: [(Change<'_>, &str); 7] = [
        (&zeros, "and 2 more: every value is 0; was the buffer read back"),
        (&nan, "and 2 more: 3.12 % of the values are NaN or infinite"),
        (&constant, "each row is one number over and over"),
        (&alike, "every token's row is the same"),
        (&copy, "bit for bit a copy of \"layers.0.self_attn.q_proj\""),
        (&bits, "the bytes are numbers in f32, and are read as f16"),
        (&halves, "the bytes are numbers in f16, and are read as f32"),
    ];
    for (change, said) in changes {
        let run = bench.judge(&right.clone().each(q, change), "");
        let verdict: Value = serde_json::from_str(&run.stdout).unwrap();
        let notes = verdict["verdicts"][0]["notes"].as_array().unwrap();
        let about = notes.iter().filter_map(Value::as_str).filter(|note| note.contains(said)).count();
        assert_eq!((run.code == 0, about), (false, 1), "{said}: {notes:#?}");
    }
    let run = bench.judge(&right, "");
    assert!(!run.stdout.contains("bit for bit") && run.code == 0, "{}", run.stdout);
}

/// Logits that a far larger cap hardly touched are near those before the cap; where everything else is exact they are none.
#[test]
fn another_cap_is_not_a_precision() {
    let bench = Bench::new();
    let states = [
        ("embed.scaled", "hidden_states.0"),
        ("layers.0.output", "hidden_states.1"),
        ("layers.1.output", "hidden_states.2"),
        ("norm", "hidden_states.3"),
        ("logits", "logits"),
    ];
    for keys in ["", r#", "candidate_dtype": "f32""#] {
        let run = bench.judge(&bench.trace(&["final_softcap=20"]).called(&states), keys);
        let verdict: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        let fitted = &verdict["verdicts"][0]["fitted"][0]["parameter"];
        assert_eq!((run.code, fitted.as_str()), (1, Some("final_softcap")), "{}{}", run.stdout, run.stderr);
    }
}

/// Embeddings say which tokens were run.
#[test]
fn another_prompt_is_read_off_the_embeddings() {
    let bench = Bench::new();
    let other = IDS.replace("361", "5");
    let config = format!(r#"{{"check": "trace", "model": "model", "token_ids": {other}, "output": "run"}}"#);
    bench.sandbox.config(&config).ok();
    let run = bench.judge(&ours(bench.read()), "");
    assert_eq!(run.code, 1, "{}", run.stdout);
    let said = "token ids differ: yours are [2, 356, 366, 5, 359, 369, 371] (by its embeddings)";
    assert!(run.stdout.contains(said) && run.stdout.contains("from position 3 on"), "{}", run.stdout);
}

/// A dump of one row less than the prompt has tokens is one of the prompt without its first token, where that explains it; the
/// rows of embeddings say so themselves.
#[test]
fn a_prompt_without_its_first_token_is_told_by_its_rows() {
    let bench = Bench::new();
    let rest = IDS.replace("2, ", "");
    let config = format!(r#"{{"check": "trace", "model": "model", "token_ids": {rest}, "output": "run"}}"#);
    bench.sandbox.config(&config).ok();
    let dump = ours(bench.read());
    for (dump, how) in
        [(dump.clone(), "(by its embeddings)"), (dump.keep(|name| !name.starts_with("embed")), "(by its rows)")]
    {
        let run = bench.judge(&dump, "");
        assert_eq!(run.code, 1, "{}", run.stdout);
        let verdict: Value = serde_json::from_str(&run.stdout).unwrap();
        let verdict = &verdict["verdicts"][0];
        let named = verdict["mistakes"].as_array().unwrap().iter().filter_map(|mistake| mistake["id"].as_str());
        assert_eq!(named.collect::<Vec<_>>(), ["bos_missing"], "{verdict:#}");
        assert!(run.stdout.contains(how), "{}", run.stdout);
    }
}

/// What is recorded under its own name in one layer is not taken for it in another, and one tensor may have two names.
#[test]
fn a_tensor_that_is_there_twice_is_no_error() {
    let bench = Bench::new();
    let right = bench.trace(&[]);
    let mut twice = right.clone().called(HUGGING_FACE);
    let scaled = right.0["embed.scaled"].clone();
    // transformers 5.4 and later scale in the module.
    twice.0.insert("model.embed_tokens".to_string(), scaled.clone());
    twice.0.insert("hidden_states.0".to_string(), scaled);
    let run = bench.judge(&twice, "");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    let mistaken = bench.trace(&["norm_without_one"]);
    let some = mistaken.keep(|name| {
        let rotated = name == "layers.0.self_attn.q_rope";
        rotated || name.ends_with("q_proj") || name.ends_with(".output") || name.ends_with("scores")
    });
    let run = bench.judge(&some, "");
    assert!(run.code == 1 && run.stdout.contains("\"id\": \"norm_without_one\""), "{}{}", run.stdout, run.stderr);
}
