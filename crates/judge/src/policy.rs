//! What others' tolerances say of the numbers that were judged. Nothing of it decides a verdict: it stands beside one.

use loupe_spec::{Dtype, Figure, Policy, Probe, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::Metrics;
use crate::number::{number, some_number};
use crate::verdict::{Class, Judgement, StageVerdict, Verdict};

/// What one tolerance says of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tolerated {
    /// `torch`, `polygraphy`, `llama-nmse`, `doppler`, or `own`.
    pub policy: String,
    /// What it asks for.
    pub rule: String,
    /// Of each stage against the reference's own run from the token ids, which is what such tools compare; where there is such
    /// a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_token_ids: Option<Tally>,
    /// Of each stage against the reference's from the candidate's own inputs.
    pub own_inputs: Tally,
    /// The stages that it asks something of.
    pub stages: Vec<Share>,
}

/// How many stages a tolerance fails, and which of them as the verdict does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// How many stages it asks something of.
    pub of: usize,
    /// How many it fails.
    pub failing: usize,
    /// The first of them, in computing order.
    pub first: Option<String>,
    /// How many it fails that the verdict calls right.
    pub right_but_fail: usize,
    /// How many it passes that the verdict calls wrong.
    pub wrong_but_pass: usize,
}

/// How many times what is allowed a stage's difference is: above 1 it fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// Its name.
    pub probe: String,
    /// From the candidate's own inputs; `null`: beyond any tolerance.
    #[serde(deserialize_with = "number")]
    pub own_inputs: f64,
    /// From the token ids on; `null`: beyond any tolerance.
    #[serde(default, deserialize_with = "some_number", skip_serializing_if = "Option::is_none")]
    pub from_token_ids: Option<f64>,
}

impl Share {
    /// From the candidate's own inputs.
    pub(crate) fn own(&self) -> f64 {
        beyond(self.own_inputs)
    }

    /// From the token ids on.
    pub(crate) fn whole(&self) -> Option<f64> {
        self.from_token_ids.map(beyond)
    }
}

/// In JSON an infinite share is null, which is read as no number.
fn beyond(share: f64) -> f64 {
    if share.is_nan() { f64::INFINITY } else { share }
}

impl Verdict {
    /// Says of the same numbers what `policies` say, in the place of what others said before.
    pub fn tolerate(&mut self, policies: &[Policy]) {
        self.tolerated = policies.iter().map(|policy| self.held_against(policy)).collect();
    }

    fn held_against(&self, policy: &Policy) -> Tolerated {
        let dtype = self.candidate.dtype;
        let mut stages: Vec<Share> = Vec::new();
        let (mut own, mut whole) = (Tally::default(), Tally::default());
        for stage in &self.stages {
            let kind = Probe::named(&stage.probe).map(Probe::kind);
            let rules = policy.rules(kind, stage.recomputed > 1, dtype);
            let Some(own_inputs) = share(&rules, &stage.metrics) else { continue };
            let from_token_ids = stage.end_to_end.as_ref().and_then(|metrics| share(&rules, metrics));
            own.count(self, stage, own_inputs);
            if let Some(share) = from_token_ids {
                whole.count(self, stage, share);
            }
            stages.push(Share { probe: stage.probe.clone(), own_inputs, from_token_ids });
        }
        Tolerated {
            policy: policy.name().to_string(),
            rule: in_words(policy, dtype),
            from_token_ids: (whole.of > 0).then_some(whole),
            own_inputs: own,
            stages,
        }
    }

    /// Whether `stage` is right, as far as the verdict goes: a cast elsewhere is beyond the limit and still right.
    pub fn calls_right(&self, stage: &StageVerdict) -> bool {
        match stage.class {
            Class::Exact | Class::Numeric => true,
            Class::Wrong => self.verdict == Judgement::Numeric,
            Class::Fault => false,
        }
    }
}

impl Tally {
    fn count(&mut self, verdict: &Verdict, stage: &StageVerdict, share: f64) {
        let (passes, right) = (share <= 1.0, verdict.calls_right(stage));
        self.of += 1;
        self.failing += usize::from(!passes);
        self.right_but_fail += usize::from(right && !passes);
        self.wrong_but_pass += usize::from(!right && passes);
        if !passes {
            self.first.get_or_insert_with(|| stage.probe.clone());
        }
    }
}

/// How many times what `rules` allow the difference is: the largest. `None`: they ask nothing of such a stage.
fn share(rules: &[Rule], metrics: &Metrics) -> Option<f64> {
    rules.iter().filter_map(|rule| share_of(*rule, metrics)).map(beyond).reduce(f64::max)
}

fn share_of(rule: Rule, metrics: &Metrics) -> Option<f64> {
    // 0 of 0 is nothing.
    let of = |value: f64, allowed: f64| if value == 0.0 { 0.0 } else { value / allowed };
    Some(match rule {
        Rule::Close { rtol, atol } => {
            let times = metrics.decisive.iter().map(|[size, off]| beyond(of(*off, atol + rtol * size)));
            times.fold(0.0, f64::max)
        }
        Rule::Either(tolerance) => of(metrics.tolerance_either, tolerance),
        Rule::Figure(figure, limit) => {
            let value = value(figure, metrics)?;
            if figure.is_likeness() { of(1.0 - value, 1.0 - limit) } else { of(value, limit) }
        }
    })
}

fn value(figure: Figure, metrics: &Metrics) -> Option<f64> {
    match figure {
        // A rule has them together.
        Figure::Rtol | Figure::Atol => None,
        Figure::MaxAbs => Some(metrics.max_abs),
        Figure::MaxRel => Some(metrics.max_rel),
        Figure::RelativeL2 => Some(metrics.relative_l2),
        Figure::Cosine => Some(metrics.cosine),
        Figure::Ulp => Some(metrics.ulp),
        Figure::Nmse => Some(metrics.nmse),
        Figure::Kl => metrics.kl,
        Figure::Top1Agreement => metrics.top1_agreement,
        Figure::Top5Agreement => metrics.top5_agreement,
    }
}

/// What `policy` asks of a candidate in `dtype`.
fn in_words(policy: &Policy, dtype: Dtype) -> String {
    let rules = policy.rules(None, false, dtype);
    let rule = rules.iter().map(|rule| match rule {
        Rule::Close { rtol, atol } => format!("|yours - Gemma's| <= {atol:?} + {rtol:?} |Gemma's| of each value"),
        Rule::Either(tolerance) => {
            format!("|yours - Gemma's| <= {tolerance:?}, or <= {tolerance:?} |Gemma's|, of each value")
        }
        Rule::Figure(figure, limit) if figure.is_likeness() => format!("{} >= {limit:?}", figure.name()),
        Rule::Figure(figure, limit) => format!("{} <= {limit:?}", figure.name()),
    });
    let rule = rule.collect::<Vec<_>>().join(", ");
    match policy {
        Policy::Torch => format!("{rule} (torch.testing.assert_close in {dtype})"),
        Policy::Polygraphy => format!("{rule} (polygraphy run)"),
        Policy::LlamaNmse => {
            "mean square of the difference over Gemma's <= 5e-4 of products and of several steps in one, 1e-6 of softmax, 1e-7 of all \
             else (llama.cpp, test-backend-ops)"
                .to_string()
        }
        Policy::Doppler => format!("{rule} (Doppler's, which looks at the first eight values of its boundaries alone)"),
        Policy::Own(_) => rule,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use loupe_spec::Kind;
    use serde_json::Value;

    use super::*;

    /// tests/fixtures/policies.py asked the tools themselves.
    #[test]
    fn they_say_what_the_tools_say() {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/fixtures/policies.json")).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 24);
        for case in cases {
            let values = |key: &str| {
                let values = case[key].as_array().unwrap();
                values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect::<Vec<f64>>()
            };
            let (candidate, reference) = (values("candidate"), values("reference"));
            let dtype: Dtype = case["dtype"].as_str().unwrap().parse().unwrap();
            let metrics = Metrics::of(false, &candidate, &reference, 40, dtype);
            // A tool computes the allowed difference and the actual one in the tensors' dtype, of which f16 has steps of 2^-24 where
            // torch's tolerance of 1e-5 lies; the golden is found to a millionth, and the values that decide to a thousandth.
            let steps = if dtype == Dtype::F16 { 2f64.powi(-24) / 1e-5 } else { 0.0 };
            let near = |share: f64, golden: &Value| match golden.as_f64() {
                None => assert!(share.is_infinite(), "{case}: {share}"),
                Some(golden) => {
                    let off = golden * (1e-3 + 1e-6 + steps + 3.0 * 2f64.powi(-dtype.significand_bits()));
                    assert!((share - golden).abs() <= off, "{share} {case}");
                }
            };
            let told = |policy: Policy| share(&policy.rules(Some(Kind::Linear), false, dtype), &metrics).unwrap();
            near(told(Policy::Torch), &case["torch"]);
            near(told(Policy::Polygraphy), &case["polygraphy"]);
            match case["nmse"].as_f64() {
                None => assert!(told(Policy::LlamaNmse).is_infinite()),
                Some(nmse) => {
                    let own = told(Policy::LlamaNmse) * 5e-4;
                    assert!((own - nmse).abs() <= nmse * 1e-12, "forty sums in f64: {own} {case}");
                }
            }
        }
    }

    /// What those tools have in their sources, by operation and dtype.
    #[test]
    fn limits_are_those_of_the_operation_and_the_dtype() {
        let nmse = |kind, fused| Policy::LlamaNmse.rules(kind, fused, Dtype::F32);
        let most = |most| vec![Rule::Figure(Figure::Nmse, most)];
        for kind in [Kind::Linear, Kind::Scores, Kind::Context] {
            assert_eq!(nmse(Some(kind), false), most(5e-4));
        }
        assert_eq!(nmse(Some(Kind::Softmax), false), most(1e-6));
        assert_eq!([nmse(Some(Kind::RmsNorm), false), nmse(None, false)], [most(1e-7), most(1e-7)]);
        assert_eq!([nmse(Some(Kind::Gelu), true), nmse(Some(Kind::Softmax), true)], [most(5e-4), most(5e-4)]);
        let doppler = |dtype| Policy::Doppler.rules(None, false, dtype);
        assert_eq!([Dtype::F16, Dtype::Bf16].map(doppler), [[Rule::Either(2e-3)], [Rule::Either(2e-3)]]);
        assert_eq!([Dtype::F32, Dtype::F64].map(doppler), [[Rule::Either(1e-5)], [Rule::Either(1e-5)]]);
    }

    /// A tool fails what is no number, and passes what does not differ, whatever it asks for.
    #[test]
    fn no_figure_passes_what_is_no_number_or_fails_what_is_equal() {
        let reference = [0.5, -1.0, 3.0, 0.0];
        let figures =
            Figure::ALL.map(|figure| Policy::Own(vec![(figure, if figure.is_likeness() { 1.0 } else { 0.0 })]));
        for policy in Policy::NAMED.iter().chain(&figures) {
            let rules = policy.rules(Some(Kind::Linear), false, Dtype::F32);
            let told = |candidate: &[f64], reference: &[f64]| {
                share(&rules, &Metrics::of(true, candidate, reference, 4, Dtype::F32)).unwrap()
            };
            for equal in [reference, [0.0; 4], [0.1; 4]] {
                assert!(told(&equal, &equal) <= 1.0, "{policy:?} of {equal:?}");
            }
            let lax = Policy::Own(vec![(Figure::Rtol, 1e9), (Figure::Atol, 1e9)]);
            let agreement = matches!(policy, Policy::Own(own) if own[0].0.name().starts_with("top"));
            for broken in [f64::NAN, f64::INFINITY] {
                // Which are largest is asked of whatever there is.
                assert!(agreement || told(&[0.5, broken, 3.0, 0.0], &reference) > 1.0, "{policy:?} of {broken}");
                assert!(agreement || told(&reference, &[0.5, broken, 3.0, 0.0]) > 1.0, "{policy:?} against {broken}");
                let metrics = Metrics::of(true, &[0.5, broken, 3.0, 0.0], &reference, 4, Dtype::F32);
                assert!(share(&lax.rules(None, false, Dtype::F32), &metrics).unwrap().is_infinite());
            }
        }
    }

    #[test]
    fn numbers_of_ones_own_all_have_to_hold_and_a_likeness_is_a_least() {
        let reference: Vec<f64> = (1..=50).map(f64::from).collect();
        let candidate: Vec<f64> = reference.iter().map(|value| value * 7.0).collect();
        let metrics = Metrics::of(false, &candidate, &reference, 50, Dtype::F32);
        let told =
            |limits: &[(Figure, f64)]| share(&Policy::Own(limits.to_vec()).rules(None, false, Dtype::F32), &metrics);
        assert!(told(&[(Figure::Cosine, 0.999)]).unwrap() < 1e-9, "a factor has the same direction");
        assert_eq!(told(&[(Figure::RelativeL2, 3.0)]), Some(2.0));
        assert_eq!(told(&[(Figure::Cosine, 0.999), (Figure::RelativeL2, 3.0), (Figure::MaxAbs, 600.0)]), Some(2.0));
        assert_eq!(told(&[(Figure::Rtol, 3.0)]), Some(2.0));
        assert_eq!(told(&[(Figure::Atol, 0.0)]), Some(f64::INFINITY));
        assert_eq!(told(&[(Figure::Kl, 0.1)]), None, "these are no logits");
    }
}
