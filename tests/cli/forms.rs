//! What people have: one run of a model, in the names and orders of axes of many programs. Right code is right in each, and a
//! mistake is named as in Loupe's own.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{HostTensor, Values};
use serde_json::Value;

use crate::{Run, Sandbox};

/// A checkpoint that is nowhere else: seven tokens, and no two axes of one length.
const MODEL: &str = r#"{"model_type":"gemma2","vocab_size":412,"hidden_size":24,"intermediate_size":20,"num_hidden_layers":3,
    "num_attention_heads":4,"num_key_value_heads":2,"head_dim":8,"query_pre_attn_scalar":9,"sliding_window":3,
    "attn_logit_softcapping":2.0,"final_logit_softcapping":2.0}"#;
const LAYERS: usize = 3;
const IDS: &str = "[2, 356, 366, 361, 359, 369, 371]";

/// Tensors by name.
#[derive(Clone)]
struct Dump(BTreeMap<String, HostTensor>);

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

impl Dump {
    /// Under the names that `names` gives, pairs of ours and another's with `{l}` for a layer; nothing else is kept.
    fn called(mut self, names: &[(&str, &str)]) -> Dump {
        let mut renamed = BTreeMap::new();
        for (ours, theirs) in names {
            for layer in 0..LAYERS {
                let layer = layer.to_string();
                if let Some(tensor) = self.0.remove(&ours.replace("{l}", &layer)) {
                    renamed.insert(theirs.replace("{l}", &layer), tensor);
                }
            }
        }
        Dump(renamed)
    }

    fn keep(mut self, keep: impl Fn(&str) -> bool) -> Dump {
        self.0.retain(|name, _| keep(name));
        self
    }

    /// Each tensor whose name `picked` picks, passed through `f`.
    fn each(mut self, picked: impl Fn(&str) -> bool, f: impl Fn(&HostTensor) -> HostTensor) -> Dump {
        for (_, tensor) in self.0.iter_mut().filter(|(name, _)| picked(name)) {
            *tensor = f(tensor);
        }
        self
    }
}

fn of(shape: Vec<usize>, values: Vec<f64>) -> HostTensor {
    HostTensor { shape, values: Values::F64(values).to_dtype(loupe_spec::Dtype::F32) }
}

fn reshaped(tensor: &HostTensor, shape: &[usize]) -> HostTensor {
    HostTensor { shape: shape.to_vec(), values: tensor.values.clone() }
}

/// Its axes in another order.
fn turned(tensor: &HostTensor, order: &[usize]) -> HostTensor {
    let shape: Vec<usize> = order.iter().map(|axis| tensor.shape[*axis]).collect();
    let stride = |axis: usize| tensor.shape[axis + 1..].iter().product::<usize>();
    let mut places = vec![0];
    for axis in order {
        let step = stride(*axis);
        places = places.iter().flat_map(|place| (0..tensor.shape[*axis]).map(move |at| place + at * step)).collect();
    }
    HostTensor { shape, values: tensor.values.picked(&places) }
}

/// Heads flattened, and a batch axis.
fn flat(tensor: &HostTensor) -> HostTensor {
    reshaped(tensor, &[1, tensor.shape[0], tensor.shape[1..].iter().product()])
}

fn is_headed(name: &str) -> bool {
    ["q_proj", "k_proj", "v_proj", "q_rope", "k_rope", "context"].iter().any(|end| name.ends_with(end))
}

/// The row of token `row` alone.
fn one_row(name: &str, tensor: &HostTensor, row: usize) -> HostTensor {
    let [a, b] = [tensor.shape[0], tensor.shape[1]];
    if tensor.shape.len() == 3 && !is_headed(name) {
        let keys = tensor.shape[2];
        let places: Vec<usize> =
            (0..a).flat_map(|head| (0..keys).map(move |key| (head * b + row) * keys + key)).collect();
        return HostTensor { shape: vec![a, keys], values: tensor.values.picked(&places) };
    }
    let width: usize = tensor.shape[1..].iter().product();
    let places: Vec<usize> = (row * width..(row + 1) * width).collect();
    HostTensor { shape: vec![width], values: tensor.values.picked(&places) }
}

/// transformers' modules, as hooks see them.
const HUGGING_FACE: &[(&str, &str)] = &[
    ("embed.raw", "model.embed_tokens"),
    ("layers.{l}.input_layernorm", "model.layers.{l}.input_layernorm"),
    ("layers.{l}.self_attn.q_proj", "model.layers.{l}.self_attn.q_proj"),
    ("layers.{l}.self_attn.k_proj", "model.layers.{l}.self_attn.k_proj"),
    ("layers.{l}.self_attn.v_proj", "model.layers.{l}.self_attn.v_proj"),
    ("layers.{l}.self_attn.o_proj", "model.layers.{l}.self_attn.o_proj"),
    ("layers.{l}.post_attention_layernorm", "model.layers.{l}.post_attention_layernorm"),
    ("layers.{l}.pre_feedforward_layernorm", "model.layers.{l}.pre_feedforward_layernorm"),
    ("layers.{l}.mlp.gate_proj", "model.layers.{l}.mlp.gate_proj"),
    ("layers.{l}.mlp.act", "model.layers.{l}.mlp.act_fn"),
    ("layers.{l}.mlp.down_proj", "model.layers.{l}.mlp"),
    ("layers.{l}.output", "model.layers.{l}"),
    ("norm", "model.norm"),
    ("logits.raw", "lm_head"),
];
const LLAMA_CPP: &[(&str, &str)] = &[
    ("embed.scaled", "inp_scaled"),
    ("layers.{l}.input_layernorm", "attn_norm-{l}"),
    ("layers.{l}.self_attn.q_rope", "Qcur-{l}"),
    ("layers.{l}.self_attn.k_rope", "Kcur-{l}"),
    ("layers.{l}.self_attn.v_proj", "Vcur-{l}"),
    ("layers.{l}.self_attn.scores", "kq-{l}"),
    ("layers.{l}.self_attn.probs", "kq_soft_max-{l}"),
    ("layers.{l}.self_attn.o_proj", "kqv_out-{l}"),
    ("layers.{l}.post_attention_layernorm", "attn_post_norm-{l}"),
    ("layers.{l}.residual_attn", "sa_out-{l}"),
    ("layers.{l}.mlp.gated", "ffn_geglu-{l}"),
    ("layers.{l}.mlp.down_proj", "ffn_out-{l}"),
    ("layers.{l}.output", "l_out-{l}"),
    ("norm", "result_norm"),
    ("logits", "result_output"),
];
const TRANSFORMER_LENS: &[(&str, &str)] = &[
    ("embed.scaled", "hook_embed"),
    ("layers.{l}.input", "blocks.{l}.hook_resid_pre"),
    ("layers.{l}.self_attn.q_proj", "blocks.{l}.attn.hook_q"),
    ("layers.{l}.self_attn.k_proj", "blocks.{l}.attn.hook_k"),
    ("layers.{l}.self_attn.v_proj", "blocks.{l}.attn.hook_v"),
    ("layers.{l}.self_attn.q_rope", "blocks.{l}.attn.hook_rot_q"),
    ("layers.{l}.self_attn.k_rope", "blocks.{l}.attn.hook_rot_k"),
    ("layers.{l}.self_attn.scores_capped", "blocks.{l}.attn.hook_attn_scores"),
    ("layers.{l}.self_attn.probs", "blocks.{l}.attn.hook_pattern"),
    ("layers.{l}.self_attn.context", "blocks.{l}.attn.hook_z"),
    ("layers.{l}.post_attention_layernorm", "blocks.{l}.hook_attn_out"),
    ("layers.{l}.residual_attn", "blocks.{l}.hook_resid_mid"),
    ("layers.{l}.mlp.gate_proj", "blocks.{l}.mlp.hook_pre"),
    ("layers.{l}.mlp.up_proj", "blocks.{l}.mlp.hook_pre_linear"),
    ("layers.{l}.mlp.gated", "blocks.{l}.mlp.hook_post"),
    ("layers.{l}.post_feedforward_layernorm", "blocks.{l}.hook_mlp_out"),
    ("layers.{l}.output", "blocks.{l}.hook_resid_post"),
];
const DOPPLER: &[(&str, &str)] = &[
    ("embed.scaled", "embed_out"),
    ("layers.{l}.input_layernorm", "layer_{l}/post_input_norm"),
    ("layers.{l}.self_attn.q_proj", "layer_{l}/q_proj"),
    ("layers.{l}.self_attn.k_proj", "layer_{l}/k_proj"),
    ("layers.{l}.self_attn.v_proj", "layer_{l}/v_proj"),
    ("layers.{l}.self_attn.q_rope", "layer_{l}/q_rope"),
    ("layers.{l}.self_attn.k_rope", "layer_{l}/k_rope"),
    ("layers.{l}.self_attn.scores", "layer_{l}/attn_scores"),
    ("layers.{l}.self_attn.context", "layer_{l}/attn_core_out"),
    ("layers.{l}.self_attn.o_proj", "layer_{l}/o_proj"),
    ("layers.{l}.residual_attn", "layer_{l}/post_attn"),
    ("layers.{l}.pre_feedforward_layernorm", "layer_{l}/ffn_normed"),
    ("layers.{l}.mlp.gate_proj", "layer_{l}/ffn_gate"),
    ("layers.{l}.mlp.up_proj", "layer_{l}/ffn_up"),
    ("layers.{l}.mlp.gated", "layer_{l}/ffn_act"),
    ("layers.{l}.mlp.down_proj", "layer_{l}/ffn_out"),
    ("layers.{l}.output", "layer_{l}/layer_out"),
    ("norm", "final_norm"),
    ("logits.raw", "logits"),
    ("logits", "logits_final"),
];

/// A way to write a run, and the line that says how it was read.
struct Form {
    name: &'static str,
    write: fn(Dump) -> Dump,
    keys: &'static str,
    said: &'static str,
}

fn ours(dump: Dump) -> Dump {
    dump.keep(|name| name != "token_ids" && !name.ends_with("mask"))
}

const FORMS: &[Form] = &[
    Form {
        name: "Hugging Face modules, a batch axis, flat heads",
        write: |dump| dump.called(HUGGING_FACE).each(|_| true, flat),
        keys: "",
        said: "names: Hugging Face modules",
    },
    Form {
        name: "output_hidden_states and output_attentions",
        write: |dump| {
            let mut dump = dump.called(&[
                ("embed.scaled", "hidden_states.0"),
                ("layers.0.output", "hidden_states.1"),
                ("layers.1.output", "hidden_states.2"),
                ("norm", "hidden_states.3"),
                ("layers.{l}.self_attn.probs", "attentions.{l}"),
                ("logits", "logits"),
            ]);
            for tensor in dump.0.values_mut() {
                tensor.shape.insert(0, 1);
            }
            dump
        },
        keys: "",
        said: "names: Hugging Face modules",
    },
    Form {
        name: "all hidden states in one tensor",
        write: |dump| {
            let states = ["embed.scaled", "layers.0.output", "layers.1.output", "norm"];
            let values: Vec<f64> = states.iter().flat_map(|name| dump.0[*name].values.to_f64()).collect();
            let mut dump = dump.called(&[("logits", "logits")]);
            dump.0.insert("hidden_states".to_string(), of(vec![4, 1, 7, 24], values));
            dump
        },
        keys: "",
        said: "names: Hugging Face modules",
    },
    Form {
        name: "a transposed projection and the layers",
        write: |dump| {
            let dump = dump.called(&[
                ("layers.{l}.self_attn.q_proj", "model.layers.{l}.self_attn.q_proj"),
                ("layers.{l}.output", "model.layers.{l}"),
            ]);
            dump.each(
                |name| name.ends_with("q_proj"),
                |tensor| turned(&reshaped(tensor, &flat(tensor).shape[1..]), &[1, 0]),
            )
        },
        keys: "",
        said: "axes in the order heads, lanes, tokens",
    },
    Form {
        name: "llama.cpp's graph",
        write: |dump| dump.called(LLAMA_CPP),
        keys: "",
        said: "names: llama.cpp's graph",
    },
    Form {
        name: "TransformerLens hooks, masked scores",
        write: |dump| {
            let mask = dump.0["layers.1.self_attn.mask"].values.to_f64();
            let dump = dump.called(TRANSFORMER_LENS);
            let hidden = |tensor: &HostTensor| {
                let scores = tensor.values.to_f64().into_iter().enumerate();
                // The masks of this prompt are causal at least; a sliding layer hides more, which masks nothing here.
                let masked = scores.map(|(at, score)| if at % 7 > at / 7 % 7 { f64::NEG_INFINITY } else { score });
                of(tensor.shape.clone(), masked.collect())
            };
            assert_eq!(mask.len(), 49);
            let dump = dump.each(|name| name.ends_with("attn_scores"), hidden);
            dump.each(|_| true, |tensor| reshaped(tensor, &[&[1], &tensor.shape[..]].concat()))
        },
        keys: "",
        said: "names: TransformerLens hooks",
    },
    Form {
        name: "DOPPLER stages, flat heads",
        write: |dump| {
            dump.called(DOPPLER)
                .each(|name| !name.ends_with("scores"), |tensor| reshaped(&flat(tensor), &flat(tensor).shape[1..]))
        },
        keys: "",
        said: "names: DOPPLER stages",
    },
    Form {
        name: "heads first",
        write: |dump| ours(dump).each(is_headed, |tensor| turned(tensor, &[1, 0, 2])),
        keys: "",
        said: "axes in the order heads, tokens, lanes",
    },
    Form {
        name: "heads first, reshaped to [T, N*H]",
        write: |dump| {
            ours(dump).each(is_headed, |tensor| {
                let [t, n, h] = [0, 1, 2].map(|axis| tensor.shape[axis]);
                reshaped(&turned(tensor, &[1, 0, 2]), &[t, n * h])
            })
        },
        keys: "",
        said: "reshaped to [7, 32]",
    },
    Form {
        name: "transposed",
        write: |dump| {
            let dump = ours(dump).keep(|name| !name.contains("scores") && !name.contains("probs"));
            let dump = dump.each(is_headed, |tensor| reshaped(tensor, &flat(tensor).shape[1..]));
            dump.each(|_| true, |tensor| turned(tensor, &[1, 0]))
        },
        keys: "",
        said: "axes in the order lanes, tokens",
    },
    Form {
        name: "flat buffers",
        write: |dump| ours(dump).each(|_| true, |tensor| reshaped(tensor, &[tensor.shape.iter().product()])),
        keys: "",
        said: "",
    },
    Form {
        name: "the last row alone",
        write: |dump| {
            let mut dump = ours(dump);
            for (name, tensor) in &mut dump.0 {
                *tensor = one_row(name, tensor, 6);
            }
            dump
        },
        keys: "",
        said: "one row, token 6",
    },
    Form {
        name: "the row of token 4 alone",
        write: |dump| {
            let mut dump = ours(dump);
            for (name, tensor) in &mut dump.0 {
                *tensor = one_row(name, tensor, 4);
            }
            dump
        },
        keys: "",
        said: "one row, token 4",
    },
    Form {
        name: "all rows, but of the logits the last alone",
        write: |dump| ours(dump).each(|name| name.starts_with("logits"), |tensor| one_row("logits", tensor, 6)),
        keys: "",
        said: "one row, token 6",
    },
    Form {
        name: "the halves of q and k interleaved",
        write: |dump| {
            let lanes = |tensor: &HostTensor| {
                let h = *tensor.shape.last().unwrap();
                let places: Vec<usize> = (0..tensor.values.len())
                    .map(|at| {
                        let (head, lane) = (at / h, at % h);
                        head * h + lane / 2 + (lane % 2) * (h / 2)
                    })
                    .collect();
                HostTensor { shape: tensor.shape.clone(), values: tensor.values.picked(&places) }
            };
            ours(dump).each(|name| name.contains(".q_") || name.contains(".k_"), lanes)
        },
        keys: "",
        said: "lanes of the two halves alternate",
    },
    Form {
        name: "buffers padded to eight rows",
        write: |dump| {
            let dump = ours(dump).keep(|name| !name.contains("scores") && !name.contains("probs"));
            dump.each(
                |_| true,
                |tensor| {
                    let width: usize = tensor.shape[1..].iter().product();
                    let mut values = tensor.values.to_f64();
                    values.resize(8 * width, 0.0);
                    of([&[8], &tensor.shape[1..]].concat(), values)
                },
            )
        },
        keys: "",
        said: "8 rows, of which 1 are padding at the end",
    },
    Form {
        name: "values of the stage before or after",
        write: |dump| {
            dump.called(&[
                ("embed.raw", "embed.scaled"),
                ("layers.0.output", "layers.0.output"),
                ("layers.1.output", "layers.1.output"),
                ("layers.2.output", "hidden_states.3"),
                ("layers.{l}.residual_attn", "layers.{l}.residual_attn"),
                ("layers.{l}.self_attn.q_rope", "layers.{l}.self_attn.q_proj"),
                ("layers.{l}.self_attn.k_proj", "layers.{l}.self_attn.k_proj"),
                ("layers.{l}.self_attn.v_proj", "layers.{l}.self_attn.v_proj"),
                ("layers.{l}.self_attn.scores_capped", "layers.{l}.self_attn.scores"),
                ("layers.{l}.self_attn.probs", "layers.{l}.self_attn.probs"),
                ("logits.raw", "result_output"),
            ])
        },
        keys: "",
        said: "the values before the cap: read as logits.raw",
    },
    Form {
        name: "layers counted from 1",
        write: |dump| {
            let next = |(name, tensor): (String, HostTensor)| {
                let own = (0..LAYERS).find(|layer| name.starts_with(&format!("layers.{layer}.")));
                let name =
                    own.map_or(name.clone(), |l| name.replace(&format!("layers.{l}."), &format!("layers.{}.", l + 1)));
                (name, tensor)
            };
            Dump(ours(dump).0.into_iter().map(next).collect())
        },
        keys: "",
        said: "its layer 1 is read as layer 0",
    },
    Form {
        name: "layers counted from 1 where no number says so",
        write: |dump| {
            let mlp = ["pre_feedforward_layernorm", "mlp.down_proj", "post_feedforward_layernorm", "output"];
            let names = mlp.map(|stage| (format!("layers.0.{stage}"), format!("layers.1.{stage}")));
            let attention = ["input", "input_layernorm", "self_attn.q_proj", "self_attn.q_rope", "self_attn.k_rope"];
            let attention = attention.into_iter().chain(["self_attn.scores", "residual_attn"]);
            let attention = attention.map(|stage| (format!("layers.0.{stage}"), format!("layers.1.{stage}")));
            let names: Vec<(String, String)> = names.into_iter().chain(attention).collect();
            dump.called(&names.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str())).collect::<Vec<_>>())
        },
        keys: "",
        said: "its layer 1 is read as layer 0",
    },
    Form {
        name: "a layer more than there are, the first of them the embedding",
        write: |dump| {
            dump.called(&[
                ("embed.scaled", "layer_0"),
                ("layers.0.output", "layer_1"),
                ("layers.1.output", "layer_2"),
                ("layers.2.output", "layer_3"),
                ("layers.{l}.self_attn.q_proj", "layer_{l}_q"),
                ("logits", "logits"),
            ])
        },
        keys: "",
        said: "its layers are one more than the model has",
    },
    Form {
        name: "names that the config maps",
        write: |dump| {
            let dump = ours(dump);
            Dump(dump.0.into_iter().map(|(name, tensor)| (format!("my/{name}"), tensor)).collect())
        },
        keys: r#", "names": {"my/*": "*"}"#,
        said: "the config's \\\"names\\\"",
    },
];

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
