//! Keys that several checks and the matrix have.

use jsonc_parser::ast::Value as Ast;
use loupe_spec::Dtype;

use crate::error::Noted;
use crate::fields::Fields;
use crate::read::{Mismatch, any_list, choice, float, index, list, prefix, text};
use crate::{BACKENDS, Common, Device, Input, ModelRef, Precision};

/// The keys that say where and how.
pub(crate) fn common(fields: &Fields) -> Result<Common, Noted> {
    let backend = fields.optional("backend", backend);
    let device = fields.optional("device", device);
    let dtype = fields.optional("dtype", float);
    let precision = fields.optional("precision", precision);
    let output = fields.optional("output", prefix);
    let mistakes = fields.optional("mistakes", any_list(text));
    Ok(Common {
        backend: backend?.unwrap_or(BACKENDS[0]).to_string(),
        device: device?,
        dtype: dtype?.unwrap_or(Dtype::F32),
        precision: precision?.unwrap_or_default(),
        output: output?,
        mistakes: mistakes?.unwrap_or_default(),
    })
}

/// The name of a backend.
pub(crate) fn backend(value: &Ast) -> Result<&'static str, Mismatch> {
    choice(&BACKENDS.map(|name| (name, name)))(value)
}

fn device(value: &Ast) -> Result<Device, Mismatch> {
    text(value).map(Device::Name).or_else(|_| index(value).map(Device::Index)).map_err(|mismatch| {
        let expected = "a name such as \"cpu\", \"discrete:0\", or an integer of 0 or more".to_string();
        Mismatch { expected, ..mismatch }
    })
}

fn precision(value: &Ast) -> Result<Precision, Mismatch> {
    choice(&[Precision::Strict, Precision::Tf32].map(|precision| (precision.name(), precision)))(value)
}

/// `model` with `revision`; `None` where there is no model.
pub(crate) fn model(fields: &Fields) -> Result<Option<ModelRef>, Noted> {
    let (id, revision) = (fields.optional("model", text), fields.optional("revision", text));
    match (id?, revision?) {
        (Some(id), revision) => Ok(Some(ModelRef { id, revision })),
        (None, Some(_)) => Err(fields.missing(&["model"])),
        (None, None) => Ok(None),
    }
}

/// `model` with `revision`.
pub(crate) fn required_model(fields: &Fields) -> Result<ModelRef, Noted> {
    model(fields)?.ok_or_else(|| fields.missing(&["model"]))
}

/// `prompt` or `token_ids`; `None` where there is neither.
pub(crate) fn input(fields: &Fields) -> Result<Option<Input>, Noted> {
    let (prompt, ids) = (fields.optional("prompt", text), fields.optional("token_ids", list(index)));
    fields.at_most_one(["prompt", "token_ids"])?;
    let (prompt, ids) = (prompt?, ids?);
    Ok(prompt.map(Input::Prompt).or(ids.map(Input::TokenIds)))
}

/// `prompt` or `token_ids`.
pub(crate) fn required_input(fields: &Fields) -> Result<Input, Noted> {
    input(fields)?.ok_or_else(|| fields.missing(&["prompt", "token_ids"]))
}
