//! Which tokens a candidate ran, and which it was to run.

use loupe_candidate::Sorted;
use loupe_checkpoint::{Checkpoint, RowSelection, Tensors};
use loupe_config::{Compare, Input};
use loupe_judge::Aligned;
use loupe_report::Report;
use loupe_spec::{Config, Dtype, HostTensor, Mistake, Weight, echo};

use crate::CheckError;
use crate::token_mistake::token_mistake;

/// The tokens that a candidate is judged over.
pub(crate) struct Prompt {
    pub ids: Vec<usize>,
    /// The candidate says itself that it ran these.
    pub is_said: bool,
    /// Where they are not what was asked for, a sentence that says so.
    pub notes: Vec<String>,
    /// The mistake that makes them so.
    pub mistake: Option<&'static Mistake>,
}

impl Prompt {
    /// What the candidate says that it ran, where it says it, or what was asked for.
    ///
    /// # Errors
    /// Neither is there, they are no ids of the vocabulary, or config and saved reference ask for different ones.
    pub fn of(
        own: Option<Vec<usize>>,
        compare: &Compare,
        saved: Option<&Report>,
        checkpoint: &Checkpoint,
        path: &str,
    ) -> Result<Prompt, CheckError> {
        let asked = asked_for(compare, saved, checkpoint)?;
        let prompt = |ids: Vec<usize>, is_said| Prompt { ids, is_said, notes: Vec::new(), mistake: None };
        let prompt = match (own, asked) {
            (Some(own), Some(asked)) => {
                Prompt { is_said: true, ..prompt(asked, false).but_ran(own, "", compare, checkpoint) }
            }
            (Some(own), None) => prompt(own, true),
            (None, Some(asked)) => prompt(asked, false),
            (None, None) => return Err(CheckError::NoTokens { path: path.to_string() }),
        };
        let vocab_size = checkpoint.config().vocab_size;
        match prompt.ids.iter().enumerate().find(|(_, id)| **id >= vocab_size) {
            Some((position, id)) => Err(CheckError::TokenId { id: *id, position, vocab_size }),
            None => Ok(prompt),
        }
    }

    /// This prompt, of a candidate that ran `own`, as `how` says.
    pub fn but_ran(self, own: Vec<usize>, how: &str, compare: &Compare, checkpoint: &Checkpoint) -> Prompt {
        if own == self.ids {
            return self;
        }
        let input = compare.reference.input.as_ref();
        let mistake = input.and_then(|input| token_mistake(&own, &self.ids, input, checkpoint));
        let what =
            mistake.map_or("token ids differ".to_string(), |m| format!("{}: {}", m.id, m.what.trim_end_matches('.')));
        let note = format!(
            "{what}: yours are {}{how}, the prompt's {}, different from position {} on; the stages are judged with yours",
            echo(&format!("{own:?}")),
            echo(&format!("{:?}", self.ids)),
            parting(&own, &self.ids)
        );
        Prompt { ids: own, notes: vec![note], mistake, ..self }
    }
}

/// The ids in a candidate's `token_ids`.
pub(crate) fn token_ids(path: &str, ids: &HostTensor) -> Result<Vec<usize>, CheckError> {
    let id = |(position, value): (usize, f64)| {
        // Above 2^53 a float is no exact integer; no vocabulary comes near.
        let is_id = value >= 0.0 && value.fract() == 0.0 && value < 2f64.powi(53);
        let path = path.to_string();
        if is_id { Ok(value as usize) } else { Err(CheckError::NoTokenId { path, position, value }) }
    };
    ids.values.to_f64().into_iter().enumerate().map(id).collect()
}

/// Several prompts in one dump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub prompts: usize,
    /// From 0.
    pub judged: usize,
}

/// Gemma's `<bos>`, with which every prompt begins.
pub(crate) const BOS: usize = 2;

/// Its `<pad>` and `<eos>`, with which short prompts are filled up.
const PADDING: [usize; 2] = [0, 1];

/// One prompt of those that a dump's `token_ids` hold.
pub(crate) struct OfBatch {
    pub ids: Vec<usize>,
    /// Rows of padding before its `<bos>` and after its last token.
    pub padding: (usize, usize),
    pub batch: Option<Batch>,
}

/// Of `ids`, whose tensor has `shape`, the prompt that was `asked` for, or else the first. What fills a short one up is no part
/// of it.
pub(crate) fn of_batch(ids: Vec<usize>, shape: &[usize], asked: Option<&[usize]>) -> OfBatch {
    let (prompts, length) = match shape {
        [prompts, length] if *prompts > 1 && *length > 0 => (*prompts, *length),
        _ => (1, ids.len().max(1)),
    };
    let all: Vec<(&[usize], usize, usize)> =
        ids.chunks_exact(length).map(|ids| unpadded(ids, asked, prompts > 1)).collect();
    let judged = all.iter().position(|(own, ..)| asked == Some(*own)).unwrap_or(0);
    let (ids, before, after) = all.get(judged).map_or((Vec::new(), 0, 0), |(own, b, a)| (own.to_vec(), *b, *a));
    let batch = (prompts > 1).then_some(Batch { prompts, judged });
    OfBatch { ids, padding: (before, after), batch }
}

/// `ids` without the padding before `<bos>` and at the end, and how much of each there was. A prompt that was `asked` for as it
/// is has none.
fn unpadded<'i>(ids: &'i [usize], asked: Option<&[usize]>, of_several: bool) -> (&'i [usize], usize, usize) {
    if asked == Some(ids) {
        return (ids, 0, 0);
    }
    let begins = ids.iter().position(|id| !PADDING.contains(id)).unwrap_or(0);
    let begins = if ids.get(begins) == Some(&BOS) { begins } else { 0 };
    let ends = ids.iter().rposition(|id| *id != PADDING[0]).map_or(ids.len(), |last| last + 1).max(begins);
    // A single one may be a token that was run; beside longer prompts it is not.
    let is_padding = of_several || ids.len() - ends > 1 || asked == Some(&ids[begins..ends]);
    let ends = if is_padding { ends } else { ids.len() };
    (&ids[begins..ends], begins, ids.len() - ends)
}

/// The first position at which two prompts differ, which what is shown of long ones may not tell.
fn parting(one: &[usize], other: &[usize]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// The ids of the prompt: the config's, else the saved reference's. Where both are given they agree.
pub(crate) fn asked_for(
    compare: &Compare,
    saved: Option<&Report>,
    checkpoint: &Checkpoint,
) -> Result<Option<Vec<usize>>, CheckError> {
    let asked = match &compare.reference.input {
        Some(Input::Prompt(prompt)) => Some(checkpoint.encode(prompt)?),
        Some(Input::TokenIds(ids)) => Some(ids.clone()),
        None => None,
    };
    let saved = saved.map(|report| report.token_ids.clone()).filter(|ids| !ids.is_empty());
    match (asked, saved) {
        (Some(config), Some(report)) if config != report => Err(CheckError::OtherReference {
            what: format!("token ids (not the same from position {} on)", parting(&config, &report)),
            config: format!("{config:?}"),
            report: format!("{report:?}"),
        }),
        (asked, saved) => Ok(asked.or(saved)),
    }
}

/// A prompt that a candidate may have run, and what says so.
pub(crate) struct Ran {
    pub ids: Vec<usize>,
    pub how: &'static str,
}

impl Ran {
    /// `asked` without its `<bos>`.
    pub fn without_bos(asked: &[usize]) -> Ran {
        Ran { ids: asked[1..].to_vec(), how: " (by what fits)" }
    }
}

/// What says which prompt was run: its embeddings.
pub(crate) const BY_EMBEDDINGS: &str = " (by its embeddings)";
/// What says so: how many rows there are, where those explain more.
const BY_ROWS: &str = " (by its rows)";

/// The prompts that a dump with so many `rows`, other than `asked` has tokens, may be of.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn other_prompts(
    rows: usize,
    sorted: &Sorted,
    asked: &[usize],
    tensors: &Tensors,
    config: &Config,
) -> Result<Vec<Ran>, CheckError> {
    if let Some(values) = sorted.embeddings() {
        let recorded: Vec<&[f64]> = values.chunks_exact(config.hidden_size).collect();
        if let Some(ids) = nearest_ids(&recorded, tensors, config)? {
            let (ids, ..) = unpadded(&ids, Some(asked), false);
            let is_part = asked.windows(ids.len().max(1)).any(|part| part == ids);
            let ran = Ran { ids: ids.to_vec(), how: BY_EMBEDDINGS };
            // Rows of some of the tokens may be what was written, or what was run.
            return Ok(if ids.is_empty() || is_part && ids[0] == BOS { Vec::new() } else { vec![ran] });
        }
    }
    let by_rows = |ids: Vec<usize>| vec![Ran { ids, how: BY_ROWS }];
    Ok(match asked {
        [_, rest @ ..] if rows == rest.len() => by_rows(rest.to_vec()),
        [first, ..] if rows == asked.len() + 1 && *first != BOS => by_rows([&[BOS], asked].concat()),
        _ => Vec::new(),
    })
}

/// Two rows of a table point the same way by this much if one is the other's copy, in 4 bits at worst; other tokens' do not.
const SAME: f64 = 0.98;

/// The prompt that was run where it was not `asked`, by the rows of its embeddings; `None`: the embeddings are those of
/// `asked`, or of no token.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn ids_of(
    aligned: &Aligned,
    asked: &[usize],
    tensors: &Tensors,
    config: &Config,
) -> Result<Option<Vec<usize>>, CheckError> {
    let Some((_, rows)) = aligned.trace.iter().find(|(probe, _)| probe.is_embedding()) else {
        return Ok(None);
    };
    let values = rows.values.to_f64();
    let recorded: Vec<&[f64]> = values.chunks_exact(config.hidden_size).collect();
    let some = aligned.rows.positions(asked.len());
    let tokens = if recorded.len() == asked.len() { (0..asked.len()).collect() } else { some };
    let row = |id: usize| tensors.read(Weight::EMBED_TOKENS, RowSelection::Range(id..id + 1), Dtype::F32);
    let (mut others, mut at) = (Vec::new(), Vec::new());
    for (recorded, token) in recorded.into_iter().zip(tokens) {
        if cosine(recorded, &row(asked[token])?.values.to_f64()) < SAME {
            others.push(recorded);
            at.push(token);
        }
    }
    if others.is_empty() {
        return Ok(None);
    }
    let Some(found) = nearest_ids(&others, tensors, config)? else { return Ok(None) };
    let mut ids = asked.to_vec();
    at.into_iter().zip(found).for_each(|(token, id)| ids[token] = id);
    Ok(Some(ids))
}

/// The id whose row of the table each of `rows` is; `None`: some row is no token's.
fn nearest_ids(rows: &[&[f64]], tensors: &Tensors, config: &Config) -> Result<Option<Vec<usize>>, CheckError> {
    let mut best = vec![(SAME, None); rows.len()];
    for start in (0..config.vocab_size).step_by(BLOCK) {
        let range = start..(start + BLOCK).min(config.vocab_size);
        let HostTensor { values, .. } = tensors.read(Weight::EMBED_TOKENS, RowSelection::Range(range), Dtype::F32)?;
        let values = values.to_f64();
        for (best, recorded) in best.iter_mut().zip(rows) {
            for (at, row) in values.chunks_exact(config.hidden_size).enumerate() {
                let likeness = cosine(recorded, row);
                if likeness > best.0 {
                    *best = (likeness, Some(start + at));
                }
            }
        }
    }
    Ok(best.into_iter().map(|(_, found)| found).collect())
}

/// Rows of the table that are read at a time.
const BLOCK: usize = 4096;

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let sizes = dot(one, one) * dot(other, other);
    if sizes > 0.0 { dot(one, other) / sizes.sqrt() } else { 0.0 }
}
