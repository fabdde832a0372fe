//! The name of each mistake forgotten in turn, while that mistake is planted: what is left to say is where it is, or by
//! which parameter; never another's name.

use std::path::{Path, PathBuf};

use loupe_judge::FittedParameter;
use loupe_spec::{Config, Dtype};
use miette::{Result, bail};
use serde_json::{Map, Value, json};

use super::bench::Bench;
use super::cases::{Case, Kind, id_of};
use super::planted::{TOKENS, candidates};
use super::random::Random;
use super::recording::Extent;
use super::referee::Referee;
use super::runner::{Run, pool};
use super::said::Said;
use super::sites::{Place, Planting};
use super::truth::{Alike, Moved, VISIBLE};

/// A fitted parameter is right within this, relative to its right value.
const FITTED: f64 = 0.01;
/// What is recorded; layer outputs are between the two.
const EXTENTS: [Extent; 2] = [Extent::Full, Extent::Logits];

/// What a judge that does not know the name said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// Unnamed, at the right stage.
    Unnamed,
    /// The parameter, to a hundredth.
    Fitted,
    /// Another's name whose run is the same in every bit.
    Same,
    /// Nothing, and f64 with and without it differ by less than the noise.
    Hidden,
    /// A cast elsewhere, called rounding.
    Rounding,
    WrongStage,
    WrongValue,
    Missed,
    WrongName,
}

impl Left {
    pub const ALL: [Left; 9] = [
        Left::Unnamed,
        Left::Fitted,
        Left::Same,
        Left::Hidden,
        Left::Rounding,
        Left::WrongStage,
        Left::WrongValue,
        Left::Missed,
        Left::WrongName,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Left::Unnamed => "unnamed, right stage",
            Left::Fitted => "fitted",
            Left::Same => "same run",
            Left::Hidden => "hidden",
            Left::Rounding => "rounding",
            Left::WrongStage => "wrong stage",
            Left::WrongValue => "wrong parameter",
            Left::Missed => "missed",
            Left::WrongName => "wrong name",
        }
    }

    pub fn right(self) -> bool {
        self <= Left::Rounding
    }
}

/// One verdict.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub model: String,
    pub planted: String,
    pub extent: Extent,
    pub left: Left,
    pub said: String,
}

impl Outcome {
    pub fn line(&self) -> String {
        let Outcome { model, planted, extent, left, said } = self;
        format!("left out, {}: {planted} in {model}, {}: {said}", left.name(), extent.name())
    }

    pub fn json(&self) -> Value {
        json!({
            "model": self.model, "planted": self.planted, "recording": self.extent.name(),
            "outcome": self.left.name(), "said": self.said,
        })
    }
}

/// Every mistake on every checkpoint, everywhere, in f32 on flex.
pub fn run(bench: &Bench) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for model in &bench.settings.checkpoints {
        let folder = bench.folder(&["left-out", model])?;
        let tokens = Random::of(&format!("left out {model}")).prompt(TOKENS, bench.config(model)?.vocab_size);
        let run = Run { model: model.clone(), backend: "flex".to_string(), dtype: Dtype::F32, token_ids: tokens };
        let referee = Referee::new(bench, run, &folder)?;
        let extents: Vec<Extent> =
            EXTENTS.into_iter().filter(|extent| bench.settings.recordings.contains(extent)).collect();
        let jobs: Vec<(usize, &'static Case)> = bench.settings.mistakes.iter().copied().enumerate().collect();
        let judged = pool(&jobs, |(at, case)| one(bench, &referee, case, &folder.join(at.to_string()), &extents));
        for outcome in judged {
            outcomes.extend(outcome?);
        }
        bench.clear(&folder);
    }
    Ok(outcomes)
}

fn one(
    bench: &Bench,
    referee: &Referee,
    case: &'static Case,
    prefix: &Path,
    extents: &[Extent],
) -> Result<Vec<Outcome>> {
    let planted = [case.name.to_string()];
    let recording = referee.mistaken(&planted, prefix)?;
    let moved = referee.moved(&recording);
    let made = candidates(&recording, prefix, extents)?;
    let paths: Vec<PathBuf> = made.iter().map(|(_, path)| path.clone()).collect();
    let keys = Map::from_iter([("policy".to_string(), json!({"without": [id_of(&case.name)]}))]);
    let mut outcomes = Vec::new();
    for ((extent, _), answer) in made.into_iter().zip(bench.runner.judge(&paths, &keys, prefix)) {
        let said = Said::of_answer(answer);
        if said.has(case.id()) {
            bail!("the judge names {} though \"policy\" says without it", case.id());
        }
        let left = left(referee, case, &moved, extent, &said)?;
        let planted = case.name.to_string();
        outcomes.push(Outcome { model: referee.run.model.clone(), planted, extent, left, said: said.line() });
    }
    Ok(outcomes)
}

fn left(referee: &Referee, case: &'static Case, moved: &Moved, extent: Extent, said: &Said) -> Result<Left> {
    let planted = [Planting { case, place: Place::Everywhere }.to_string()];
    let alike = match said.named.is_empty() {
        true => None,
        false => Some(referee.alike(&planted, &said.as_planted(), extent)?),
    };
    let fine = matches!(said.code, 0 | 4) && said.named.is_empty() && said.fitted.is_empty();
    let hidden = fine && case.kind != Kind::Policy && referee.visibility(&planted, &[], extent)? <= VISIBLE;
    let stage = said.first.clone().or(said.fitted.first().map(|fitted| fitted.probe.to_string()));
    let right_stage = stage.is_some_and(|said| moved.first(extent).iter().any(|probe| probe.to_string() == said));
    Ok(of(said, case, &referee.config, alike, (hidden, right_stage)))
}

fn of(said: &Said, case: &Case, config: &Config, alike: Option<Alike>, (hidden, right_stage): (bool, bool)) -> Left {
    let fits = |fitted: &FittedParameter| case.parameter(config).is_some_and(|parameter| is(fitted, parameter));
    match alike {
        Some(Alike::Same) => Left::Same,
        Some(Alike::WithinNoise | Alike::Apart) => Left::WrongName,
        None if !said.fitted.is_empty() && said.fitted.iter().all(fits) => Left::Fitted,
        None if !said.fitted.is_empty() => Left::WrongValue,
        None if hidden => Left::Hidden,
        None if said.code == 0 && case.kind == Kind::Policy => Left::Rounding,
        None if matches!(said.code, 0 | 2 | 4) => Left::Missed,
        None if right_stage => Left::Unnamed,
        None => Left::WrongStage,
    }
}

fn is(fitted: &FittedParameter, (parameter, value): (&str, Option<f64>)) -> bool {
    let close = match (fitted.value, value) {
        (None, None) => true,
        // No epsilon: what is left of it is small beside any that a config has.
        (Some(found), Some(0.0)) => found.abs() <= FITTED * 1e-6,
        (Some(found), Some(value)) => (found / value - 1.0).abs() <= FITTED,
        _ => false,
    };
    fitted.parameter == parameter && close
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::verdict::cases::find;
    use crate::verdict::said::{self, tests::said};
    use crate::verdict::sites::tests::config;

    fn fitted(parameter: &'static str, value: Option<f64>) -> Said {
        Said { code: 1, fitted: vec![said::tests::fitted(parameter, value)], ..Said::default() }
    }

    #[test]
    fn a_parameter_is_right_to_a_hundredth() {
        let of = |name: &str, said: &Said| super::of(said, find(name).unwrap(), &config(), None, (false, true));
        let scale = 6f64.powf(-0.5);
        assert_eq!(of("scale_head_dim", &fitted("attn_scale", Some(scale * 1.009))), Left::Fitted);
        assert_eq!(of("scale_head_dim", &fitted("attn_scale", Some(scale * 1.011))), Left::WrongValue);
        assert_eq!(of("scale_head_dim", &fitted("embed_scale", Some(scale))), Left::WrongValue);
        assert_eq!(of("silu", &fitted("attn_scale", Some(scale))), Left::WrongValue);
        assert_eq!(of("attn_softcap_missing", &fitted("attn_softcap", None)), Left::Fitted);
        assert_eq!(of("softcap_constant", &fitted("attn_softcap", None)), Left::WrongValue);
        assert_eq!(of("softcap_constant", &fitted("attn_softcap", Some(30.0))), Left::Fitted);
        assert_eq!(of("norm_eps--none", &fitted("rms_norm_eps", Some(1e-9))), Left::Fitted);
        assert_eq!(of("norm_eps", &fitted("rms_norm_eps", Some(1e-9))), Left::WrongValue);
    }

    #[test]
    fn anothers_name_is_wrong_unless_its_run_is_the_same() {
        let (silu, case) = (said(&[("silu", &[])], &[]), find("gelu_erf").unwrap());
        let of = |alike: Alike| super::of(&silu, case, &config(), Some(alike), (false, true));
        assert_eq!(of(Alike::Same), Left::Same);
        assert_eq!(of(Alike::WithinNoise), Left::WrongName);
        assert_eq!(of(Alike::Apart), Left::WrongName);
    }

    #[test]
    fn unnamed_needs_the_stage_and_silence_needs_a_reason() {
        let of = |code: u8, name: &str, truth: (bool, bool)| {
            super::of(&Said { code, ..Said::default() }, find(name).unwrap(), &config(), None, truth)
        };
        assert_eq!(of(1, "silu", (false, true)), Left::Unnamed);
        assert_eq!(of(1, "silu", (false, false)), Left::WrongStage);
        assert_eq!(of(0, "silu", (true, false)), Left::Hidden);
        assert_eq!(of(0, "silu", (false, false)), Left::Missed);
        assert_eq!(of(0, "norm_cast_first", (false, false)), Left::Rounding);
        assert!(Left::Rounding.right() && !Left::WrongStage.right());
    }
}
