//! From the document's keys to a [`Request`].

use std::path::PathBuf;

use loupe_spec::{echo, hint, nearest};
use serde_json::Value;

use crate::common::{common, model, required_input, required_model};
use crate::compare::{compare, names};
use crate::error::Noted;
use crate::fields::Fields;
use crate::keys::*;
use crate::policy::rejudge;
use crate::{Check, CheckName, Format, Request, Target};

/// The whole document.
pub(crate) fn request(fields: &Fields, document: Value) -> Result<Request, Noted> {
    // Noted if it is wrong; nothing else depends on it.
    let _ = fields.optional(&SCHEMA);
    let inferred = !fields.has("check");
    let name = if inferred { infer(fields)? } else { fields.required(&CHECK)? };
    let fields = fields.named(format!("check \"{name}\""));
    fields.only(&name.shape().names());
    // Both are read before either ends it, so that every problem is noted.
    let (common, check) = (common(&fields), check(name, &fields));
    let (mut common, check) = (common?, check?);
    // A page has to be somewhere.
    if check.formats().contains(&Format::Html) {
        common.output.get_or_insert_with(|| PathBuf::from(DEFAULT_PAGE));
    }
    Ok(Request { check, inferred, common, document })
}

/// The one check whose keys are exactly the document's.
fn infer(fields: &Fields) -> Result<CheckName, Noted> {
    let keys = fields.keys();
    let inferable = || CheckName::ALL.into_iter().filter_map(|name| name.inferred_from().map(|wants| (name, wants)));
    let covered = |wants: &[&str]| wants.iter().all(|key| keys.contains(key));
    if let Some((name, _)) = inferable().find(|(_, wants)| wants.len() == keys.len() && covered(wants)) {
        return Ok(name);
    }
    // A key of no check at all is a slip of the pen, and more news than the missing "check".
    let known: Vec<&str> = CheckName::ALL.iter().flat_map(|name| name.shape().names()).collect();
    let mut slip = false;
    for key in keys.iter().copied().filter(|key| !known.contains(key)) {
        slip = true;
        let near = hint(nearest(key, known.iter().copied()));
        fields.note_key(key, format!("no check has a key \"{}\"{near}", echo(key)), None);
    }
    let wants: Vec<String> = inferable().map(|(name, wants)| format!("{name}: {}", wants.join(", "))).collect();
    let meant = inferable().filter(|(_, wants)| covered(wants)).max_by_key(|(_, wants)| wants.len());
    let advice = match meant {
        Some((name, _)) if !slip => format!("write \"check\": \"{name}\" if that is meant"),
        _ if keys.iter().any(|key| CheckName::Compare.own().names().contains(key) && !slip) => {
            "write \"check\": \"compare\" to have a candidate judged".to_string()
        }
        _ => format!("or write \"check\", one of {}", CheckName::ALL.map(CheckName::name).join(", ")),
    };
    let message = "the config has no \"check\", and its keys are not exactly those of a check that goes without";
    Err(fields.note(message.to_string(), Some(format!("those are\n  {}\n{advice}", wants.join("\n  ")))))
}

/// The check's own keys. In every arm all are read before the first error ends it, so that each is noted.
pub(crate) fn check(name: CheckName, fields: &Fields) -> Result<Check, Noted> {
    match name {
        CheckName::Embed => {
            let (model, input) = (required_model(fields), required_input(fields));
            Ok(Check::Embed { model: model?, input: input? })
        }
        CheckName::Attn => {
            let (model, input) = (required_model(fields), required_input(fields));
            let layer = fields.required(&LAYER);
            Ok(Check::Attn { model: model?, input: input?, layer: layer? })
        }
        CheckName::Weights => {
            let (model, target) = (required_model(fields), target(fields));
            let against = fields.optional(&AGAINST);
            Ok(Check::Weights { model: model?, target: target?, against: against? })
        }
        CheckName::Rope => {
            let (model, pos) = (required_model(fields), fields.required(&POS));
            let (dim, theta) = (fields.required(&DIM), fields.required(&THETA));
            Ok(Check::Rope { model: model?, pos: pos?, dim: dim?, theta: theta? })
        }
        CheckName::LayerOut => {
            let (model, input) = (required_model(fields), required_input(fields));
            let (layers, token) = (fields.required(&LAYERS), fields.required(&TOKEN));
            Ok(Check::LayerOut { model: model?, input: input?, layers: layers?, token: token? })
        }
        CheckName::Trace => {
            let (model, input) = (required_model(fields), required_input(fields));
            let layers = fields.optional(&LAYERS);
            let (probes, emit) = (fields.optional(&PROBES), fields.optional(&EMIT));
            fields.at_most_one(["probes", "emit"])?;
            let emit = emit?;
            if emit.is_some() && !fields.has("output") {
                let message = "\"emit\" writes a file, and there is no \"output\" to say where".to_string();
                let help = "add \"output\": \"out/trace\": it goes to out/trace.doppler.json".to_string();
                return Err(fields.note_key("emit", message, Some(help)));
            }
            Ok(Check::Trace { model: model?, input: input?, layers: layers?, probes: probes?, emit })
        }
        CheckName::Compare => compare(fields).map(Check::Compare),
        CheckName::Rejudge => rejudge(fields).map(Check::Rejudge),
        CheckName::Names => {
            let (candidate, model) = (fields.required(&CANDIDATE_PATH), model(fields));
            let names = names(fields);
            Ok(Check::Names { candidate: candidate?, model: model?, names: names? })
        }
        CheckName::Explain => Ok(Check::Explain { id: fields.optional(&ID)? }),
        CheckName::Export => {
            let (model, output) = (required_model(fields), fields.required(&OUTPUT));
            Ok(Check::Export { model: model?, output: output? })
        }
    }
}

/// `layer` with `proj`, or `tensor`.
fn target(fields: &Fields) -> Result<Target, Noted> {
    let Some(tensor) = fields.optional(&TENSOR)? else {
        if !fields.has("layer") && !fields.has("proj") {
            let help = Some("write \"layer\" and \"proj\", or \"tensor\" with a full name".to_string());
            return Err(fields.note("check \"weights\" needs the tensor to look at".to_string(), help));
        }
        let layer = fields.required(&LAYER);
        let proj = fields.required(&PROJ);
        return Ok(Target::LayerProj { layer: layer?, proj: proj? });
    };
    fields.at_most_one(["tensor", "layer"])?;
    fields.at_most_one(["tensor", "proj"])?;
    Ok(Target::Tensor(tensor))
}
