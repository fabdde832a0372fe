//! Dumps of other engines: what cannot be compared is never called right or wrong.

use std::collections::BTreeMap;

use loupe_spec::{HostTensor, Values};

use crate::{Run, Sandbox};

/// A right trace of the built-in model over seven tokens, as tensors by name.
struct Dump {
    sandbox: Sandbox,
    tensors: BTreeMap<String, HostTensor>,
}

impl Dump {
    fn right() -> Dump {
        let sandbox = Sandbox::new();
        sandbox.shipped("trace-tiny.json").ok();
        let (_, file) = loupe_report::read(&sandbox.path("out/trace-tiny")).unwrap();
        let tensors = file.names().into_iter().map(|name| (name.clone(), file.get(&name).unwrap())).collect();
        Dump { sandbox, tensors }
    }

    fn only(mut self, names: &[&str]) -> Dump {
        self.tensors.retain(|name, _| names.contains(&name.as_str()));
        self
    }

    fn rename(mut self, from: &str, to: &str) -> Dump {
        let tensor = self.tensors.remove(from).unwrap();
        self.tensors.insert(to.to_string(), tensor);
        self
    }

    fn with(mut self, name: &str, shape: &[usize], values: Values) -> Dump {
        self.tensors.insert(name.to_string(), HostTensor { shape: shape.to_vec(), values });
        self
    }

    /// `name` in another shape, its values cut off or left as they are.
    fn reshape(mut self, name: &str, shape: &[usize]) -> Dump {
        let tensor = self.tensors.get_mut(name).unwrap();
        let mut values = tensor.values.to_f64();
        values.truncate(shape.iter().product());
        *tensor = HostTensor { shape: shape.to_vec(), values: Values::F32(values.iter().map(|v| *v as f32).collect()) };
        self
    }

    /// Judges it, with `keys` beside the candidate and the model.
    fn judge(&self, keys: &str) -> Run {
        self.sandbox.dump(&self.tensors);
        let candidate = r#""check": "compare", "candidate": "dump.safetensors", "model": "builtin:tiny""#;
        self.sandbox.config(&format!("{{{candidate}{keys}}}"))
    }

    #[track_caller]
    fn refused(&self, keys: &str, parts: &[&str]) {
        let run = self.judge(keys);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        let words = run.stderr.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(words.contains(part), "\"{part}\" is not in\n{}", run.stderr);
        }
    }
}

/// The prompt of the dump.
const PROMPT: &str = r#", "prompt": "The color of the sky is""#;

#[test]
fn a_dump_with_no_known_name_is_refused_with_the_entries_that_would_map_it() {
    let dump = Dump::right().only(&["layers.0.output", "norm"]);
    let dump = dump.rename("layers.0.output", "engine.layers.0.output").rename("norm", "zzz");
    dump.refused(
        PROMPT,
        &[
            "nothing to compare",
            "\"engine.layers.0.output\", \"zzz\"",
            "\"engine.layers.0.output\": \"layers.0.output\"",
        ],
    );
    assert_eq!(dump.judge(&format!(r#"{PROMPT}, "names": {{"zzz": "norm"}}"#)).code, 0);
    Dump::right().only(&["token_ids"]).refused("", &["nothing to compare", "token_ids alone"]);
}

/// Names that differ in their layer alone are one entry.
#[test]
fn names_of_several_layers_are_mapped_by_one_entry() {
    let dump = Dump::right().only(&["layers.0.output", "layers.1.output"]);
    let dump = dump.rename("layers.0.output", "hidden_0").rename("layers.1.output", "hidden_1");
    dump.refused(PROMPT, &["\"names\": {\"hidden_{l}\": \"layers.{l}.STAGE\"}"]);
    assert_eq!(dump.judge(&format!(r#"{PROMPT}, "names": {{"hidden_{{l}}": "layers.{{l}}.output"}}"#)).code, 0);
    dump.refused(
        &format!(r#"{PROMPT}, "names": {{"hidden_{{l}}": "layers.{{l}}.o_prj"}}"#),
        &["\"layers.{l}.self_attn.o_proj\""],
    );
}

/// The ids under another name are the prompt all the same.
#[test]
fn token_ids_may_be_mapped() {
    let dump = Dump::right().only(&["token_ids", "norm"]).rename("token_ids", "my_prompt");
    dump.refused("", &["no token_ids"]);
    assert_eq!(dump.judge(r#", "names": {"my_prompt": "token_ids"}"#).code, 0);
}

#[test]
fn a_key_of_names_is_a_tensor_of_the_dump() {
    let dump = Dump::right().only(&["token_ids", "norm"]);
    dump.refused(r#", "names": {"nrom": "norm"}"#, &["no candidate has a tensor \"nrom\"", "\"norm\""]);
    let twice = Dump::right().only(&["token_ids", "norm", "logits"]);
    twice.refused(r#", "names": {"logits": "norm"}"#, &["\"logits\" and \"norm\" are both norm"]);
}

/// Every score masked in place: no value says anything.
#[test]
fn values_that_do_not_count_are_no_success() {
    let scores = Values::F32(vec![f32::NEG_INFINITY; 4 * 7 * 7]);
    let dump = Dump::right().only(&["token_ids"]).with("layers.0.self_attn.scores_capped", &[4, 7, 7], scores);
    dump.refused("", &["nothing to compare", "layers.0.self_attn.scores_capped"]);
}

#[test]
fn token_ids_are_integers_of_0_or_more() {
    for (ids, said) in [
        (Values::I64(vec![2, -1]), "holds -1 at position 1"),
        (Values::F32(vec![2.0, 0.5]), "holds 0.5 at position 1"),
        (Values::F32(vec![f32::NAN, 1.0]), "holds NaN at position 0"),
        (Values::F64(vec![2.0, 1e300]), "at position 1"),
    ] {
        let dump = Dump::right().only(&["norm"]).with("token_ids", &[2], ids);
        dump.refused("", &["\"token_ids\"", said, "an integer of 0 or more"]);
    }
    let large = Dump::right().only(&["norm"]).with("token_ids", &[2], Values::I64(vec![2, i64::MAX]));
    large.refused("", &["token_ids"]);
}

/// Another packing is not another mathematics.
#[test]
fn what_cannot_be_read_is_listed_and_not_called_wrong() {
    for (name, shape, said) in [("norm", &[8][..], "whole rows"), ("norm", &[0, 60], "holds no value")] {
        let alone = Dump::right().only(&["token_ids", name]).reshape(name, shape);
        alone.refused("", &["nothing to compare", name, said]);
        let beside =
            Dump::right().only(&["token_ids", "layers.0.output", "layers.1.output", name]).reshape(name, shape);
        let run = beside.judge("");
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
        assert!(run.stdout.contains(&format!("not compared: {name}: ")) && run.stdout.contains(said), "{}", run.stdout);
    }
    // Two query heads where the model has four.
    let heads = Dump::right().only(&["token_ids", "layers.0.self_attn.q_proj"]);
    let run = heads.reshape("layers.0.self_attn.q_proj", &[7, 2, 16]).judge("");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stdout.starts_with("architectural: layers.0.self_attn.q_proj: shape [7, 2, 16]"), "{}", run.stdout);
}

#[test]
fn positions_are_ascending() {
    let dump = Dump::right().only(&["token_ids", "norm"]);
    dump.refused(r#", "positions": [5, 5]"#, &["\"positions\" holds 5 twice"]);
    dump.refused(r#", "positions": [6, 5]"#, &["\"positions\" holds 5 after 6", "ascending"]);
}

#[test]
fn a_saved_reference_and_the_config_say_the_same() {
    let dump = Dump::right().only(&["token_ids", "norm"]);
    dump.sandbox.shipped("tiny/export.json").ok();
    let other = r#"{"check": "embed", "model": "out/tiny", "token_ids": [2, 5], "output": "other"}"#;
    dump.sandbox.config(other).ok();
    let with = |keys: &str| format!(r#"{{"check": "compare", "candidate": "dump.safetensors", {keys}}}"#);
    dump.judge("");
    for (keys, said) in [
        (r#""model": "builtin:tiny", "reference": {"report": "nowhere.json"}"#, "nowhere"),
        (r#""model": "builtin:tiny", "reference": {"report": "other.json"}"#, "model is \"builtin:tiny\""),
        (r#""model": "out/tiny", "prompt": "The sky", "reference": {"report": "other.json"}"#, "token ids"),
    ] {
        let run = dump.sandbox.config(&with(keys));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{keys}: {}", run.stderr);
        assert!(run.stderr.contains(said), "{keys}: {}", run.stderr);
    }
    // The files that the saved reference was made from are others now.
    std::fs::remove_dir_all(dump.sandbox.path("out/tiny")).unwrap();
    std::fs::rename(dump.sandbox.checkpoint(crate::SMALL, 1), dump.sandbox.path("out/tiny")).unwrap();
    let run = dump.sandbox.config(&with(r#""reference": {"report": "other.json"}"#));
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
    assert!(run.stderr.contains("not the same files"), "{}", run.stderr);

    let same = with(
        r#""model": "builtin:tiny", "prompt": "The color of the sky is", "reference": {"report": "out/trace-tiny.json"}"#,
    );
    assert_eq!(dump.sandbox.config(&same).code, 0);
}
