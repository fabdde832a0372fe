//! The keys of `compare`.

use loupe_spec::{NameEntry, NameEntryError, echo};

use crate::common::{input, model};
use crate::error::Noted;
use crate::fields::{Fields, INHERITED};
use crate::key::Key;
use crate::keys::*;
use crate::policy::policy;
use crate::read::{Choice, OneOrList, TEXT};
use crate::{CandidateRef, Compare, Format, Reference, Typed};

/// The keys of `compare` that are its own.
pub(crate) fn compare(fields: &Fields) -> Result<Compare, Noted> {
    let candidates = candidates(fields);
    let reference = reference(fields);
    let names = names(fields);
    let candidate_dtype = fields.optional(&CANDIDATE_DTYPE);
    let positions = positions(fields);
    let policy = policy(fields, own_policy_or_without());
    let format = format(fields, &FORMAT);
    let stimulus = stimulus(fields);
    let (policies, without) = policy?;
    Ok(Compare {
        candidates: candidates?,
        reference: reference?,
        names: names?,
        candidate_dtype: candidate_dtype?,
        positions: positions?,
        without,
        policies,
        format: format?,
        stimulus: stimulus?,
    })
}

/// `candidates`, or `candidate` for a list of one, which may also be numbers.
fn candidates(fields: &Fields) -> Result<Vec<CandidateRef>, Noted> {
    if fields.is_object("candidate") {
        return Ok(vec![CandidateRef::Typed(typed(fields)?)]);
    }
    let (many, one) = (fields.optional(&CANDIDATES), fields.optional(&CANDIDATE_PATH));
    fields.at_most_one(["candidates", "candidate"])?;
    let (many, one) = (many?, one?);
    let paths = many.or(one.map(|one| vec![one])).ok_or_else(|| fields.missing(&["candidates", "candidate"]))?;
    Ok(paths.into_iter().map(CandidateRef::Path).collect())
}

/// Numbers by tensor: `{"layers.12.output": {"token": -1, "first": [0.1234, …]}}`.
fn typed(fields: &Fields) -> Result<Vec<Typed>, Noted> {
    let Some(candidate) = fields.object("candidate", "\"candidate\"")? else { return Ok(Vec::new()) };
    let read = |name: &str| {
        let Some(numbers) = candidate.object(name, &format!("\"{}\"", echo(name)))? else { return Ok(None) };
        numbers.only(&typed_numbers().names());
        let (token, first) = (numbers.required(&TOKEN), numbers.required(&FIRST));
        let from = numbers.optional(&FROM);
        Ok(Some(Typed { name: name.to_string(), token: token?, from: from?.unwrap_or(0), numbers: first? }))
    };
    // All are read before the first error ends it, so that each is noted.
    let all: Vec<Result<Option<Typed>, Noted>> = candidate.keys().into_iter().map(read).collect();
    let all: Vec<Typed> = all.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if all.is_empty() {
        let help = "write {\"layers.12.output\": {\"token\": -1, \"first\": [0.1234, -1.2]}}, or a path".to_string();
        return Err(fields.note_key("candidate", "\"candidate\" holds no numbers".to_string(), Some(help)));
    }
    Ok(all)
}

/// `reference`; the document's own `model` and `prompt` or `token_ids` are short for it. None of them is required here:
/// a report names its own model and token ids, and a dump may hold `token_ids`.
fn reference(fields: &Fields) -> Result<Reference, Noted> {
    let inner = fields.object("reference", "\"reference\"")?;
    if let Some(inner) = &inner {
        inner.only(&reference_keys().names());
        for key in INHERITED.into_iter().filter(|key| fields.has(key) && inner.has(key)) {
            let message = format!("\"{key}\" is there twice: in \"reference\" and beside it");
            inner.note_key(key, message, Some("keep one of them".to_string()));
        }
    }
    let home = inner.as_ref().unwrap_or(fields);
    let report = if inner.is_some() { home.optional(&REPORT) } else { Ok(None) };
    let (model, input) = (model(home), input(home));
    let (model, input, report) = (model?, input?, report?);
    Ok(Reference { model, input, report })
}

/// `names`: what the candidate calls a probe point.
pub(crate) fn names(fields: &Fields) -> Result<Vec<NameEntry>, Noted> {
    let Some(names) = fields.object("names", "\"names\"")? else { return Ok(Vec::new()) };
    let mut entries: Vec<NameEntry> = Vec::new();
    for (own, target) in names.entries(&TEXT)? {
        let entry = NameEntry::new(&own, &target).map_err(|error| match error {
            NameEntryError::Unknown(unknown) => {
                names.mismatch_of(&own, "the name of a probe point (docs/probes.md has them)", unknown.nearest)
            }
            NameEntryError::OneSided { .. } => names.note_key(&own, format!("\"{}\": {error}", echo(&own)), None),
        })?;
        if let Some(earlier) =
            entries.iter().find(|earlier| entry.probe().is_some() && earlier.probe() == entry.probe())
        {
            let message = format!(
                "\"{}\" and \"{}\" are both named {}, expected one tensor for it",
                echo(&own),
                echo(earlier.own()),
                echo(&target)
            );
            return Err(names.note_key(&own, message, None));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// `positions`: those of the candidate's rows, in ascending order.
pub(crate) fn positions(fields: &Fields) -> Result<Option<Vec<usize>>, Noted> {
    let positions = fields.optional(&POSITIONS)?;
    if let Some(pair) = positions.iter().flat_map(|positions| positions.windows(2)).find(|pair| pair[0] >= pair[1]) {
        let message = match pair[0] == pair[1] {
            true => format!("\"positions\" holds {} twice, expected each row's once", pair[0]),
            false => format!("\"positions\" holds {} after {}, expected ascending order", pair[1], pair[0]),
        };
        let help = "they say which token of the prompt each row of the candidate is".to_string();
        return Err(fields.note_key("positions", message, Some(help)));
    }
    Ok(positions)
}

/// `stimulus`, which writes checkpoints and so needs to be told where.
fn stimulus(fields: &Fields) -> Result<bool, Noted> {
    let asked = fields.optional(&STIMULUS)?.unwrap_or(false);
    if asked && !fields.has("output") {
        let message = "\"stimulus\" writes checkpoints, and there is no \"output\" to say where".to_string();
        let help = "add \"output\": \"out/verdict\": they go to folders in out/verdict-stimulus".to_string();
        return Err(fields.note_key("stimulus", message, Some(help)));
    }
    Ok(asked)
}

/// `format`: one name or a list of them, each kept once.
pub(crate) fn format(fields: &Fields, key: &Key<OneOrList<Choice<Format>>>) -> Result<Vec<Format>, Noted> {
    let mut formats: Vec<Format> = Vec::new();
    for format in fields.optional(key)?.unwrap_or_else(|| vec![Format::Text]) {
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    Ok(formats)
}
