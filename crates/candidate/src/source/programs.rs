//! What debuggers write into the names of their files.
//!
//! | program | file | tensor |
//! |---|---|---|
//! | msProbe | `Module.model.layers.0.mlp.Gemma2MLP.forward.0.output.0.pt` | `model.layers.0.mlp` |
//! | SGLang's dumper | `step=0___rank=0___dump_index=3___name=mlp_out___layer_id=4.pt` | `layer_4.mlp_out` |

use std::collections::BTreeMap;

/// What is no value of a forward pass: a weight beside its module's output.
pub(super) fn is_weight(stem: &str) -> bool {
    stem.starts_with("Module.") && stem.contains(".parameters.")
}

/// The tensor that a file called `stem` holds; `None`: none of these programs wrote it.
pub(super) fn called(stem: &str) -> Option<String> {
    of_msprobe(stem).or_else(|| of_sglang(stem))
}

/// `Module.{path}.{class}.forward.{call}.{output|input|kwargs}.{which}`.
fn of_msprobe(stem: &str) -> Option<String> {
    let (module, rest) = stem.strip_prefix("Module.")?.split_once(".forward.")?;
    let (path, _class) = module.rsplit_once('.').unwrap_or(("", module));
    let (call, what) = rest.split_once('.')?;
    let attention = path.ends_with("self_attn");
    let name = match what {
        "output.0" => path.to_string(),
        // Eager attention returns its probabilities beside its output.
        "output.1" if attention => format!("{path}.attn_weights"),
        "input.0" | "kwargs.hidden_states" => format!("{path}.input"),
        "kwargs.input_ids" => "input_ids".to_string(),
        other => match other.strip_prefix("output.0.") {
            // A field of an object.
            Some(field) => format!("{path}.{field}"),
            None => format!("{path} {other}"),
        },
    };
    Some(if call == "0" { name } else { format!("call {call}: {name}") })
}

/// `key=value` with three underscores between them.
fn of_sglang(stem: &str) -> Option<String> {
    let tags: BTreeMap<&str, &str> = stem.split("___").filter_map(|tag| tag.split_once('=')).collect();
    let name = tags.get("name")?;
    let name = name.strip_prefix("non_intrusive__").unwrap_or(name);
    let input = [".inputs.0", ".inputs.hidden_states"].into_iter().find_map(|end| name.strip_suffix(end));
    let name = &input.map_or(name.to_string(), |module| format!("{module}.input"));
    let name = match tags.get("layer_id") {
        Some(layer) if !name.contains(&format!("layers.{layer}")) => format!("layer_{layer}.{name}"),
        _ => name.to_string(),
    };
    // The first pass of the first rank holds the prompt.
    let other = ["rank", "step", "forward_pass_id"].into_iter().find_map(|tag| {
        let value = tags.get(tag).copied().filter(|value| *value != "0")?;
        Some(format!("{tag} {value}: {name}"))
    });
    Some(other.unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_name_says_its_tensor() {
        for (stem, name) in [
            ("Module.model.layers.0.mlp.Gemma2MLP.forward.0.output.0", "model.layers.0.mlp"),
            ("Module.lm_head.Linear.forward.0.output.0", "lm_head"),
            ("Module.model.Gemma2Model.forward.0.kwargs.input_ids", "input_ids"),
            ("Module.model.Gemma2Model.forward.0.output.0.last_hidden_state", "model.last_hidden_state"),
            (
                "Module.model.layers.1.self_attn.Gemma2Attention.forward.0.output.1",
                "model.layers.1.self_attn.attn_weights",
            ),
            ("Module.model.norm.Gemma2RMSNorm.forward.1.output.0", "call 1: model.norm"),
            ("step=0___rank=0___dump_index=3___name=mlp_out___layer_id=4", "layer_4.mlp_out"),
            (
                "step=0___rank=0___dump_index=9___name=non_intrusive__model.layers.2.mlp.output___layer_id=2",
                "model.layers.2.mlp.output",
            ),
            (
                "step=0___rank=0___dump_index=2___name=non_intrusive__model.layers.2.mlp.inputs.0___layer_id=2",
                "model.layers.2.mlp.input",
            ),
            ("forward_pass_id=2___rank=0___name=q___dump_index=1", "forward_pass_id 2: q"),
        ] {
            assert_eq!(called(stem).as_deref(), Some(name), "{stem}");
        }
        assert!(called("layers.0.output").is_none() && called("a=1___b=2").is_none());
        assert!(is_weight("Module.lm_head.Linear.forward.0.parameters.weight"));
    }
}
