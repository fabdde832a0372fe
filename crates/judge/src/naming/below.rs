//! Below the limits: where no stage fails, all residuals together may still have a mistake in them. And which mistakes these recordings
//! cannot show, or were not tried.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Mistake, MistakeKind, Probe, ReplayError};

use crate::limits::{LARGEST_STAGE, MOST_ROUNDS, MOST_WEIGHTS, SAMPLED_WEIGHTS};
use crate::naming::comparison::{Comparison, Planting, Trial};
use crate::naming::findings::Findings;
use crate::naming::fit::Below;
use crate::naming::hypothesis::{Scope, scopes};
use crate::naming::slope::{Slope, Sums, excludes};
use crate::verdict::{Unseen, Why};

/// For each mistake by name, the recorded stages that it was not tried on.
type LeftOut = BTreeMap<String, BTreeSet<Probe>>;

/// A mistake that the slope says was made.
struct Present<'t> {
    trial: &'t Trial,
    /// The stages that show it.
    stages: BTreeSet<Probe>,
    /// Whether these are all the stages that would show it.
    all_stages: bool,
    slope: Slope,
}

impl Comparison<'_> {
    /// If `naming`: names the mistakes that are there below the limits, one after the other. Then adds which mistakes these
    /// recordings cannot show.
    pub fn below_the_limits(&mut self, naming: bool, findings: &mut Findings) -> Result<(), ReplayError> {
        let mut rounds = 1;
        let (trials, not_tried) = loop {
            let (mut trials, not_tried) = self.try_all()?;
            let mut found = None;
            if naming && rounds < MOST_ROUNDS {
                found = self.name_the_present(&mut trials, findings)?;
                if found.is_none() {
                    found = self.value_below_the_limits(&trials, findings)?;
                }
            }
            match found {
                Some(planting) => self.plant(&planting)?,
                None => break (trials, not_tried),
            }
            rounds += 1;
        };
        for mistake in self.replayer.mistakes() {
            let own: Vec<&Trial> = trials.iter().filter(|t| t.hypothesis.mistake.name() == mistake.name()).collect();
            self.unseen(mistake, &own, not_tried.get(&mistake.name()), findings);
        }
        Ok(())
    }

    /// Tries every mistake on every stage that it changes. Of a large model only the first stages are tried; the second list says
    /// what was left out. While nothing has been found, the mistake is also tried at single stages inside each segment.
    fn try_all(&self) -> Result<(Vec<Trial>, LeftOut), ReplayError> {
        let recorded: BTreeSet<Probe> = self.segments.own.keys().copied().collect();
        let (mut planned, mut not_tried) = (Vec::new(), BTreeMap::new());
        for mistake in self.replayer.mistakes() {
            // A layer's half is not tried: each of its stages is.
            let is_tried = |scope: Scope| match scope {
                Scope::Half(_) => false,
                _ => self.planted.is_empty() || !scope.is_fine(),
            };
            for hypothesis in
                scopes(mistake, self.segments, &recorded).into_iter().filter(|hypothesis| is_tried(hypothesis.scope))
            {
                let affected = self.affected(|probe| hypothesis.touches(probe));
                if affected.is_empty() {
                    continue;
                }
                let touches = |probe| hypothesis.touches(probe);
                if self.weights_read(&affected, touches) <= MOST_WEIGHTS {
                    planned.push((hypothesis, affected));
                    continue;
                }
                let sample = self.cheap_stages(&affected, touches);
                let rest: BTreeSet<Probe> = affected.difference(&sample).copied().collect();
                if !sample.is_empty() {
                    planned.push((hypothesis, sample));
                }
                if !rest.is_empty() {
                    not_tried.insert(mistake.name(), rest);
                }
                break;
            }
        }
        Ok((self.attempts("all stages with mistakes planted", planned)?, not_tried))
    }

    /// As many of `stages`, from the first on, as can be recomputed for every mistake of the catalogue in a few seconds.
    fn cheap_stages(&self, stages: &BTreeSet<Probe>, touches: impl Fn(Probe) -> bool + Copy) -> BTreeSet<Probe> {
        let mut sample = BTreeSet::new();
        for probe in stages {
            sample.insert(*probe);
            let limit = if sample.len() == 1 { LARGEST_STAGE } else { SAMPLED_WEIGHTS };
            if self.weights_read(&sample, touches) > limit {
                sample.remove(probe);
            }
        }
        sample
    }

    /// Names the first mistake, in order of the share of the residual that it removes, that a second look confirms, or a plainer one that is
    /// tied with it; returns what to plant. Those that the second look does not confirm are marked.
    fn name_the_present(&self, trials: &mut [Trial], findings: &mut Findings) -> Result<Option<Planting>, ReplayError> {
        let mut unconfirmed = BTreeSet::new();
        let mut planting = None;
        let mut present: Vec<(usize, Present<'_>)> =
            trials.iter().enumerate().filter_map(|(at, trial)| Some((at, self.present(trial)?))).collect();
        present.sort_by(|(_, a), (_, b)| b.slope.removed.total_cmp(&a.slope.removed));
        for (at, best) in &present {
            match self.confirms(best.trial, &best.stages)? {
                Some(slope) => {
                    let others = present.iter().filter(|(at, _)| !unconfirmed.contains(at)).map(|(_, other)| other);
                    planting = Some(self.name_the_plainest(best, slope, others, findings)?);
                    break;
                }
                None => unconfirmed.insert(*at),
            };
        }
        for at in unconfirmed {
            trials[at].unconfirmed = true;
        }
        Ok(planting)
    }

    /// Names `best`; or, of the `others` that the recordings do not tell from it, the one with the plainest scope, if a second look
    /// confirms that too.
    fn name_the_plainest<'p>(
        &self,
        best: &'p Present<'_>,
        slope: Slope,
        others: impl Iterator<Item = &'p Present<'p>>,
        findings: &mut Findings,
    ) -> Result<Planting, ReplayError> {
        let stages = self.by_probe();
        let tied = |other: &&Present<'_>| {
            let both: BTreeSet<Probe> = best.stages.union(&other.stages).copied().collect();
            !best.stages.is_disjoint(&other.stages)
                && !excludes(&stages, both.into_iter(), &best.trial.compared, &other.trial.compared)
        };
        let tied: Vec<&Present<'_>> = others.filter(tied).collect();
        let plainest = tied.iter().copied().min_by_key(|other| other.trial.hypothesis.scope).unwrap_or(best);
        let second = if std::ptr::eq(plainest, best) { None } else { self.confirms(plainest.trial, &plainest.stages)? };
        let (found, slope) = second.map_or((best, slope), |own| (plainest, own));
        let hypothesis = found.trial.hypothesis;
        let others = tied.iter().map(|other| other.trial.hypothesis.mistake.id);
        let alternatives: BTreeSet<&str> = others.filter(|id| *id != hypothesis.mistake.id).collect();
        let planting = self.planting(hypothesis, &found.stages, found.all_stages);
        let alternatives = alternatives.into_iter().map(str::to_string).collect();
        let first = found.stages.first().copied();
        let sites = self.changed(found.trial, &planting.sites);
        findings.name(hypothesis.mistake, first, &sites, alternatives, slope.evidence());
        Ok(planting)
    }

    /// Looks for a parameter with a wrong value below the limits, adds it, and returns what to plant. Where a mistake of the
    /// catalogue is this very value, that mistake is named.
    fn value_below_the_limits(
        &self,
        trials: &[Trial],
        findings: &mut Findings,
    ) -> Result<Option<Planting>, ReplayError> {
        let Some(Below { fitted, predicted, stages }) = self.fit_below()? else { return Ok(None) };
        let by_probe = self.by_probe();
        let has_it = |trial: &&Trial| {
            trial.sums.keys().eq(&stages) && !excludes(&by_probe, stages.iter().copied(), &predicted, &trial.compared)
        };
        let present = |trial| {
            let slope = Trial::slope(trial, stages.iter().copied());
            Present { trial, stages: stages.clone(), all_stages: true, slope }
        };
        let present: Vec<Present<'_>> = trials.iter().filter(has_it).map(present).collect();
        for best in &present {
            if let Some(slope) = self.confirms(best.trial, &stages)? {
                return self.name_the_plainest(best, slope, present.iter(), findings).map(Some);
            }
        }
        findings.fitted.push(fitted.report());
        Ok(Some(fitted.planting()))
    }

    /// Where the mistake of `trial` was made, if it was: at the stages whose slope is nearer to 1 than to 0, if together they show it.
    /// (Picking them raises the slope; that right code is seven errors away leaves room for it.) If together they do not and it is a
    /// misplaced cast: at those stages whose own slope says that it is there. Other mistakes have no such second chance, since among so
    /// many stages one as small as a wrong epsilon would show by chance.
    fn present<'t>(&self, trial: &'t Trial) -> Option<Present<'t>> {
        let slope = |probes: &BTreeSet<Probe>| trial.slope(probes.iter().copied());
        let shows = |probe: &Probe| slope(&BTreeSet::from([*probe])).present();
        let stages = trial.likelier();
        let alone: BTreeSet<Probe> = trial.sums.keys().copied().filter(shows).collect();
        let policy = trial.hypothesis.mistake.kind == MistakeKind::DtypePolicy;
        let stages = if policy && !slope(&stages).present() { alone } else { stages };
        let slope = slope(&stages);
        // Of a large model it was tried on some stages only.
        let affected = self.affected(|probe| trial.hypothesis.touches(probe)).len();
        let all_stages = stages.len() == trial.sums.len() && affected == trial.sums.len();
        trial.shows(slope).then_some(Present { trial, stages, all_stages, slope })
    }

    /// Adds where `mistake` could not be seen in its `trials`, and where it was `not_tried`.
    fn unseen(
        &self,
        mistake: &Mistake,
        trials: &[&Trial],
        not_tried: Option<&BTreeSet<Probe>>,
        findings: &mut Findings,
    ) {
        let mut add = |why, sites| {
            let hidden_when = mistake.hidden_when.to_string();
            findings.unseen.push(Unseen {
                id: mistake.id.to_string(),
                why,
                hidden_when,
                sites,
                told_by: None,
                no_stimulus: None,
            });
        };
        let Some(everywhere) = trials.iter().find(|trial| trial.hypothesis.scope == Scope::Everywhere) else {
            return add(if not_tried.is_some() { Why::NotTried } else { Why::NotRecorded }, None);
        };
        let slope = everywhere.whole_slope();
        if !everywhere.decides(slope) {
            // The stages that were left out might show it.
            let why = match not_tried {
                Some(_) => Why::NotTried,
                None if slope.information == 0.0 => Why::IdenticalHere,
                None => Why::BelowTheNoise,
            };
            return add(why, None);
        }
        let hidden = self.hidden_sites(trials);
        if !hidden.is_empty() {
            add(Why::BelowTheNoise, Some(hidden));
        }
        if let Some(left_out) = not_tried {
            add(Why::NotTried, Some(by_layer(left_out)));
        }
    }

    /// Where a mistake that these recordings can show elsewhere cannot be seen: whole layers, and single probes.
    fn hidden_sites(&self, trials: &[&Trial]) -> Vec<String> {
        let by_layer = trials.iter().any(|trial| matches!(trial.hypothesis.scope, Scope::Layer(_)));
        let (mut layers, mut probes) = (BTreeSet::new(), BTreeSet::new());
        for trial in trials {
            match trial.hypothesis.scope {
                Scope::Layer(layer) if !trial.decides(trial.whole_slope()) => {
                    layers.insert(layer);
                }
                Scope::Everywhere => {
                    if !by_layer {
                        let blunt = trial
                            .layers()
                            .into_iter()
                            .filter(|(_, on)| !trial.decides(trial.slope(on.iter().copied())));
                        layers.extend(blunt.filter_map(|(layer, _)| layer));
                    }
                    // Where some tokens were not recorded, layers are tried one by one even if no segment hides a stage.
                    if !by_layer || self.segments.in_part {
                        let blunt = self.blunt_sites(trial).into_iter().filter(|(_, alone)| *alone);
                        probes.extend(blunt.map(|(site, _)| site));
                    }
                }
                Scope::Half(_) | Scope::Stage(_) | Scope::Site(_) => {
                    probes.extend(self.blunt_sites(trial).into_iter().map(|(site, _)| site))
                }
                Scope::Layer(_) => {}
            }
        }
        let others =
            probes.into_iter().filter(|probe: &Probe| probe.layer().is_none_or(|layer| !layers.contains(&layer)));
        layers.iter().map(ToString::to_string).chain(others.map(|probe| probe.to_string())).collect()
    }

    /// The probes at which `trial` plants its mistake and the recorded stage does not decide; and whether the segment has no other
    /// such probe.
    fn blunt_sites(&self, trial: &Trial) -> Vec<(Probe, bool)> {
        let mut blunt = Vec::new();
        for (recorded, sums) in &trial.sums {
            let touched = self.touched_own(&BTreeSet::from([*recorded]), |probe| trial.hypothesis.touches(probe));
            if !trial.decides(Slope::of(std::iter::once::<&Sums>(sums))) {
                let alone = touched.len() == 1;
                blunt.extend(touched.into_iter().map(|probe| (probe, alone)));
            }
        }
        blunt
    }
}

/// `probes` as they are written after `id@`: a layer's number for all of its stages.
fn by_layer(probes: &BTreeSet<Probe>) -> Vec<String> {
    let layers: BTreeSet<usize> = probes.iter().filter_map(|probe| probe.layer()).collect();
    let others = probes.iter().filter(|probe| probe.layer().is_none());
    layers.iter().map(ToString::to_string).chain(others.map(ToString::to_string)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use loupe_spec::{
        Code, Config, Dtype, Formula, Given, Graph, HostTensor, Kind, Replay, ReplayError, Replayer, Simulation, Trace,
        Values, What,
    };

    use crate::{Aligned, Candidate, Detail, Judgement, judge};

    use super::*;

    /// A model of 2B's shape that computes 1 everywhere; 1.5 in layer outputs with [`IN_THE_LAYERS`] planted.
    struct Large(Graph);

    const IN_THE_LAYERS: Mistake = mistake("in_the_layers", |probe| probe.kind() == Kind::Gelu);
    const IN_THE_HEAD: Mistake = mistake("in_the_head", |probe| probe.path() == "logits.raw");

    const fn mistake(id: &'static str, at: fn(Probe) -> bool) -> Mistake {
        let (kind, right) = (MistakeKind::Architectural, Code { file: "", source: "", text: "" });
        let formula = Formula { right: "", wrong: "" };
        Mistake { id, variant: None, kind, what: "", seen_in: "", formula, right, hidden_when: "", at, changes: &[] }
    }

    impl Replayer for Large {
        fn graph(&self) -> &Graph {
            &self.0
        }

        fn tokens(&self) -> usize {
            1
        }

        fn replay(&self, replay: Replay<'_>) -> Result<Trace, ReplayError> {
            let planted = replay.mistakes.iter().any(|edit| edit.what == What::Mistake(&IN_THE_LAYERS));
            let of = |probe: &Probe| {
                let value = if planted && probe.layer().is_some() { 1.5 } else { 1.0 };
                (*probe, HostTensor { shape: vec![1, 100], values: Values::F64(vec![value; 100]) })
            };
            Ok(replay.wanted.iter().map(of).collect())
        }

        fn weights_dtype(&self) -> Dtype {
            Dtype::Bf16
        }

        fn mistakes(&self) -> Vec<&'static Mistake> {
            vec![&IN_THE_LAYERS, &IN_THE_HEAD]
        }
    }

    #[test]
    fn of_a_large_model_the_first_layers_are_tried_and_the_others_said_not_to_be() {
        let config = r#"{"model_type":"gemma2","vocab_size":256000,"hidden_size":2304,"intermediate_size":9216,
            "num_hidden_layers":26,"num_attention_heads":8,"num_key_value_heads":4,"head_dim":256}"#;
        let model = Large(Graph::of(&Config::from_json(config).unwrap()));
        let mut recorded: BTreeSet<Probe> = (0..26).filter_map(|layer| Probe::of(Some(layer), "output")).collect();
        recorded.extend(["norm", "logits"].map(crate::probe));
        let (given, simulation) = (Trace::new(), Simulation::exact());
        let right = Replay { given: Given::whole(&given), wanted: &recorded, mistakes: &[], simulation };
        let mut trace = model.replay(right).unwrap();
        trace.insert(Probe::TOKEN_IDS, HostTensor { shape: vec![1], values: Values::I64(vec![2]) });
        let candidate = Candidate {
            path: String::new(),
            backend: None,
            check: None,
            declared: Some(Dtype::F32),
            arithmetic: None,
            strict: true,
            aligned: Aligned { trace, ..Aligned::default() },
        };
        let verdict = judge(&candidate, &model, Detail::Numbers).unwrap().verdict;
        assert_eq!(verdict.verdict, Judgement::Exact);
        let said: Vec<_> =
            verdict.unseen.iter().map(|unseen| (unseen.id.as_str(), unseen.why, &unseen.sites)).collect();
        let later: Vec<String> = (2..26).map(|layer: usize| layer.to_string()).collect();
        assert_eq!(said, [("in_the_head", Why::IdenticalHere, &None), ("in_the_layers", Why::NotTried, &Some(later))]);
    }
}
