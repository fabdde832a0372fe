//! Every form that is tried.

use loupe_spec::HostTensor;

use super::dump::{Dump, LAYERS, flat, is_headed, of, one_row, reshaped, turned};
use super::names::{DOPPLER, HUGGING_FACE, LLAMA_CPP, TRANSFORMER_LENS};

/// A way to write a run, and the line that says how it was read.
pub struct Form {
    pub name: &'static str,
    pub write: fn(Dump) -> Dump,
    pub keys: &'static str,
    pub said: &'static str,
}

/// Loupe's own names, without what no engine writes.
pub fn ours(dump: Dump) -> Dump {
    dump.keep(|name| name != "token_ids" && !name.ends_with("mask"))
}

pub const FORMS: &[Form] = &[
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
