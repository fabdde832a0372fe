//! From samples to fragments of probe points.

use std::collections::{BTreeMap, BTreeSet};

use loupe_judge::Fragment;
use loupe_spec::{Given, Graph, HostTensor, Probe, Replay, ReplayError, Replayer, Simulation, Trace, echo};

use crate::Sample;
use crate::meaning::Meaning;
use crate::names::Names;
use crate::reading::{neighbour, neighbour_in_words};
use crate::sample::Printed;

/// What samples hold.
pub struct Gathered {
    /// The values of each probe point.
    pub fragments: BTreeMap<Probe, Fragment>,
    /// A sentence for each name of which some could not be taken.
    pub unread: Vec<String>,
    /// A sentence, where rows were printed more than once with other values.
    pub again: Option<String>,
    /// What a program writes under the name of each besides.
    pub besides: BTreeMap<Probe, BTreeSet<Probe>>,
}

/// The samples by probe point.
pub fn gathered<'s>(
    samples: impl Iterator<Item = &'s Sample>,
    names: &Names,
    graph: &Graph,
    tokens: usize,
) -> Gathered {
    let meanings: BTreeMap<&str, &Meaning> = names.entries.iter().map(|(name, m)| (name.as_str(), m)).collect();
    let mut fragments: BTreeMap<Probe, Fragment> = BTreeMap::new();
    let mut unread: BTreeMap<&str, String> = BTreeMap::new();
    let mut besides: BTreeMap<Probe, BTreeSet<Probe>> = BTreeMap::new();
    let samples: Vec<&Sample> = samples.collect();
    // What was printed before it was computed.
    let is_zero =
        |sample: &Sample| !sample.numbers.is_empty() && sample.numbers.iter().all(|number| number.value == 0.0);
    let written: BTreeSet<(&str, i64)> =
        samples.iter().filter(|sample| !is_zero(sample)).map(|sample| (sample.name.as_str(), sample.token)).collect();
    // Rows of which another print has begun.
    let mut printed: BTreeMap<(Probe, i64), BTreeMap<usize, f64>> = BTreeMap::new();
    let mut closed: BTreeSet<(Probe, i64)> = BTreeSet::new();
    let mut repeated: BTreeMap<(Probe, i64), &str> = BTreeMap::new();
    for sample in samples {
        let Some(Meaning::Values(probes)) = meanings.get(sample.name.as_str()) else { continue };
        let Some(probe) = probes.first().copied().filter(|probe| *probe != Probe::TOKEN_IDS) else { continue };
        besides.entry(probe).or_default().extend(&probes[1..]);
        let row = (probe, sample.token);
        if is_zero(sample) && written.contains(&(&sample.name, sample.token)) {
            repeated.entry(row).or_insert(&sample.name);
            continue;
        }
        let known = printed.entry(row).or_default();
        let is_other = |(lane, number): (&usize, &Printed)| {
            known.get(lane).is_some_and(|value| *value != number.value && !(value.is_nan() && number.value.is_nan()))
        };
        if closed.contains(&row) || sample.lanes.iter().zip(&sample.numbers).any(is_other) {
            // The first print stands as it is: no row is made of two.
            repeated.entry(row).or_insert(&sample.name);
            closed.insert(row);
            continue;
        }
        known.extend(sample.lanes.iter().copied().zip(sample.numbers.iter().map(|number| number.value)));
        if let Err(error) = sample.add_to(fragments.entry(probe).or_default(), probe, graph, tokens) {
            unread.entry(&sample.name).or_insert_with(|| format!("{}: {error}", echo(&sample.name)));
        }
    }
    fragments.retain(|_, fragment| !fragment.places.is_empty() || !fragment.statistics.is_empty());
    let again = repeated.iter().next().map(|((_, token), name)| {
        let more = if repeated.len() > 1 { format!(" and {} more rows", repeated.len() - 1) } else { String::new() };
        format!("\"{}\", token {token}{more}: printed several times with other values; the first that are not all 0 are judged", echo(name))
    });
    Gathered { fragments, unread: unread.into_values().collect(), again, besides }
}

/// Values of another stage are this much nearer to that one's.
const NEARER: f64 = 0.1;

/// Moves fragments that hold the values of another stage, of the one before or after or of those that the name stands for
/// `besides`, to where they belong; a sentence for each.
///
/// # Errors
/// What the replayer says.
pub fn meant(
    fragments: &mut BTreeMap<Probe, Fragment>,
    besides: &BTreeMap<Probe, BTreeSet<Probe>>,
    token_ids: &HostTensor,
    replayer: &dyn Replayer,
) -> Result<Vec<String>, ReplayError> {
    let layers = replayer.graph().config().num_hidden_layers;
    let others =
        |probe: &Probe| neighbour(*probe, layers).into_iter().chain(besides.get(probe).into_iter().flatten().copied());
    let pairs: Vec<(Probe, Probe)> = fragments
        .keys()
        .flat_map(|probe| others(probe).map(move |other| (*probe, other)))
        .filter(|(_, other)| !fragments.contains_key(other))
        .collect();
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let start = Trace::from([(Probe::TOKEN_IDS, token_ids.clone())]);
    let wanted: BTreeSet<Probe> = pairs.iter().flat_map(|(one, other)| [*one, *other]).collect();
    let (given, simulation) = (Given::whole(&start), Simulation::exact());
    let predicted = replayer.replay(Replay { given, wanted: &wanted, mistakes: &[], simulation })?;
    let mut said = Vec::new();
    for (called, other) in pairs {
        let Some(fragment) = fragments.get(&called) else { continue };
        let distance = |probe: Probe| fragment.distance(probe, predicted.get(&probe)?);
        if let (Some(own), Some(others)) = (distance(called), distance(other))
            && others < NEARER * own
        {
            said.push(format!("\"{called}\": {}: read as {other}", neighbour_in_words(called, other)));
            if let Some(fragment) = fragments.remove(&called) {
                fragments.insert(other, fragment);
            }
        }
    }
    Ok(said)
}
