//! `policy`, and the keys of `rejudge`, which is made of it.

use jsonc_parser::ast::Value;
use loupe_spec::{Figure, Policy};

use crate::Rejudge;
use crate::compare::format;
use crate::error::Noted;
use crate::fields::Fields;
use crate::key::Shape;
use crate::keys::*;
use crate::read::Mismatch;

/// Tolerances that are said beside the verdict, each once, and ids of mistakes that are not to be named. Objects have the keys of
/// `shape`.
pub(crate) fn policy(fields: &Fields, shape: Shape) -> Result<(Vec<Policy>, Vec<String>), Noted> {
    let values = fields.one_or_several(POLICY.name)?;
    // All are read before the first error ends it, so that each is noted.
    let all: Vec<Result<_, Noted>> = values.iter().map(|value| one(fields, value, &shape)).collect();
    let (mut policies, mut without): (Vec<Policy>, Vec<String>) = (Vec::new(), Vec::new());
    for (policy, ids) in all.into_iter().collect::<Result<Vec<_>, _>>()? {
        policies.extend(policy.filter(|policy| !policies.contains(policy)));
        without.extend(ids);
    }
    Ok((policies, without))
}

/// A name, or an object.
fn one<'d>(fields: &Fields<'d>, value: &'d Value<'d>, shape: &Shape) -> Result<(Option<Policy>, Vec<String>), Noted> {
    if !matches!(value, Value::Object(_)) {
        return Ok((Some(fields.read(POLICY.name, value, &NAMED_POLICY)?), Vec::new()));
    }
    let object = fields.as_object(POLICY.name, value, "\"policy\"".to_string())?;
    if object.keys().is_empty() {
        let expected = format!("one of {}", shape.names().join(", "));
        return Err(fields.mismatch(POLICY.name, Mismatch::new(value, &expected)));
    }
    object.only(&shape.names());
    let limits = Figure::ALL.into_iter().zip(&LIMITS).map(|(figure, key)| (figure, object.optional(key)));
    let limits: Vec<(Figure, Result<Option<f64>, Noted>)> = limits.collect();
    let without = object.optional(&WITHOUT);
    let mut own = Vec::new();
    for (figure, limit) in limits {
        own.extend(limit?.map(|limit| (figure, limit)));
    }
    Ok((Some(own).filter(|own| !own.is_empty()).map(Policy::Own), without?.unwrap_or_default()))
}

/// The keys of `rejudge`.
pub(crate) fn rejudge(fields: &Fields) -> Result<Rejudge, Noted> {
    let verdict = fields.required(&VERDICT);
    let policy = policy(fields, own_policy());
    let format = format(fields, &FORMAT);
    let (verdict, (policies, _), format) = (verdict?, policy?, format?);
    if policies.is_empty() {
        return Err(fields.missing(&[POLICY.name]));
    }
    Ok(Rejudge { verdict, policies, format })
}
