//! The config to run next.

use loupe_config::{Common, Device, Input, ModelRef};
use loupe_spec::LONGEST_ECHO;
use serde_json::{Map, Value, json};

/// A config on the same model, prompt and backend as this one, with `keys` besides: for `next:`.
pub(crate) fn next_config(check: &str, model: &ModelRef, input: Option<&Input>, common: &Common, keys: Value) -> Value {
    let mut config = Map::new();
    config.insert("check".into(), check.into());
    config.insert("model".into(), model.id.clone().into());
    if let Some(revision) = &model.revision {
        config.insert("revision".into(), revision.clone().into());
    }
    match input {
        Some(Input::Prompt(prompt)) => config.insert("prompt".into(), prompt.clone().into()),
        Some(Input::TokenIds(ids)) => config.insert("token_ids".into(), json!(ids)),
        None => None,
    };
    if let Value::Object(keys) = keys {
        config.extend(keys);
    }
    let defaults = Common::default();
    if common.backend != defaults.backend {
        config.insert("backend".into(), common.backend.clone().into());
    }
    if common.dtype != defaults.dtype {
        config.insert("dtype".into(), common.dtype.name().into());
    }
    match &common.device {
        Some(Device::Name(name)) => config.insert("device".into(), name.clone().into()),
        Some(Device::Index(index)) => config.insert("device".into(), (*index).into()),
        None => None,
    };
    if common.precision != defaults.precision {
        config.insert("precision".into(), common.precision.name().into());
    }
    // The checks that run no model take none.
    if !common.mistakes.is_empty() && input.is_some() {
        config.insert("mistakes".into(), json!(common.mistakes));
    }
    Value::Object(config)
}

/// The config `next` as a line to copy. A prompt of a page is not printed again.
pub(crate) fn short(next: &Value) -> String {
    let mut keys = next.as_object().cloned().unwrap_or_default();
    let long = |key: &&str| keys.get(*key).is_some_and(|value| value.to_string().chars().count() > LONGEST_ECHO);
    match ["prompt", "token_ids"].into_iter().find(long) {
        None => next.to_string(),
        Some(key) => {
            keys.remove(key);
            format!("{} and the \"{key}\" of this config", Value::Object(keys))
        }
    }
}
