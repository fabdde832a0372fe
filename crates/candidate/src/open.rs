//! A tensor of which it is open how it is to be read, and what the reference predicts for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use loupe_spec::{Given, HostTensor, Probe, Replay, ReplayError, Replayer, Simulation, Trace, Values};

use crate::reading::{MASKED, Reading};

/// A tensor and every way to read it, the documented one first.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its name in the candidate.
    pub name: String,
    /// Its numbers; shared by the ways to read them.
    pub values: Arc<Values>,
    /// Not empty.
    pub readings: Vec<Reading>,
    /// Which of them it is taken for.
    pub taken: usize,
    /// Its name means one thing: only what follows from it can say that it holds another.
    pub exact: bool,
}

impl Open {
    /// The reading that it is taken for.
    pub fn reading(&self) -> &Reading {
        &self.readings[self.taken]
    }

    /// Its values, as they are taken.
    pub fn tensor(&self) -> HostTensor {
        self.reading().read(&self.values)
    }
}

/// Another order of axes must leave less than this share of what the documented one leaves.
pub const SHARE_LEFT: f64 = 0.5;

/// The stages `wanted` from `trace`, in f64.
pub fn predict(
    replayer: &dyn Replayer,
    trace: &Trace,
    rows: &[usize],
    wanted: &BTreeSet<Probe>,
) -> Result<Trace, ReplayError> {
    let given = Given { trace, rows };
    replayer.replay(Replay { given, wanted, mistakes: &[], simulation: Simulation::exact() })
}

/// A tensor's numbers in one order, beside what the reference has at the same places.
pub struct Held {
    /// The tensor's.
    pub values: Vec<f64>,
    /// The reference's.
    pub predicted: Vec<f64>,
}

impl Held {
    /// `None`: the reference has no such values.
    pub fn of(open: &Open, reading: &Reading, predicted: &Trace, tokens: usize) -> Option<Held> {
        let whole = predicted.get(&reading.probe)?;
        let own = reading.layout.read(&open.values);
        let at = places(reading.probe, &own.shape, &whole.shape, &reading.layout.rows, tokens);
        let pairs =
            own.values.to_f64().into_iter().zip(at).map(|(value, at)| (value, reading.form.done(whole.values.get(at))));
        // What was masked in place, and what is no number, tells nothing of order or stage.
        let (values, predicted) = pairs.filter(|(v, p)| v.is_finite() && p.is_finite() && *v > MASKED).unzip();
        Some(Held { values, predicted })
    }

    /// 1 where both point the same way.
    pub fn cosine(&self) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let sizes = dot(&self.values, &self.values) * dot(&self.predicted, &self.predicted);
        if sizes > 0.0 { dot(&self.values, &self.predicted) / sizes.sqrt() } else { 0.0 }
    }

    pub fn distance(&self) -> f64 {
        self.values.iter().zip(&self.predicted).map(|(value, predicted)| (value - predicted).powi(2)).sum()
    }
}

/// Where the elements of a tensor of `shape`, with a row for each of `rows`, stand in the whole one.
fn places(probe: Probe, shape: &[usize], whole: &[usize], rows: &[usize], tokens: usize) -> Vec<usize> {
    let axis = probe.token_axis();
    let mut places = vec![0];
    for (at, length) in shape.iter().enumerate() {
        let wide = whole.get(at).copied().unwrap_or(*length);
        let step = |index: usize| if at == axis && rows.len() < tokens { rows[index] } else { index };
        places = places.iter().flat_map(|place| (0..*length).map(move |index| place * wide + step(index))).collect();
    }
    places
}
