//! Which of several readings a tensor has: the one that fits what the reference computes.
//!
//! Three questions, each by the values:
//!
//! - **Which tokens**: those whose rows are most like the tensor's.
//! - **Which order of axes**: the one in which values and prediction point the same way. Values in a wrong order are as good
//!   as unrelated to the prediction, whatever else the engine does wrong.
//! - **Which of two stages**: with d = what one reading predicts minus what the other does, the slope of the residual on d is
//!   0 if the tensor is what it is called and 1 if it is the other stage. Rounding, which knows nothing of d, leaves it at
//!   that even where it is larger than d; a mistake brings it to neither, and then the name is believed.
//!
//! A prediction starts from the nearest tensors that are already read, so that a mistake early in a run does not blur what comes
//! after it.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Graph, HostTensor, Probe, ReplayError, Replayer, Trace};

use crate::open::{Held, Open, SHARE_LEFT, predict};
use crate::reading::Reading;
use crate::rows::settle_rows;

/// A slope this near to 0 or 1 is that of a stage, and not of a mistake.
const NEAR: f64 = 0.1;
/// A prediction that points this little the way of the values says nothing of their order.
const UNLIKE: f64 = 0.5;
/// Values that leave less than this in the documented order are in it.
const SURE: f64 = 0.02;
/// How often predictions are made anew from what was read.
const ROUNDS: usize = 3;

/// Leaves a tensor whose name is exact to that name where nothing is recorded that follows from it: a cap that is missing and
/// values that were written before it are the same there, and a name of Loupe's says which it is. So does a dump that has
/// logits before the cap under one name and logits under another.
pub fn hold_to_names(opens: &mut [Open], graph: &Graph) {
    let recorded: BTreeSet<Probe> = opens.iter().map(|open| open.readings[0].probe).collect();
    let followed: BTreeSet<Probe> = recorded.iter().flat_map(|probe| starts(graph, *probe, &recorded)).collect();
    let has_both = recorded.iter().filter(|probe| probe.is_logits()).count() > 1;
    for open in opens.iter_mut() {
        let called = open.readings[0].probe;
        if !(has_both && called.is_logits()) && (!open.exact || followed.contains(&called)) {
            continue;
        }
        let named = (open.readings[0].probe, open.readings[0].form);
        open.readings.retain(|reading| (reading.probe, reading.form) == named);
    }
}

/// Takes a reading for each of `opens`; where the values tell none apart, the documented one stays.
///
/// # Errors
/// What the replayer says.
pub fn choose(opens: &mut [Open], token_ids: &HostTensor, replayer: &dyn Replayer) -> Result<(), ReplayError> {
    if opens.iter().all(|open| open.readings.len() == 1) {
        return Ok(());
    }
    let start = Trace::from([(Probe::TOKEN_IDS, token_ids.clone())]);
    settle_rows(opens, &start, replayer)?;
    let mut pending: BTreeSet<usize> = (0..opens.len()).filter(|at| opens[*at].readings.len() > 1).collect();
    for _ in 0..ROUNDS {
        if pending.is_empty() {
            break;
        }
        let read = (0..opens.len()).filter(|at| !pending.contains(at)).map(|at| &opens[at]);
        let (given, rows) = given(read, &start, replayer.tokens());
        let wanted = pending.iter().flat_map(|at| opens[*at].readings.iter().map(|reading| reading.probe)).collect();
        let predicted = predict(replayer, &given, &rows, &wanted)?;
        let documented: BTreeMap<Probe, usize> =
            opens.iter().enumerate().map(|(at, open)| (open.readings[0].probe, at)).collect();
        let mut settled = Vec::new();
        for at in &pending {
            // What another tensor is called this one is not, unless both are the same values.
            let same = |other: &usize| other == at || opens[*other].values == opens[*at].values;
            let free = |reading: &Reading| documented.get(&reading.probe).is_none_or(same);
            if let Some(taken) = take(&opens[*at], &predicted, replayer.tokens(), free) {
                settled.push((*at, taken));
            }
        }
        if settled.is_empty() {
            break;
        }
        for (at, taken) in settled {
            opens[at].taken = taken;
            pending.remove(&at);
        }
    }
    believe_the_name(opens, &start, replayer)
}

/// What was read as inputs of a replay, and which tokens those of some rows have.
fn given<'a>(read: impl Iterator<Item = &'a Open>, start: &Trace, tokens: usize) -> (Trace, Vec<usize>) {
    let (mut trace, mut rows) = (start.clone(), Vec::new());
    for open in read {
        let reading = open.reading();
        if !reading.is_whole(tokens) {
            rows.clone_from(&reading.layout.rows);
        }
        trace.insert(reading.probe, open.tensor());
    }
    (trace, rows)
}

/// The reading of `open` that `predicted` speaks for; `None` where it speaks for none. What another tensor is called this one
/// may not be, unless it is `free`.
fn take(open: &Open, predicted: &Trace, tokens: usize, free: impl Fn(&Reading) -> bool) -> Option<usize> {
    let held = |at: usize| Held::of(open, &open.readings[at], predicted, tokens);
    let stage = |at: usize| (open.readings[at].probe, open.readings[at].form);
    // The first of each stage is in the documented order.
    let firsts = (0..open.readings.len()).filter(|at| (0..*at).all(|before| stage(before) != stage(*at)));
    let mut in_order = Vec::new();
    for first in firsts.filter(|at| *at == 0 || free(&open.readings[*at])) {
        let documented = held(first)?;
        let left = 1.0 - documented.cosine();
        let mut best = (first, documented);
        let others = (first + 1..open.readings.len()).filter(|at| stage(*at) == stage(first) && left > SURE);
        for at in others {
            let other = held(at)?;
            let nearest = 1.0 - best.1.cosine();
            if 1.0 - other.cosine() < nearest.min(SHARE_LEFT * left) {
                best = (at, other);
            }
        }
        in_order.push(best);
    }
    let mut in_order = in_order.into_iter();
    let (first, own) = in_order.next()?;
    let mut taken: Option<(f64, usize)> = None;
    let mut clear = own.cosine() > UNLIKE;
    for (at, other) in in_order {
        let fits = if open.readings[at].layout.is_in_order_of(&open.readings[first].layout) {
            let slope = slope(&own, &other);
            clear &= slope.is_none_or(|slope| slope.abs() <= NEAR);
            slope.is_some_and(|slope| (slope - 1.0).abs() <= NEAR)
        } else {
            other.cosine() > UNLIKE && 1.0 - other.cosine() < SHARE_LEFT * (1.0 - own.cosine())
        };
        if fits && taken.is_none_or(|(least, _)| other.distance() < least) {
            taken = Some((other.distance(), at));
        }
    }
    taken.map(|(_, at)| at).or(clear.then_some(first))
}

/// How far the values lie on the way from what `own` predicts (0) to what `other` does (1). `None`: rounding alone could bring
/// them anywhere.
fn slope(own: &Held, other: &Held) -> Option<f64> {
    let (mut along, mut length) = (0.0, 0.0);
    for ((value, own), other) in own.values.iter().zip(&own.predicted).zip(&other.predicted) {
        along += (value - own) * (other - own);
        length += (other - own).powi(2);
    }
    if length == 0.0 {
        return None;
    }
    let slope = along / length;
    let left = (own.distance() - slope * along).max(0.0);
    let deviation = (left / own.values.len().max(1) as f64 / length).sqrt();
    (deviation <= NEAR / 2.0).then_some(slope)
}

/// Where a tensor was taken for another stage than it is called, the stages computed from it must agree: a mistake of the
/// engine gives a stage the values of another, and what follows goes on from those.
fn believe_the_name(opens: &mut [Open], start: &Trace, replayer: &dyn Replayer) -> Result<(), ReplayError> {
    let tokens = replayer.tokens();
    let renamed: Vec<usize> = (0..opens.len())
        .filter(|at| {
            let (called, taken) = (&opens[*at].readings[0], opens[*at].reading());
            (called.probe, called.form) != (taken.probe, taken.form)
        })
        .collect();
    if renamed.is_empty() {
        return Ok(());
    }
    let graph = replayer.graph();
    let misfit = |opens: &[Open]| -> Result<BTreeMap<Probe, (f64, BTreeSet<Probe>)>, ReplayError> {
        let (trace, rows) = given(opens.iter(), start, tokens);
        let recorded: BTreeSet<Probe> = trace.keys().copied().filter(|probe| *probe != Probe::TOKEN_IDS).collect();
        let predicted = predict(replayer, &trace, &rows, &recorded)?;
        let mut misfits = BTreeMap::new();
        for open in opens {
            let reading = open.reading();
            let Some(held) = Held::of(open, reading, &predicted, tokens) else { continue };
            let size: f64 = held.predicted.iter().map(|value| value * value).sum();
            misfits.insert(
                reading.probe,
                (held.distance() / size.max(f64::MIN_POSITIVE), starts(graph, reading.probe, &recorded)),
            );
        }
        Ok(misfits)
    };
    let as_taken = misfit(opens)?;
    let taken: Vec<usize> = renamed.iter().map(|at| opens[*at].taken).collect();
    renamed.iter().for_each(|at| opens[*at].taken = first_in_order(&opens[*at]));
    let as_called = misfit(opens)?;
    for (at, taken) in renamed.into_iter().zip(taken) {
        let called = opens[at].reading().probe;
        let other = opens[at].readings[taken].probe;
        let of = |misfits: &BTreeMap<Probe, (f64, BTreeSet<Probe>)>, probe: Probe| -> f64 {
            misfits.values().filter(|(_, starts)| starts.contains(&probe)).map(|(misfit, _)| *misfit).sum()
        };
        // Of the squares: what follows is off by no more than twice as much. f32 leaves 1e-14 of them.
        if of(&as_taken, other) <= 4.0 * of(&as_called, called) + 1e-12 {
            opens[at].taken = taken;
        }
    }
    Ok(())
}

/// For each kind of stage in `unexplained`: `opens` with every tensor of that kind read as its neighbour instead.
pub fn otherwise(opens: &[Open], unexplained: &[Probe]) -> Vec<Vec<Open>> {
    let kinds: BTreeSet<String> = unexplained.iter().map(|probe| probe.pattern()).collect();
    let taken: BTreeSet<Probe> = opens.iter().map(|open| open.reading().probe).collect();
    let mut ways = Vec::new();
    for kind in kinds {
        let is_of_it = |open: &Open| open.reading().probe.pattern() == kind;
        let stages: BTreeSet<String> = opens
            .iter()
            .filter(|open| is_of_it(open))
            .flat_map(|open| open.readings.iter().map(|reading| reading.probe))
            .filter(|probe| !taken.contains(probe))
            .map(Probe::pattern)
            .collect();
        for stage in stages {
            let mut way = opens.to_vec();
            for open in way.iter_mut().filter(|open| is_of_it(open)) {
                let order = &open.readings[open.taken].layout;
                let other = open.readings.iter().position(|reading| {
                    // In some layers it may be recorded under its own name.
                    let is_free = !taken.contains(&reading.probe);
                    is_free && reading.probe.pattern() == stage && reading.layout.is_in_order_of(order)
                });
                open.taken = other.unwrap_or(open.taken);
            }
            ways.push(way);
        }
    }
    ways
}

/// The reading as what it is called, in the order in which it was taken.
fn first_in_order(open: &Open) -> usize {
    let taken = &open.reading().layout;
    let called = &open.readings[0];
    let same = |reading: &Reading| {
        (reading.probe, reading.form) == (called.probe, called.form) && reading.layout.is_in_order_of(taken)
    };
    open.readings.iter().position(same).unwrap_or(0)
}

/// The recorded probes from which `probe` is computed.
fn starts(graph: &Graph, probe: Probe, recorded: &BTreeSet<Probe>) -> BTreeSet<Probe> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open = graph.inputs(probe).to_vec();
    while let Some(input) = open.pop() {
        if recorded.contains(&input) {
            found.insert(input);
        } else if seen.insert(input) {
            open.extend(graph.inputs(input));
        }
    }
    found
}
