//! `compare`: judges reports and other engines' dumps against the reference.

use std::path::{Path, PathBuf};

use loupe_candidate::{Counting, Dump, KnownRows, Meaning, Names, Sorted, Source, may_count_from_one, sort, stacked};
use loupe_config::{CandidateRef, Compare, ComputedIn, Format, Input};
use loupe_judge::{
    Aligned, Candidate, CandidateInfo, Detail, Judged, Judgement, Rows, Verdict, Verdicts, judge, judge_values,
    one_line, text,
};
use loupe_report::{Report, Written, read};
use loupe_runtime::{Bytes, Referee, free_memory};
use loupe_spec::{Dtype, HostTensor, Probe, Values, echo, nearest};
use loupe_stimulus::{self as stimulus, Asked};

use crate::candidate::{Loaded, load, typed};
use crate::next::{next, whose_rows};
use crate::progress::Line;
use crate::prompt::{
    BOS, BY_EMBEDDINGS, Batch, OfBatch, Prompt, Ran, asked_for, ids_of, of_batch, other_prompts, token_ids,
};
use crate::references::{References, model_of};
use crate::{CheckError, compare_values};

/// The text and the verdicts of every candidate.
pub(crate) fn run(compare: &Compare, output: Option<&Path>) -> Result<(String, Verdicts), CheckError> {
    known(&compare.without)?;
    let folder = output.filter(|_| compare.stimulus).map(stimulus::folder);
    if let Some(folder) = &folder {
        stimulus::refuse_taken(folder)?;
    }
    let saved = compare.reference.report.as_deref().map(read).transpose()?.map(|(report, _)| report);
    let opened = compare.candidates.iter().map(|candidate| match candidate {
        CandidateRef::Path(path) => load(path),
        CandidateRef::Typed(numbers) => Ok(typed(numbers)),
    });
    let candidates = opened.collect::<Result<Vec<_>, _>>()?;
    mapped(compare, &candidates)?;
    let mut references = References::default();
    let line = Line::new();
    let mut verdicts = Vec::new();
    for (at, loaded) in candidates.iter().enumerate() {
        let several = compare.candidates.len() > 1;
        let stimuli =
            folder.as_ref().map(|folder| if several { folder.join((at + 1).to_string()) } else { folder.clone() });
        let asked = Question { compare, saved: saved.as_ref(), stimuli: None, line: &line };
        let mut answer = one(loaded, &asked, &mut references, &Guess::default())?;
        let (rows, mut taken) = (answer.other_rows, Guess::default());
        for guess in std::mem::take(&mut answer.guesses) {
            // What cannot even be read so is no such thing.
            let Ok(again) = one(loaded, &asked, &mut references, &guess) else { continue };
            // A guess that leaves most of it unexplained is none.
            if again.needed < answer.needed && 2 * again.needed.0 <= answer.needed.0 {
                (answer, taken) = (again, guess);
            }
        }
        // What was taken for true alone is written.
        if stimuli.is_some() {
            answer = one(loaded, &Question { stimuli, ..asked }, &mut references, &taken)?;
        }
        let tokens = answer.verdict.coverage.of_tokens;
        if let Some(rows) = rows.filter(|rows| answer.needed.0 > 0 && *rows != tokens) {
            answer.verdict.next = Some(whose_rows(rows, tokens, answer.without_bos));
            answer.verdict.other_rows = Some(rows);
        }
        verdicts.push(answer.verdict);
    }
    verdicts.iter_mut().for_each(|verdict| verdict.tolerate(&compare.policies));
    let verdicts = Verdicts::of(verdicts);
    let json = output.map(|prefix| Written::of(prefix).json);
    Ok((said(&verdicts, &compare.format, json.as_deref()), verdicts))
}

/// What is printed of `verdicts`; `json` is the file that holds them, where one does.
pub(crate) fn said(verdicts: &Verdicts, format: &[Format], json: Option<&Path>) -> String {
    let mut out = String::new();
    if format.contains(&Format::Text) {
        out.push_str(&text(verdicts, json));
    }
    if format.contains(&Format::Json) && !format.contains(&Format::Text) {
        out.push_str(&serde_json::to_string_pretty(verdicts).unwrap_or_default());
        out.push('\n');
    }
    if format == [Format::Html] {
        verdicts.verdicts.iter().for_each(|verdict| out += &one_line(verdict));
    }
    out
}

/// Whether each of `ids` is a mistake's.
fn known(ids: &[String]) -> Result<(), CheckError> {
    let all = || loupe_runtime::mistakes().iter().map(|mistake| mistake.id);
    match ids.iter().find(|id| !all().any(|known| known == *id)) {
        None => Ok(()),
        Some(id) => Err(CheckError::NoMistake { id: id.clone(), nearest: nearest(id, all()).map(str::to_string) }),
    }
}

/// Whether each key of "names" is a tensor of some candidate.
fn mapped(compare: &Compare, candidates: &[Loaded]) -> Result<(), CheckError> {
    let held: Vec<String> = candidates.iter().flat_map(|loaded| loaded.source.names()).collect();
    match compare.names.iter().find(|entry| held.iter().all(|name| entry.of(name).is_none())) {
        None => Ok(()),
        Some(entry) => {
            let nearest = nearest(entry.own(), held.iter().map(String::as_str)).map(str::to_string);
            Err(CheckError::NoTensor { name: entry.own().to_string(), nearest })
        }
    }
}

/// What is asked of a candidate.
struct Question<'a> {
    compare: &'a Compare,
    /// The report that the config names as reference.
    saved: Option<&'a Report>,
    /// The folder for stimuli, where they are asked for.
    stimuli: Option<PathBuf>,
    /// Says how far it is.
    line: &'a Line,
}

/// What a candidate may be that does not say so itself.
#[derive(Default)]
struct Guess {
    /// As many rows as there are may be all that the engine ran: without `<bos>`, for example.
    ran: Option<Ran>,
    /// How its names count layers; `None`: as their numbers say.
    counting: Option<Counting>,
    /// Whether its samples count tokens from 1.
    tokens_from_one: bool,
}

/// A verdict, and what it leaves open.
struct Answer {
    verdict: Verdict,
    /// How many stages are unexplained, and how many mistakes explain the others.
    needed: (usize, usize),
    /// What it may be else, where that explains more.
    guesses: Vec<Guess>,
    /// How many rows it has, where those are not the prompt's tokens and nothing says which they are.
    other_rows: Option<usize>,
    /// The prompt that it was judged as does not begin with `<bos>`.
    without_bos: bool,
}

/// The prompt whose ids were recorded with the values, if they were. Of a batch it is the one that is judged, and its rows
/// alone stay in `tensors`. `asked` gives the ids that the config or the saved report asks for.
fn recorded_prompt(
    loaded: &Loaded,
    names: &Names,
    tensors: &mut [(String, HostTensor)],
    asked: impl FnOnce() -> Result<Option<Vec<usize>>, CheckError>,
) -> Result<Option<OfBatch>, CheckError> {
    let is_ids = |name: &str| {
        let is_own =
            |meaning: &Meaning| matches!(meaning, Meaning::Values(probes) if probes.first() == Some(&Probe::TOKEN_IDS));
        names.entries.iter().find(|(_, meaning)| is_own(meaning)).is_some_and(|(own, _)| own == name)
    };
    let Some((_, recorded)) = tensors.iter().find(|(name, _)| is_ids(name)) else {
        return Ok(None);
    };
    let ids = token_ids(&loaded.path, recorded)?;
    // A report of Loupe's holds one prompt, as it is.
    if loaded.report.is_some() {
        return Ok(Some(OfBatch { ids, padding: (0, 0), batch: None }));
    }
    let own = of_batch(ids, &recorded.shape, asked()?.as_deref());
    // Of states one after the other the first axis is that of layers.
    let stacked_states = |name: &str| names.entries.iter().any(|(own, m)| own == name && *m == Meaning::Stacked);
    if let Some(Batch { prompts, judged }) = own.batch {
        for (name, tensor) in tensors {
            if !is_ids(name) && !stacked_states(name) && tensor.shape.len() > 1 && tensor.shape[0] == prompts {
                *tensor = stacked(tensor).swap_remove(judged);
            }
        }
    }
    Ok(Some(own))
}

/// The verdict on one candidate, of which `guess` is taken to be true.
fn one(
    loaded: &Loaded,
    question: &Question<'_>,
    references: &mut References,
    guess: &Guess,
) -> Result<Answer, CheckError> {
    let Loaded { path: shown, report, source } = loaded;
    let Question { compare, saved, stimuli, line } = question;
    let (compare, saved, shown) = (*compare, *saved, shown.clone());
    let model = model_of(compare, saved, report.as_ref(), &shown)?;
    let (checkpoint, weights) = references.open(&model)?;
    let layers = Some(checkpoint.config().num_hidden_layers);
    let names = Names::counted(&source.names(), &compare.names, layers, guess.counting);
    let is_known = |meaning: &Meaning| !matches!(meaning, Meaning::Unknown(_) | Meaning::Nothing(_));
    let tensors = names.entries.iter().filter(|(name, meaning)| is_known(meaning) && source.shape(name).is_some());
    let known: Vec<&str> = tensors.map(|(name, _)| name.as_str()).collect();
    fits(&shown, source, &known)?;
    let read = |name: &str| Ok((name.to_string(), source.get(name)?));
    let mut tensors: Vec<(String, HostTensor)> = known.into_iter().map(read).collect::<Result<_, CheckError>>()?;
    if let Some(id) = saved.and_then(|saved| saved.model.checkpoint_id.as_ref()).filter(|id| *id != weights.id()) {
        let (found, report) = (weights.id().to_string(), id.clone());
        return Err(CheckError::OtherCheckpoint { model: model.id, found, report });
    }
    let (dtype, arithmetic) = match compare.candidate_dtype {
        Some(ComputedIn::Dtype(dtype)) => (Some(dtype), None),
        Some(ComputedIn::Arithmetic(arithmetic)) => (None, Some(arithmetic)),
        None => (None, None),
    };
    let declared = dtype.or(report.as_ref().map(|report| report.dtype));
    let check = report.as_ref().and_then(|r| Some(r.config.get("check")?.as_str()?.to_string()));
    let backend = report.as_ref().map(|r| {
        if r.precision == "strict" { r.backend.name.clone() } else { format!("{} {}", r.backend.name, r.precision) }
    });
    if let Some(report) =
        report.as_ref().filter(|_| names.entries.iter().all(|(_, meaning)| *meaning == Meaning::Recorded))
    {
        let expected = compare_values::expected(report, &tensors, weights)?;
        let dtype = declared.unwrap_or(Dtype::F32);
        let info = CandidateInfo { path: shown, backend, check, dtype, dtype_inferred: false, decimals: None };
        let verdict = judge_values(info, &tensors, &expected);
        if verdict.stages.is_empty() {
            let found = tensors.into_iter().map(|(name, _)| name).collect();
            return Err(CheckError::NoValues { path: verdict.candidate.path, found });
        }
        return Ok(Answer { verdict, needed: (0, 0), guesses: Vec::new(), other_rows: None, without_bos: false });
    }

    let recorded = recorded_prompt(loaded, &names, &mut tensors, || asked_for(compare, saved, checkpoint))?;
    let (batch, padding) = recorded.as_ref().map_or((None, (0, 0)), |own| (own.batch, own.padding));
    let recorded = recorded.map(|own| own.ids);
    let recorded = recorded.or(report.as_ref().map(|r| r.token_ids.clone()).filter(|ids| !ids.is_empty()));
    let mut prompt = Prompt::of(recorded, compare, saved, checkpoint, &shown)?;
    let is_open = guess.ran.is_none() && compare.positions.is_none();
    if let Some(ran) = &guess.ran {
        prompt = Prompt { is_said: true, ..prompt.but_ran(ran.ids.clone(), ran.how, compare, checkpoint) };
    }
    let as_tensor = |ids: &[usize]| {
        let values = Values::I64(ids.iter().map(|id| *id as i64).collect());
        HostTensor { shape: vec![ids.len()], values }
    };
    let referee = Referee {
        without: &compare.without,
        watch: Some(*line),
        ..Referee::new(checkpoint.graph(), weights, prompt.ids.len())
    };
    let dump = Dump {
        path: &shown,
        tensors,
        samples: &source.samples,
        names: &names,
        token_ids: as_tensor(&prompt.ids),
        rows: KnownRows { positions: compare.positions.as_deref(), padding },
        tokens_from_one: source.is_text().then_some(guess.tokens_from_one),
        is_report: report.is_some(),
    };
    let mut sorted = sort(dump, &referee)?;
    source.unread().into_iter().for_each(|what| sorted.say(what));
    if let Some(Batch { prompts, judged }) = batch {
        sorted.say(format!("{prompts} prompts, of which number {} is judged", judged + 1));
    }
    let padded = prompt.ids.len() + padding.0 + padding.1;
    let other_rows = sorted.other_rows().filter(|rows| is_open && *rows != padded);
    if !prompt.is_said
        && other_rows.is_none()
        && let Some(own) = ids_of(&sorted.aligned()?, &prompt.ids, weights, checkpoint.config())?
    {
        sorted = sorted.of_tokens(as_tensor(&own), &referee)?;
        prompt = prompt.but_ran(own, BY_EMBEDDINGS, compare, checkpoint);
    }
    let detail = if compare.format.contains(&Format::Html) { Detail::Pictures } else { Detail::Numbers };
    let strict = report.as_ref().is_some_and(|report| report.precision == "strict");
    let as_candidate = |aligned: Aligned| {
        let (path, backend, check) = (shown.clone(), backend.clone(), check.clone());
        Candidate { path, backend, check, declared, arithmetic, strict, aligned }
    };
    let mut candidate = as_candidate(sorted.aligned()?);
    let mut judged = judge(&candidate, &referee, detail)?;
    // A tensor whose values are its neighbour's may be a mistake or a matter of names: whatever needs less to explain it.
    while let Some((sorted_otherwise, other, again)) = simpler(&sorted, &judged, &as_candidate, &referee, detail)? {
        (sorted, candidate, judged) = (sorted_otherwise, other, again);
    }
    let needed = needed(&judged);
    let mut guesses = Vec::new();
    if let Some(rows) = other_rows.filter(|_| needed > (0, 0)) {
        let others = other_prompts(rows, &sorted, &prompt.ids, weights, checkpoint.config())?;
        guesses.extend(others.into_iter().map(|ran| Guess { ran: Some(ran), ..Guess::default() }));
    }
    // The last row alone is of any prompt with that token.
    let is_one_row =
        matches!(&candidate.aligned.rows, Rows::Positions(rows) if rows.len() == 1) && other_rows.is_none();
    if is_open && is_one_row && !prompt.is_said && needed.0 > 0 && prompt.ids.len() > 2 && prompt.ids[0] == BOS {
        guesses.push(Guess { ran: Some(Ran::without_bos(&prompt.ids)), ..Guess::default() });
    }
    let may_be_else = needed > (0, 0) && report.is_none();
    if may_be_else && names.may_count_from_one() {
        guesses.push(Guess { counting: Some(Counting::FromOne), ..Guess::default() });
    }
    if may_be_else && source.is_text() && may_count_from_one(&source.samples, prompt.ids.len()) {
        guesses.push(Guess { tokens_from_one: true, ..Guess::default() });
    }
    let Judged { mut verdict, precision, .. } = judged;
    let recorded = candidate.aligned.trace.keys().chain(candidate.aligned.fragments.keys()).copied();
    let recorded = recorded.filter(|probe| *probe != Probe::TOKEN_IDS).collect();
    let asked = Asked {
        compare,
        checkpoint,
        tensors: weights,
        token_ids: &prompt.ids,
        recorded,
        folder: stimuli.clone(),
        watch: Some(*line),
    };
    stimulus::add(&asked, precision, &mut verdict)?;
    if let Some(report) = report.as_ref()
        && let Some(id) = report.model.checkpoint_id.as_ref().filter(|id| *id != weights.id())
    {
        prompt.notes.push(format!(
            "its checkpoint is {}, the reference's is {}: not the same files",
            echo(id),
            weights.id()
        ));
    }
    if !prompt.notes.is_empty() {
        verdict.different_question(prompt.notes, prompt.mistake);
    }
    let without_bos = prompt.ids.first() != Some(&BOS);
    let input = compare.reference.input.clone().unwrap_or(Input::TokenIds(prompt.ids));
    verdict.next = Some(next(&verdict, compare, precision, &model, &input, checkpoint.graph()));
    Ok(Answer { verdict, needed, guesses, other_rows, without_bos })
}

/// How many stages are unexplained, and how many mistakes explain the others. What is not decided explains none.
fn needed(judged: &Judged) -> (usize, usize) {
    let verdict = &judged.verdict;
    let is_open = verdict.verdict == Judgement::Inconclusive;
    let unexplained = if is_open { verdict.stages.len() } else { judged.unnamed.len() };
    (unexplained, verdict.mistakes.len() + verdict.fitted.len())
}

/// Another way to read a candidate that leaves fewer stages unexplained, or needs fewer mistakes to explain them; `None`: there
/// is none.
fn simpler(
    sorted: &Sorted,
    judged: &Judged,
    as_candidate: &dyn Fn(Aligned) -> Candidate,
    referee: &Referee<'_>,
    detail: Detail,
) -> Result<Option<(Sorted, Candidate, Judged)>, CheckError> {
    let mistakes = judged.verdict.mistakes.iter().map(|mistake| mistake.probe);
    let fitted = judged.verdict.fitted.iter().map(|fitted| fitted.probe);
    let suspects: Vec<Probe> = judged.unnamed.iter().copied().chain(mistakes).chain(fitted).collect();
    for other in sorted.otherwise(&suspects) {
        let candidate = as_candidate(other.aligned()?);
        let again = judge(&candidate, referee, detail)?;
        // At a lesser precision everything needs less to explain it.
        if again.precision == judged.precision && needed(&again) < needed(judged) {
            return Ok(Some((other, candidate, again)));
        }
    }
    Ok(None)
}

/// What judging one number takes: the number itself, its prediction, its noise in five runs, and their likes, each in f64.
const BYTES_A_NUMBER: usize = 10 * size_of::<f64>();

/// Whether the tensors `names` of `source` can be judged in the memory that there is.
fn fits(path: &str, source: &Source, names: &[&str]) -> Result<(), CheckError> {
    let numbers =
        |name: &&str| source.shape(name).unwrap_or_default().iter().fold(1, |a: usize, b| a.saturating_mul(*b));
    let bytes = names.iter().map(numbers).fold(0, usize::saturating_add).saturating_mul(BYTES_A_NUMBER);
    let free = free_memory();
    if bytes <= free {
        return Ok(());
    }
    let largest = names.iter().max_by_key(|name| numbers(name)).copied().unwrap_or_default().to_string();
    let shape = source.shape(&largest).unwrap_or_default().to_vec();
    Err(CheckError::TooLarge { path: path.to_string(), bytes: Bytes(bytes), free: Bytes(free), largest, shape })
}
