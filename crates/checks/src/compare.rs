//! `compare`: judges reports and other engines' dumps against the reference.

use std::path::{Path, PathBuf};

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_compare::{
    Candidate, CandidateInfo, Rows, Verdict, Verdicts, align, judge, judge_values, one_line, summary, table,
};
use loupe_config::{Compare, Format, Input, ModelRef};
use loupe_report::{Report, TensorFile, Written, read, read_safetensors};
use loupe_spec::{Dtype, HostTensor, Probe, Values, nearest};

use crate::replayer::CheckpointReplayer;
use crate::stimulus::{self, Asked};
use crate::token_mistake::token_mistake;
use crate::{CheckError, compare_values};

/// The text and the verdicts of every candidate.
pub(crate) fn run(compare: &Compare, output: Option<&Path>) -> Result<(String, Verdicts), CheckError> {
    if compare.format.contains(&Format::Junit) {
        return Err(CheckError::Junit);
    }
    known(&compare.without)?;
    let mut references = References::default();
    let mut verdicts = Vec::new();
    for (at, path) in compare.candidates.iter().enumerate() {
        let stimuli = output.filter(|_| compare.stimulus).map(|prefix| {
            let mut folder = prefix.as_os_str().to_os_string();
            folder.push("-stimulus");
            let folder = PathBuf::from(folder);
            if compare.candidates.len() == 1 { folder } else { folder.join((at + 1).to_string()) }
        });
        verdicts.push(one(path, compare, &mut references, stimuli)?);
    }
    let verdicts = Verdicts::of(verdicts);
    let mut out = String::new();
    if compare.format.contains(&Format::Text) {
        out.push_str(&table(&verdicts));
        // Of many, what is right takes a line, and what is not is told in full.
        let many = verdicts.verdicts.len() > 3;
        for verdict in &verdicts.verdicts {
            if many && verdict.exit_code == 0 {
                out.push_str(&one_line(verdict));
            } else {
                out.push('\n');
                out.push_str(&summary(verdict));
            }
        }
    }
    if compare.format.contains(&Format::Json) && !compare.format.contains(&Format::Text) {
        out.push_str(&serde_json::to_string_pretty(&verdicts).unwrap_or_default());
        out.push('\n');
    }
    Ok((out, verdicts))
}

/// Whether each of `ids` is a mistake's.
fn known(ids: &[String]) -> Result<(), CheckError> {
    let all = || loupe_engine::mistakes().iter().map(|mistake| mistake.id);
    match ids.iter().find(|id| !all().any(|known| known == *id)) {
        None => Ok(()),
        Some(id) => Err(CheckError::NoMistake { id: id.clone(), nearest: nearest(id, all()).map(str::to_string) }),
    }
}

/// Checkpoints stay open from one candidate to the next.
#[derive(Default)]
struct References {
    open: Vec<(ModelRef, Checkpoint, Tensors)>,
}

impl References {
    fn open(&mut self, model: &ModelRef) -> Result<(&Checkpoint, &Tensors), CheckError> {
        let known = self.open.iter().position(|(id, ..)| id == model);
        let at = match known {
            Some(at) => at,
            None => {
                let checkpoint = Checkpoint::open(&model.id, model.revision.as_deref())?;
                let tensors = checkpoint.tensors()?;
                self.open.push((model.clone(), checkpoint, tensors));
                self.open.len() - 1
            }
        };
        let (_, checkpoint, tensors) = &self.open[at];
        Ok((checkpoint, tensors))
    }
}

/// A candidate's files: Loupe's report, or a safetensors file alone.
struct Loaded {
    report: Option<Report>,
    file: TensorFile,
}

fn load(path: &Path) -> Result<Loaded, CheckError> {
    let prefix = path.with_extension("");
    let is_dump = path.extension().is_some_and(|e| e == "safetensors") && !Written::of(&prefix).json.exists();
    if is_dump {
        return Ok(Loaded { report: None, file: read_safetensors(path)? });
    }
    let (report, file) = read(path)?;
    Ok(Loaded { report: Some(report), file })
}

/// `stimuli`: the folder for them, where they are asked for.
fn one(
    path: &Path,
    compare: &Compare,
    references: &mut References,
    stimuli: Option<PathBuf>,
) -> Result<Verdict, CheckError> {
    let Loaded { report, file } = load(path)?;
    let shown = path.display().to_string();
    let model = model_of(compare, report.as_ref(), &shown)?;
    let tensors: Vec<(String, HostTensor)> =
        file.names().into_iter().map(|name| Ok((name.clone(), file.get(&name)?))).collect::<Result<_, CheckError>>()?;
    let (checkpoint, weights) = references.open(&model)?;
    let declared = compare.candidate_dtype.or(report.as_ref().map(|report| report.dtype));
    let check = report.as_ref().and_then(|r| Some(r.config.get("check")?.as_str()?.to_string()));
    let backend = report.as_ref().map(|r| {
        if r.precision == "strict" { r.backend.name.clone() } else { format!("{} {}", r.backend.name, r.precision) }
    });
    let is_values = |name: &str| name.starts_with("rope.") || name.starts_with("weights.");
    if let Some(report) = report.as_ref().filter(|_| tensors.iter().all(|(name, _)| is_values(name))) {
        let expected = compare_values::expected(report, &tensors, weights)?;
        let dtype = declared.unwrap_or(Dtype::F32);
        let info = CandidateInfo { path: shown, backend, check, dtype, dtype_inferred: false };
        return Ok(judge_values(info, &tensors, &expected));
    }

    let asked = match &compare.reference.input {
        Some(Input::Prompt(prompt)) => Some(checkpoint.encode(prompt)?),
        Some(Input::TokenIds(ids)) => Some(ids.clone()),
        None => None,
    };
    let recorded = tensors.iter().find(|(name, _)| name == "token_ids").map(|(_, ids)| ids.values.to_f64());
    let own = recorded.map(|ids| ids.into_iter().map(|id| id as usize).collect::<Vec<usize>>());
    let own = own.or(report.as_ref().map(|r| r.token_ids.clone()).filter(|ids| !ids.is_empty()));
    let (mut notes, mut mistake) = (Vec::new(), None);
    let ids = match (own, asked) {
        (Some(own), Some(asked)) if own != asked => {
            let input = compare.reference.input.as_ref();
            mistake = input.and_then(|input| token_mistake(&own, &asked, input, checkpoint));
            let what = mistake.map_or("token ids differ".to_string(), |m| format!("{}: {}", m.id, m.what));
            notes.push(format!(
                "{what}: the candidate ran {own:?}, the prompt is {asked:?}; judged with the candidate's"
            ));
            own
        }
        (Some(own), _) => own,
        (None, Some(asked)) => asked,
        (None, None) => return Err(CheckError::NoTokens { path: shown }),
    };
    let vocab_size = checkpoint.config().vocab_size;
    if let Some((position, id)) = ids.iter().enumerate().find(|(_, id)| **id >= vocab_size) {
        return Err(CheckError::TokenId { id: *id, position, vocab_size });
    }
    let rows = compare.positions.clone().map_or(Rows::All, Rows::Positions);
    let (mut trace, ignored, misshapen) =
        align(&shown, tensors, &compare.names, checkpoint.config(), ids.len(), &rows)?;
    let values = Values::I64(ids.iter().map(|id| *id as i64).collect());
    trace.insert(Probe::TokenIds, HostTensor { shape: vec![ids.len()], values });
    let strict = report.as_ref().is_some_and(|report| report.precision == "strict");
    let candidate = Candidate { path: shown, backend, check, declared, strict, trace, rows, ignored, misshapen };
    let replayer = CheckpointReplayer { checkpoint, tensors: weights, tokens: ids.len(), without: &compare.without };
    let mut verdict = judge(&candidate, &replayer)?;
    let recorded = candidate.trace.keys().copied().filter(|probe| *probe != Probe::TokenIds).collect();
    let asked = Asked { compare, checkpoint, tensors: weights, token_ids: &ids, recorded, folder: stimuli };
    stimulus::add(&asked, &mut verdict)?;
    if let Some(report) = report.as_ref()
        && let Some(id) = report.model.checkpoint_id.as_ref().filter(|id| *id != weights.id())
    {
        notes.push(format!("its checkpoint is {id}, the reference's is {}: not the same files", weights.id()));
    }
    if !notes.is_empty() {
        verdict.different_question(notes, mistake);
    }
    Ok(verdict)
}

/// The reference's model: the config's, else the saved reference's, else the candidate's own.
fn model_of(compare: &Compare, report: Option<&Report>, path: &str) -> Result<ModelRef, CheckError> {
    if let Some(model) = &compare.reference.model {
        return Ok(model.clone());
    }
    let saved = match &compare.reference.report {
        Some(reference) => Some(read(reference)?.0),
        None => None,
    };
    let named = saved.as_ref().or(report).ok_or_else(|| CheckError::NoModel { path: path.to_string() })?;
    Ok(ModelRef { id: named.model.id.clone(), revision: named.model.revision.clone() })
}
