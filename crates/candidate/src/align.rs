//! From tensors under someone's names to a candidate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use loupe_judge::{Aligned, Fragment, Rows, found};
use loupe_spec::{Graph, HostTensor, Probe, Replayer, Trace, echo};

use crate::Sample;
use crate::choose::{choose, hold_to_names, otherwise};
use crate::digest::tensor_of;
use crate::doubts::doubts;
use crate::entries::entries;
use crate::error::AlignError;
use crate::found::hidden_state;
use crate::fragments::{Gathered, gathered, meant};
use crate::held::KnownRows;
use crate::hidden::{right_masks, take_hidden};
use crate::meaning::Meaning;
use crate::misfit::{Misfit, misfit};
use crate::names::Names;
use crate::open::Open;
use crate::parts::{split, stacked};
use crate::reading::{Form, in_words, readings};
use crate::tokens::placed;

/// Someone's tensors, as they were read.
#[derive(Debug)]
pub struct Dump<'a> {
    /// The file, for messages.
    pub path: &'a str,
    /// The tensors that have a meaning; those of `rope.*` and `weights.*` are left out.
    pub tensors: Vec<(String, HostTensor)>,
    /// Some values of others.
    pub samples: &'a [Sample],
    /// What every name of the file means.
    pub names: &'a Names,
    /// The prompt's.
    pub token_ids: HostTensor,
    /// What is known of the rows of its tensors.
    pub rows: KnownRows<'a>,
    /// Whether its samples are taken to count tokens from 1; `None`: they do not, whatever the numbers say.
    pub tokens_from_one: Option<bool>,
    /// It is a report of Loupe's: everything is what it is called.
    pub is_report: bool,
}

/// A candidate's tensors with every way to read them.
#[derive(Clone, Debug)]
pub struct Sorted {
    path: String,
    token_ids: HostTensor,
    tokens: usize,
    /// The right masks of layers whose scores it holds.
    masks: Trace,
    /// "names: …", where they are not Loupe's own.
    whose: Option<String>,
    opens: Vec<Open>,
    fragments: BTreeMap<Probe, Fragment>,
    /// What was found out of those.
    said: Vec<String>,
    doubts: Vec<String>,
    ignored: Vec<String>,
    unknown: usize,
    misshapen: Vec<String>,
    not_comparable: Vec<String>,
}

/// Sorts a dump's tensors into probes, each in the order and as the stage that its values are.
///
/// # Errors
/// No tensor that could be judged, two of one probe, or a position outside the prompt.
pub fn sort(mut dump: Dump<'_>, replayer: &dyn Replayer) -> Result<Sorted, AlignError> {
    let (graph, tokens) = (replayer.graph(), replayer.tokens());
    let path = dump.path.to_string();
    if let Some(position) = dump.rows.positions.into_iter().flatten().copied().find(|position| *position >= tokens) {
        return Err(AlignError::Position { position, tokens });
    }
    let mut sorted = Sorting::default();
    let count = dump.names.entries.len();
    for (name, meaning) in &dump.names.entries {
        match meaning {
            Meaning::Unknown(_) => sorted.ignored.push(name.clone()),
            Meaning::Nothing(what) => sorted.ignored.push(format!("{name} ({what})")),
            Meaning::Recorded | Meaning::Values(_) | Meaning::Fused(_) | Meaning::Stacked => {}
        }
    }
    let mut of: BTreeMap<&str, &Meaning> = dump.names.entries.iter().map(|(name, m)| (name.as_str(), m)).collect();
    for (name, tensor) in std::mem::take(&mut dump.tensors) {
        match of.remove(name.as_str()) {
            Some(Meaning::Values(probes)) => sorted.add(name, tensor, probes, graph, tokens, &dump),
            Some(Meaning::Stacked) => {
                let layers = graph.config().num_hidden_layers;
                let first = tensor.shape.iter().copied().find(|length| *length != 1);
                // Without the embedding there is one for each layer.
                let from = match first {
                    Some(count) if count == layers + 1 => 0,
                    Some(count) if count == layers => 1,
                    _ => {
                        let what =
                            format!("shape {:?}, expected {} states one after the other", tensor.shape, layers + 1);
                        sorted
                            .not_comparable
                            .push(format!("{}: {what}; write one tensor each: hidden_states.0, …", echo(&name)));
                        continue;
                    }
                };
                for (at, part) in stacked(&tensor).into_iter().enumerate() {
                    if let Meaning::Values(probes) = hidden_state(at + from, layers) {
                        sorted.add(format!("{name}[{at}]"), part, &probes, graph, tokens, &dump);
                    }
                }
            }
            Some(Meaning::Fused(probes)) => match split(&tensor, probes, graph, tokens) {
                Some(parts) => {
                    for (probe, part) in probes.iter().zip(parts) {
                        sorted.add(format!("{name} ({probe})"), part, &[*probe], graph, tokens, &dump);
                    }
                }
                None => sorted.not_comparable.push(format!(
                    "{}: shape {:?}, whose last axis is not as long as those of {} together",
                    echo(&name),
                    tensor.shape,
                    probes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                )),
            },
            _ => {}
        }
    }
    let mut said: Vec<String> = dump.names.counting.remark().map(str::to_string).into_iter().collect();
    let mut by_digest = BTreeSet::new();
    for (name, digest) in dump.samples.iter().filter_map(|sample| Some((&sample.name, sample.digest.as_ref()?))) {
        let meaning = dump.names.entries.iter().find(|(own, _)| own == name).map(|(_, meaning)| meaning);
        let Some(Meaning::Values(probes)) = meaning else { continue };
        let Some(probe) = probes.first().copied() else { continue };
        if let Some(tensor) = tensor_of(digest, probe, &dump.token_ids, replayer)? {
            said.push(format!("\"{}\": its SHA-256 says all of its values", echo(name)));
            sorted.add(name.clone(), tensor, probes, graph, tokens, &dump);
            by_digest.insert(name.as_str());
        }
    }
    let Sorting { mut opens, misfits, ignored, misshapen, mut not_comparable } = sorted;
    let (samples, remark) = placed(dump.samples, dump.names, &dump.token_ids, dump.tokens_from_one, replayer)?;
    said.extend(remark);
    let others = samples.iter().filter(|sample| !by_digest.contains(sample.name.as_str()));
    let Gathered { mut fragments, unread, again, besides } = gathered(others, dump.names, graph, tokens);
    not_comparable.extend(unread);
    said.extend(again);
    for (probe, name) in misfits {
        if let Some(other) = opens.iter().find(|open| open.readings[0].probe == probe) {
            let (first, second) = (name.clone().min(other.name.clone()), name.max(other.name.clone()));
            return Err(AlignError::Twice { path, first, second, probe });
        }
    }
    if opens.is_empty() && misshapen.is_empty() && fragments.is_empty() {
        if !not_comparable.is_empty() {
            return Err(AlignError::NotComparable { path, what: not_comparable });
        }
        return Err(AlignError::Nothing { path, count, found: found(&ignored), entries: entries(dump.names) });
    }
    hold_to_names(&mut opens, graph);
    if !dump.is_report {
        choose(&mut opens, &dump.token_ids, replayer)?;
    }
    let whose = (!dump.names.are_ours()).then(|| format!("names: {}", dump.names.line()));
    let token_ids = dump.token_ids;
    if !dump.names.are_ours() {
        said.extend(meant(&mut fragments, &besides, &token_ids, replayer)?);
    }
    let doubts = doubts(&opens, graph, &token_ids.values);
    let masks = right_masks(&opens, &token_ids, replayer)?;
    let unknown = dump.names.entries.iter().filter(|(_, meaning)| matches!(meaning, Meaning::Unknown(_))).count();
    Ok(Sorted {
        masks,
        unknown,
        path,
        token_ids,
        tokens,
        whose,
        opens,
        fragments,
        said,
        doubts,
        ignored,
        misshapen,
        not_comparable,
    })
}

impl Sorted {
    /// Adds a sentence to how it was read.
    pub fn say(&mut self, what: String) {
        self.said.push(what);
    }

    /// How many rows its tensors hold, where all that hold several hold the same number, which is not that of the tokens.
    pub fn other_rows(&self) -> Option<usize> {
        let held: BTreeSet<usize> =
            self.opens.iter().map(|open| open.reading().layout.held).filter(|n| *n > 1).collect();
        // Several prompts of the same length are no other one.
        held.first().copied().filter(|rows| held.len() == 1 && !rows.is_multiple_of(self.tokens))
    }

    /// Every row of its embeddings, one after the other, those of no token too.
    pub fn embeddings(&self) -> Option<Vec<f64>> {
        let is_embedding = |open: &&Open| open.reading().probe.is_embedding();
        let open = self.opens.iter().find(is_embedding)?;
        open.reading().layout.all_rows(&open.values)
    }

    /// This dump as one of other tokens, as many.
    ///
    /// # Errors
    /// What the replayer says.
    pub fn of_tokens(mut self, token_ids: HostTensor, replayer: &dyn Replayer) -> Result<Sorted, AlignError> {
        self.opens.iter_mut().for_each(|open| open.taken = 0);
        choose(&mut self.opens, &token_ids, replayer)?;
        Ok(Sorted { token_ids, ..self })
    }

    /// This dump with the tensors of one kind of stage read as its neighbour, once for each way to do so to a kind of
    /// `suspects`: what fails in the same place as a mistake cannot be told by its own values.
    pub fn otherwise(&self, suspects: &[Probe]) -> Vec<Sorted> {
        otherwise(&self.opens, suspects).into_iter().map(|opens| Sorted { opens, ..self.clone() }).collect()
    }

    /// One tensor a probe, and one set of rows for those that have not all.
    ///
    /// # Errors
    /// Two tensors are the same probe.
    pub fn aligned(&self) -> Result<Aligned, AlignError> {
        let opens = &self.opens;
        let mut aligned = Aligned {
            trace: Trace::from([(Probe::TOKEN_IDS, self.token_ids.clone())]),
            rows: Rows::All,
            fragments: self.fragments.clone(),
            ignored: self.ignored.clone(),
            unknown: self.unknown,
            misshapen: self.misshapen.clone(),
            not_comparable: self.not_comparable.clone(),
            remarks: self.whose.iter().chain(&self.doubts).chain(&self.said).cloned().chain(remarks(opens)).collect(),
        };
        // Rows of the most tensors.
        let mut counts: BTreeMap<&[usize], usize> = BTreeMap::new();
        for open in opens.iter().filter(|open| !open.reading().is_whole(self.tokens)) {
            *counts.entry(&open.reading().layout.rows).or_default() += 1;
        }
        let rows = counts.into_iter().max_by_key(|(_, count)| *count).map(|(rows, _)| rows);
        let mut seen: BTreeMap<Probe, &str> = BTreeMap::new();
        for open in opens {
            let (reading, tensor) = (open.reading(), open.tensor());
            let probe = reading.probe;
            let own = reading.layout.rows.as_slice();
            if let Some(rows) = rows.filter(|rows| !reading.is_whole(self.tokens) && own != *rows) {
                let what = format!("rows of tokens {own:?}, where other tensors hold {rows:?}");
                aligned.not_comparable.push(format!("{}: {what}", echo(&open.name)));
                continue;
            }
            if let Some(first) = seen.get(&probe) {
                if aligned.trace.get(&probe) == Some(&tensor) {
                    aligned.ignored.push(format!("{} (the same values as {first})", open.name));
                    continue;
                }
                let (path, first) = (self.path.clone(), first.to_string());
                return Err(AlignError::Twice { path, first, second: open.name.clone(), probe });
            }
            seen.insert(probe, &open.name);
            aligned.trace.insert(probe, tensor);
        }
        aligned.remarks.extend(take_hidden(&mut aligned.trace, &self.masks, rows.unwrap_or_default(), self.tokens));
        aligned.rows = rows.map_or(Rows::All, |rows| Rows::Positions(rows.to_vec()));
        Ok(aligned)
    }
}

/// Tensors on their way.
#[derive(Default)]
struct Sorting {
    opens: Vec<Open>,
    /// Those that no layout fits, under the probe that they are called.
    misfits: Vec<(Probe, String)>,
    ignored: Vec<String>,
    misshapen: Vec<String>,
    not_comparable: Vec<String>,
}

impl Sorting {
    fn add(
        &mut self,
        name: String,
        tensor: HostTensor,
        called: &[Probe],
        graph: &Graph,
        tokens: usize,
        dump: &Dump<'_>,
    ) {
        let Some(probe) = called.first().copied().filter(|probe| *probe != Probe::TOKEN_IDS) else { return };
        let readings = readings(called, &tensor.shape, &tensor.values, graph, tokens, dump.rows);
        let readings = if dump.is_report { readings.into_iter().take(1).collect() } else { readings };
        if !readings.is_empty() {
            let exact = dump.names.is_exact(&name);
            self.opens.push(Open { name, values: Arc::new(tensor.values), readings, taken: 0, exact });
            return;
        }
        let rows = dump.rows.positions.map_or(tokens, <[usize]>::len);
        self.misfits.push((probe, name.clone()));
        match misfit(probe, &tensor.shape, graph, tokens, rows) {
            Misfit::Shape(what) => self.misshapen.push(format!("{}: {what}", echo(&name))),
            Misfit::Packed(what) => self.not_comparable.push(format!("{}: {what}", echo(&name))),
        }
    }
}

/// What was read otherwise than as documented.
fn remarks(opens: &[Open]) -> Vec<String> {
    let mut remarks = Vec::new();
    // One line for all that are read alike.
    let mut alike: BTreeMap<String, Vec<&Open>> = BTreeMap::new();
    for open in opens {
        let (called, reading) = (&open.readings[0], open.reading());
        let mut words = Vec::new();
        if !reading.layout.words.is_empty() {
            words.push(reading.layout.words.clone());
        }
        if (reading.probe, reading.form) != (called.probe, called.form) {
            words.push(in_words(called.probe, reading));
        }
        if reading.form == Form::Added {
            words.push("to be added to the scores: 0 where a key is seen".to_string());
        }
        if !words.is_empty() {
            let pattern = reading.probe.pattern();
            let words = words.join("; ").replace(&reading.probe.to_string(), &pattern);
            alike.entry(words).or_default().push(open);
        }
    }
    for (words, opens) in alike {
        let name = echo(&opens[0].name);
        remarks.push(match (opens.len(), opens[0].reading().probe.layer()) {
            (1, Some(layer)) => format!("\"{name}\": {}", words.replace("{l}", &layer.to_string())),
            (1, None) => format!("\"{name}\": {words}"),
            (count, _) => format!("\"{name}\" and {} more: {words}", count - 1),
        });
    }
    remarks
}
