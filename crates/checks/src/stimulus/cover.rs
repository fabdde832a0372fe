//! Few stimuli that show all that can be shown.
//!
//! First everything that may help at once, since parts seldom disturb each other; what the whole shows then loses every
//! part without which it still does. What it does not show is tried with each part alone. All of that first with what
//! the judged run recorded, then with every probe point for what is left.

use std::collections::{BTreeMap, BTreeSet};

use super::measure::{Bench, Found, Recording};
use super::part::Part;
use super::variant::Variant;
use crate::CheckError;

/// A stimulus worth writing.
pub struct Chosen {
    pub variant: Variant,
    /// Targets, by index, and where each shows.
    pub found: BTreeMap<usize, Found>,
}

/// What came of it.
pub struct Cover {
    pub chosen: Vec<Chosen>,
    /// Targets that the judged prompt and checkpoint show, if enough of them is recorded.
    pub here: BTreeMap<usize, Found>,
    /// For the others that nothing shows: the most that any variant moves them, in units of the noise.
    pub closest: BTreeMap<usize, f64>,
}

type Parts = BTreeSet<Part>;

/// Chooses.
pub fn cover(bench: &Bench<'_>) -> Result<Cover, CheckError> {
    let mut search = Search { bench, known: BTreeMap::new() };
    let mut open: BTreeSet<usize> = (0..bench.targets.len()).collect();
    let (mut picked, mut here): (Vec<Parts>, _) = (Vec::new(), BTreeMap::new());
    for recording in [Recording::Same, Recording::Everything] {
        // To record more of the same is less to ask than to run something else, and that less than to run more.
        let shown = search.shown(&Parts::new(), recording, &open)?;
        open.retain(|at| !shown.contains_key(at));
        here.extend(shown);
        for parts in &picked {
            let aimed = search.aiming(&open);
            if parts.intersection(&aimed).next().is_some() {
                let shown = search.shown(parts, recording, &open)?;
                open.retain(|at| !shown.contains_key(at));
            }
        }
        let wholes = search.wholes(&open);
        search.pick(&wholes, recording, &mut open, &mut picked)?;
        let alone: Vec<Parts> = search.aiming(&open).into_iter().map(|part| Parts::from([part])).collect();
        search.pick(&alone, recording, &mut open, &mut picked)?;
    }
    let mut chosen = picked
        .iter()
        .map(|parts| Ok(Chosen { variant: bench.base.with(parts)?, found: BTreeMap::new() }))
        .collect::<Result<Vec<_>, CheckError>>()?;
    let mut told: BTreeSet<usize> = here.keys().copied().collect();
    for recording in [Recording::Same, Recording::Everything] {
        let fresh: BTreeSet<usize> = (0..bench.targets.len()).filter(|at| !told.contains(at)).collect();
        for (parts, chosen) in picked.iter().zip(&mut chosen) {
            let found = search.known(parts, recording, &fresh);
            told.extend(found.keys());
            chosen.found.extend(found);
        }
    }
    let closest = open.into_iter().filter_map(|at| Some((at, search.most(at)?))).collect();
    Ok(Cover { chosen, here, closest })
}

struct Search<'a> {
    bench: &'a Bench<'a>,
    /// What was measured.
    known: BTreeMap<(Parts, Recording), Vec<Option<Found>>>,
}

impl Search<'_> {
    /// The parts that may help to tell any of `open`.
    fn aiming(&self, open: &BTreeSet<usize>) -> Parts {
        let aims = |part: &Part| open.iter().any(|at| self.bench.targets[*at].is_aim_of(*part));
        Part::ALL.into_iter().filter(aims).collect()
    }

    /// All of them at once, in each way in which they go together.
    fn wholes(&self, open: &BTreeSet<usize>) -> Vec<Parts> {
        let all = self.aiming(open);
        let dropped: Parts = all.iter().copied().filter(|part| all.iter().any(|other| part.excludes(*other))).collect();
        let whole = |kept: &Part| all.iter().copied().filter(|part| !part.excludes(*kept)).collect();
        if dropped.is_empty() { vec![all] } else { dropped.iter().map(whole).collect() }
    }

    /// Those of `open` that the checkpoint with `parts` shows.
    fn shown(
        &mut self,
        parts: &Parts,
        recording: Recording,
        open: &BTreeSet<usize>,
    ) -> Result<BTreeMap<usize, Found>, CheckError> {
        let key = (parts.clone(), recording);
        if !self.known.contains_key(&key) {
            let variant = self.bench.base.with(parts)?;
            let mut found = self.bench.measure(&variant, recording)?;
            if recording == Recording::Everything {
                for (target, found) in self.bench.targets.iter().zip(&mut found) {
                    let aimed = parts.iter().any(|part| target.is_aim_of(*part));
                    *found = found.or_else(|| self.bench.beyond_reach(target, &variant).filter(|_| aimed));
                }
            }
            self.known.insert(key.clone(), found);
        }
        Ok(self.known(parts, recording, open))
    }

    /// The same of what was measured already.
    fn known(&self, parts: &Parts, recording: Recording, open: &BTreeSet<usize>) -> BTreeMap<usize, Found> {
        let found = self.known.get(&(parts.clone(), recording)).map(Vec::as_slice).unwrap_or_default();
        let shown = found.iter().enumerate().filter_map(|(at, found)| Some((at, found.filter(|found| found.shows())?)));
        shown.filter(|(at, _)| open.contains(at)).collect()
    }

    /// Picks from `candidates` the one that shows most, then the next, until none shows anything new; each without the
    /// parts that it can do without.
    fn pick(
        &mut self,
        candidates: &[Parts],
        recording: Recording,
        open: &mut BTreeSet<usize>,
        picked: &mut Vec<Parts>,
    ) -> Result<(), CheckError> {
        loop {
            let mut best: Option<(Parts, BTreeSet<usize>)> = None;
            for parts in candidates.iter().filter(|parts| !parts.is_empty()) {
                let shown: BTreeSet<usize> = self.shown(parts, recording, open)?.into_keys().collect();
                if shown.len() > best.as_ref().map_or(0, |(_, most)| most.len()) {
                    best = Some((parts.clone(), shown));
                }
            }
            let Some((mut parts, shown)) = best else { return Ok(()) };
            // The dearest part first. Without any it would be the judged input itself.
            for part in parts.clone().into_iter().rev() {
                let fewer: Parts = parts.iter().copied().filter(|other| *other != part).collect();
                if !fewer.is_empty() && self.shown(&fewer, recording, &shown)?.len() == shown.len() {
                    parts = fewer;
                }
            }
            open.retain(|at| !shown.contains(at));
            if !picked.contains(&parts) {
                picked.push(parts);
            }
        }
    }

    /// The most that anything measured moved target `at`.
    fn most(&self, at: usize) -> Option<f64> {
        let sizes = self.known.values().filter_map(|found| Some(found.get(at)?.as_ref()?.times_noise));
        sizes.reduce(f64::max)
    }
}
