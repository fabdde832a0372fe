//! Several prompts in one dump, and prompts that are filled up before their first token.

use std::collections::BTreeMap;

use loupe_dump::Dump;
use loupe_spec::HostTensor;
use serde_json::Value;

use crate::Sandbox;

const ONE: [u32; 5] = [2, 356, 366, 361, 359];
const OTHER: [u32; 5] = [2, 99, 12, 300, 7];
const STAGES: [&str; 6] =
    ["self_attn.q_rope", "self_attn.probs", "self_attn.context", "mlp.gate_proj", "mlp.act", "output"];

/// Some stages of the built-in model over `ids`, with `mistakes` planted.
fn recorded(ids: &[u32], mistakes: &str) -> BTreeMap<String, HostTensor> {
    let sandbox = Sandbox::new();
    let config = format!(
        r#"{{"check": "trace", "model": "builtin:tiny", "token_ids": {ids:?}, "mistakes": {mistakes}, "output": "run"}}"#
    );
    sandbox.config(&config).ok();
    let (_, file) = loupe_report::read(&sandbox.path("run")).unwrap();
    let layers = (0..4).flat_map(|layer| STAGES.map(|stage| format!("layers.{layer}.{stage}")));
    layers.chain(["logits".to_string()]).map(|name| (name.clone(), file.get(&name).unwrap())).collect()
}

fn f32s(tensor: &HostTensor) -> Vec<f32> {
    tensor.values.to_f64().into_iter().map(|value| value as f32).collect()
}

/// The code and the names of the verdict on `dump`, of the model over the ids of `keys`, and its notes.
fn judged(dump: &Dump, keys: &str) -> (i32, Vec<String>, String) {
    let sandbox = Sandbox::new();
    dump.save(sandbox.path("dump.safetensors")).unwrap();
    let head = r#""check": "compare", "model": "builtin:tiny", "candidate": "dump.safetensors", "format": "json""#;
    let run = sandbox.config(&format!("{{{head}{keys}}}"));
    assert_eq!(run.stderr, "");
    let verdict: Value = serde_json::from_str(&run.stdout).unwrap();
    let verdict = &verdict["verdicts"][0];
    let names =
        verdict["mistakes"].as_array().unwrap().iter().map(|mistake| mistake["id"].as_str().unwrap().to_string());
    assert_eq!(verdict["coverage"]["not_comparable"], serde_json::json!([]), "{verdict:#}");
    (run.code, names.collect(), verdict["notes"].to_string())
}

#[test]
fn of_several_prompts_the_one_that_is_asked_for_is_judged() {
    let (one, other) = (recorded(&ONE, "[]"), recorded(&OTHER, r#"["gelu_erf"]"#));
    let mut dump = Dump::new();
    dump.add("token_ids", &[2, 5], &[ONE, OTHER].concat()).unwrap();
    for (name, tensor) in &one {
        // Towards the end engines go on with the last token alone.
        let from = if name == "logits" { 4 * 412 } else { 0 };
        let mut shape = [&[2], tensor.shape.as_slice()].concat();
        if from > 0 {
            shape[1] = 1;
        }
        let values = [f32s(tensor).split_off(from), f32s(&other[name]).split_off(from)].concat();
        dump.add(name, &shape, &values).unwrap();
    }
    let (code, names, notes) = judged(&dump, "");
    assert_eq!((code, names), (0, vec![]), "{notes}");
    assert!(notes.contains("2 prompts, of which number 1 is judged"), "{notes}");
    let (code, names, notes) = judged(&dump, &format!(r#", "token_ids": {OTHER:?}"#));
    assert_eq!((code, names), (1, vec!["gelu_erf".to_string()]), "{notes}");
    assert!(notes.contains("2 prompts, of which number 2 is judged"), "{notes}");
}

/// `tensor` with two rows more before the first, and where it has keys, two keys.
fn filled_up(name: &str, tensor: &HostTensor) -> (Vec<usize>, Vec<f32>) {
    let values = f32s(tensor);
    if !name.ends_with("probs") {
        let width = values.len() / 5;
        let shape = [&[7], &tensor.shape[1..]].concat();
        return (shape, [vec![9.5; 2 * width], values].concat());
    }
    let row = |of: usize| [vec![0.0; 2], values[of * 5..(of + 1) * 5].to_vec()].concat();
    let head = |head: usize| [vec![0.5; 14], (0..5).flat_map(|at| row(head * 5 + at)).collect()].concat();
    (vec![4, 7, 7], (0..4).flat_map(head).collect())
}

/// `tensor` with three rows more at the end, and where it has keys, three keys.
fn filled_up_behind(name: &str, tensor: &HostTensor) -> (Vec<usize>, Vec<f32>) {
    let values = f32s(tensor);
    if !name.ends_with("probs") {
        let width = values.len() / 5;
        return ([&[8], &tensor.shape[1..]].concat(), [values, vec![7.5; 3 * width]].concat());
    }
    let row = |of: usize| [values[of * 5..(of + 1) * 5].to_vec(), vec![0.0; 3]].concat();
    let head = |head: usize| [(0..5).flat_map(|at| row(head * 5 + at)).collect(), vec![0.125; 24]].concat();
    (vec![4, 8, 8], (0..4).flat_map(head).collect())
}

/// The shape and the values of a tensor with rows of padding.
type Filled = fn(&str, &HostTensor) -> (Vec<usize>, Vec<f32>);

/// The prompt with padding, whose `ids` and tensors are `filled`, is judged as without it, and `note` says what was left out.
fn is_judged_without_padding(ids: &[u32], filled: Filled, note: &str) {
    for (mistakes, code, names) in [("[]", 0, vec![]), (r#"["rope_interleaved"]"#, 1, vec!["rope_interleaved"])] {
        let mut dump = Dump::new();
        dump.tokens(ids).unwrap();
        for (name, tensor) in recorded(&ONE, mistakes) {
            let (shape, values) = filled(&name, &tensor);
            dump.add(&name, &shape, &values).unwrap();
        }
        let (found, named, notes) = judged(&dump, "");
        assert_eq!((found, named), (code, names.into_iter().map(str::to_string).collect()), "{notes}");
        assert!(notes.contains(note), "{notes}");
    }
}

#[test]
fn what_fills_a_prompt_up_at_its_end_is_no_part_of_it() {
    let ids = [ONE.as_slice(), &[0, 0, 0]].concat();
    is_judged_without_padding(&ids, filled_up_behind, "8 rows, of which 3 are padding at the end");
}

#[test]
fn what_fills_a_prompt_up_before_its_first_token_is_no_part_of_it() {
    let ids = [&[0, 0], ONE.as_slice()].concat();
    is_judged_without_padding(&ids, filled_up, "7 rows, of which 2 are padding before the first");
}

/// Of two prompts the judged one may be the shorter, or there may be the last row of each alone; a mistake is found in each.
#[test]
fn two_prompts_without_their_ids_are_told_by_their_values() {
    let longer = [ONE.as_slice(), &[369, 371]].concat();
    for mistakes in ["[]", r#"["gelu_erf"]"#] {
        let (one, other) = (recorded(&ONE, mistakes), recorded(&longer, mistakes));
        let (mut filled, mut last) = (Dump::new(), Dump::new());
        for (name, tensor) in one.iter().filter(|(name, _)| name.ends_with("output") || *name == "logits") {
            let (own, values) = (f32s(tensor), f32s(&other[name]));
            let width = tensor.shape[1];
            filled.add(name, &[2, 7, width], &[vec![0.5; 2 * width], own.clone(), values.clone()].concat()).unwrap();
            let row = |values: &[f32]| values[values.len() - width..].to_vec();
            last.add(name, &[2, 1, width], &[row(&values), row(&own)].concat()).unwrap();
        }
        let said = [
            "2 prompts, of which number 1 is judged: 7 rows, of which 2 are padding before the first",
            "2 prompts, of which number 2 is judged: its last token",
        ];
        for (dump, said) in [filled, last].iter().zip(said) {
            let (code, names, notes) = judged(dump, &format!(r#", "token_ids": {ONE:?}"#));
            let named: Vec<String> = if mistakes == "[]" { vec![] } else { vec!["gelu_erf".to_string()] };
            assert_eq!((code, names), (i32::from(mistakes != "[]"), named), "{notes}");
            assert!(notes.contains(said), "{notes}");
        }
    }
}
