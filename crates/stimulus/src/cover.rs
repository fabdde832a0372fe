//! Few stimuli that show all that can be shown: recipes, each measured before it is believed, without the ingredients that it can do
//! without. All of that first with what the judged run recorded, then with every probe point for what is left.

use std::collections::{BTreeMap, BTreeSet};

use crate::StimulusError;
use crate::ingredient::{Ingredient, RECIPES};
use crate::measure::{Bench, Found, Recording};
use crate::variant::Variant;

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

type Ingredients = BTreeSet<Ingredient>;

/// Chooses.
pub fn cover(bench: &Bench<'_>) -> Result<Cover, StimulusError> {
    let mut search = Search { bench, known: BTreeMap::new(), open: (0..bench.targets.len()).collect() };
    let (mut picked, mut here): (Vec<(Ingredients, BTreeMap<usize, Found>)>, _) = (Vec::new(), BTreeMap::new());
    for recording in [Recording::Same, Recording::Everything] {
        // To record more of the same is less to ask than to run something else, and that less than to run more.
        here.extend(search.take(&Ingredients::new(), recording)?);
        for (ingredients, found) in &mut picked {
            if !ingredients.is_disjoint(&search.aiming()) {
                found.extend(search.take(ingredients, recording)?);
            }
        }
        for recipe in RECIPES {
            let ingredients: Ingredients =
                recipe.iter().copied().filter(|ingredient| search.aiming().contains(ingredient)).collect();
            if ingredients.is_empty() {
                continue;
            }
            let shown: BTreeSet<usize> = search.shown(&ingredients, recording)?.into_keys().collect();
            if !shown.is_empty() {
                let ingredients = search.needed(ingredients, recording, &shown)?;
                let found = search.take(&ingredients, recording)?;
                picked.push((ingredients, found));
            }
        }
    }
    let closest = search.open.iter().filter_map(|at| Some((*at, search.most(*at)?))).collect();
    let chosen = |(ingredients, found): (Ingredients, _)| Ok(Chosen { variant: bench.base.with(&ingredients)?, found });
    Ok(Cover { chosen: picked.into_iter().map(chosen).collect::<Result<_, StimulusError>>()?, here, closest })
}

struct Search<'a> {
    bench: &'a Bench<'a>,
    /// What was measured.
    known: BTreeMap<(Ingredients, Recording), Vec<Option<Found>>>,
    /// Targets that nothing shows yet.
    open: BTreeSet<usize>,
}

impl Search<'_> {
    /// The ingredients that may help to tell any that is open.
    fn aiming(&self) -> Ingredients {
        let aims = |ingredient: &Ingredient| self.open.iter().any(|at| self.bench.targets[*at].is_aim_of(*ingredient));
        RECIPES.concat().into_iter().filter(aims).collect()
    }

    /// Those that are open and that the checkpoint with `ingredients` shows.
    fn shown(
        &mut self,
        ingredients: &Ingredients,
        recording: Recording,
    ) -> Result<BTreeMap<usize, Found>, StimulusError> {
        let key = (ingredients.clone(), recording);
        if !self.known.contains_key(&key) {
            let variant = self.bench.base.with(ingredients)?;
            let mut found = self.bench.measure(&variant, recording)?;
            if recording == Recording::Everything {
                for (target, found) in self.bench.targets.iter().zip(&mut found) {
                    let aimed = ingredients.iter().any(|ingredient| target.is_aim_of(*ingredient));
                    *found = found.or_else(|| self.bench.beyond_reach(target, &variant).filter(|_| aimed));
                }
            }
            self.known.insert(key.clone(), found);
        }
        let all = self.known[&key].iter().enumerate();
        let shown = all.filter_map(|(at, found)| Some((at, found.filter(|found| found.shows())?)));
        Ok(shown.filter(|(at, _)| self.open.contains(at)).collect())
    }

    /// The same, no longer open.
    fn take(
        &mut self,
        ingredients: &Ingredients,
        recording: Recording,
    ) -> Result<BTreeMap<usize, Found>, StimulusError> {
        let shown = self.shown(ingredients, recording)?;
        self.open.retain(|at| !shown.contains_key(at));
        Ok(shown)
    }

    /// `ingredients` without those without which it shows all of `targets`, too: the dearest is tried first. Without any it would be
    /// the judged input itself.
    fn needed(
        &mut self,
        mut ingredients: Ingredients,
        recording: Recording,
        targets: &BTreeSet<usize>,
    ) -> Result<Ingredients, StimulusError> {
        for ingredient in ingredients.clone().into_iter().rev() {
            let fewer: Ingredients = ingredients.iter().copied().filter(|other| *other != ingredient).collect();
            if !fewer.is_empty() && targets.is_subset(&self.shown(&fewer, recording)?.into_keys().collect()) {
                ingredients = fewer;
            }
        }
        Ok(ingredients)
    }

    /// The most that anything measured moved target `at`, short of showing it.
    fn most(&self, at: usize) -> Option<f64> {
        let found = self.known.values().filter_map(|found| found.get(at).copied().flatten());
        let sizes = found.filter(|found| !found.shows()).map(|found| found.times_noise);
        sizes.reduce(f64::max)
    }
}
