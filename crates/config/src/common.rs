//! Keys that several checks and the matrix have.

use loupe_spec::Dtype;

use crate::error::Noted;
use crate::fields::Fields;
use crate::keys::{BACKEND, DEVICE_OF, DTYPE, MISTAKES, MODEL, OUTPUT, PRECISION, PROMPT, REVISION, TOKEN_IDS};
use crate::{BACKENDS, Common, Input, ModelRef};

/// The keys that say where and how.
pub(crate) fn common(fields: &Fields) -> Result<Common, Noted> {
    let backend = fields.optional(&BACKEND);
    let device = fields.optional(&DEVICE_OF);
    let dtype = fields.optional(&DTYPE);
    let precision = fields.optional(&PRECISION);
    let output = fields.optional(&OUTPUT);
    let mistakes = fields.optional(&MISTAKES);
    Ok(Common {
        backend: backend?.unwrap_or(BACKENDS[0]).to_string(),
        device: device?,
        dtype: dtype?.unwrap_or(Dtype::F32),
        precision: precision?.unwrap_or_default(),
        output: output?,
        mistakes: mistakes?.unwrap_or_default(),
    })
}

/// `model` with `revision`; `None` where there is no model.
pub(crate) fn model(fields: &Fields) -> Result<Option<ModelRef>, Noted> {
    let (id, revision) = (fields.optional(&MODEL), fields.optional(&REVISION));
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
    let (prompt, ids) = (fields.optional(&PROMPT), fields.optional(&TOKEN_IDS));
    fields.at_most_one(["prompt", "token_ids"])?;
    let (prompt, ids) = (prompt?, ids?);
    Ok(prompt.map(Input::Prompt).or(ids.map(Input::TokenIds)))
}

/// `prompt` or `token_ids`.
pub(crate) fn required_input(fields: &Fields) -> Result<Input, Noted> {
    input(fields)?.ok_or_else(|| fields.missing(&["prompt", "token_ids"]))
}
