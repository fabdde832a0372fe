//! Recorded values that no forward pass computes: `rope.*` and `weights.*`.

use loupe_spec::{Dtype, HostTensor};

use crate::coverage::Coverage;
use crate::limits::TENSOR_LIMIT;
use crate::metrics::Metrics;
use crate::verdict::{CandidateInfo, Class, Divergence, Judgement, SCHEMA, StageVerdict, Start, Verdict};

/// What a value should be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its name.
    pub name: String,
    /// What is right.
    pub values: Vec<f64>,
    /// How far right code may be off, one standard deviation, element by element. 0: not at all.
    pub sigma: Vec<f64>,
}

/// Judges `recorded` against `expected`, name by name.
pub fn judge_values(candidate: CandidateInfo, recorded: &[(String, HostTensor)], expected: &[Expected]) -> Verdict {
    let dtype = candidate.dtype;
    let mut stages = Vec::new();
    let mut first_divergence = None;
    for Expected { name, values, sigma } in expected {
        let Some((_, tensor)) = recorded.iter().find(|(own, _)| own == name) else { continue };
        let got = tensor.values.to_f64();
        let stage = one(name, &got, values, sigma, dtype);
        if stage.class == Class::Wrong && first_divergence.is_none() {
            first_divergence = Some(divergence(&stage, &got, values, &tensor.shape));
        }
        stages.push(stage);
    }
    let wrong = stages.iter().any(|stage| stage.class == Class::Wrong);
    let exact = stages.iter().all(|stage| stage.class == Class::Exact);
    let verdict = match (wrong, exact) {
        (true, _) => Judgement::Architectural,
        (false, true) => Judgement::Exact,
        (false, false) => Judgement::Numeric,
    };
    let known = |name: &String| expected.iter().any(|e| e.name == *name);
    let ignored: Vec<String> = recorded.iter().map(|(name, _)| name.clone()).filter(|name| !known(name)).collect();
    Verdict {
        schema: SCHEMA.into(),
        verdict,
        detail: wrong.then(|| "values".to_string()),
        exit_code: verdict.exit_code(),
        candidate,
        coverage: Coverage {
            tokens: 0,
            last_token: None,
            of_tokens: 0,
            layers: Vec::new(),
            of_layers: 0,
            probes: stages.len(),
            of: expected.len(),
            values: expected.iter().map(|expected| expected.values.len()).sum(),
            of_values: expected.iter().map(|expected| expected.values.len()).sum(),
            statistics: 0,
            unknown: ignored.len(),
            ignored,
            not_comparable: Vec::new(),
            not_recorded: Vec::new(),
        },
        first_divergence,
        mistakes: Vec::new(),
        fitted: Vec::new(),
        unexplained: Vec::new(),
        indistinguishable: Vec::new(),
        unseen: Vec::new(),
        stimuli: Vec::new(),
        next: None,
        recording_suspect: false,
        other_rows: None,
        structure: Vec::new(),
        notes: Vec::new(),
        tolerated: Vec::new(),
        stages,
    }
}

fn one(name: &str, got: &[f64], right: &[f64], sigma: &[f64], dtype: Dtype) -> StageVerdict {
    let metrics = Metrics::of(false, got, right, right.len(), dtype);
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let norm = squares(&mut right.iter().copied()).sqrt();
    let noise = squares(&mut sigma.iter().copied()).sqrt();
    let relative = |value: f64| if value == 0.0 { 0.0 } else { value / norm };
    let budget = TENSOR_LIMIT * relative(noise);
    let same = got.len() == right.len() && got.iter().zip(right).all(|(g, r)| g == r);
    // NaN is beyond any budget.
    let within = got.len() == right.len() && metrics.relative_l2 <= budget;
    StageVerdict {
        probe: name.to_string(),
        local_error: metrics.relative_l2,
        end_to_end_error: None,
        budget,
        budget_used: if same { 0.0 } else { metrics.relative_l2 / budget },
        class: match (same, within) {
            (true, _) => Class::Exact,
            (false, true) => Class::Numeric,
            (false, false) => Class::Wrong,
        },
        recomputed: 1,
        metrics,
        end_to_end: None,
        picture: None,
    }
}

fn divergence(stage: &StageVerdict, got: &[f64], right: &[f64], shape: &[usize]) -> Divergence {
    let off = |at: &usize| {
        let off = (got[*at] - right[*at]).abs();
        if off.is_nan() { f64::INFINITY } else { off }
    };
    let at = (0..got.len().min(right.len())).max_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(0);
    let width = shape.last().copied().unwrap_or(1).max(1);
    let value = |values: &[f64]| values.get(at).copied().unwrap_or(f64::NAN);
    Divergence {
        probe: stage.probe.clone(),
        token: Some(0),
        from: Start::OwnInputs,
        statistic: None,
        coordinate: if shape.len() == 2 { vec![at / width, at % width] } else { vec![at] },
        values: [value(got), value(right)],
        local_error: stage.local_error,
        budget: stage.budget,
    }
}

#[cfg(test)]
mod tests {
    use loupe_spec::Values;

    use super::*;

    fn judged(values: Vec<f64>) -> Verdict {
        let candidate = CandidateInfo {
            path: "x".into(),
            backend: None,
            check: None,
            dtype: Dtype::F32,
            dtype_inferred: false,
            decimals: None,
        };
        let recorded = [("rope.cos".to_string(), HostTensor { shape: vec![2], values: Values::F64(values) })];
        let expected = [Expected { name: "rope.cos".into(), values: vec![1.0, 0.5], sigma: vec![1e-7, 1e-7] }];
        judge_values(candidate, &recorded, &expected)
    }

    #[test]
    fn equal_is_exact_near_is_numeric_and_far_or_nan_is_wrong() {
        assert_eq!(judged(vec![1.0, 0.5]).verdict, Judgement::Exact);
        assert_eq!(judged(vec![1.0, 0.5 + 1e-7]).verdict, Judgement::Numeric);
        assert_eq!(judged(vec![1.0, 0.501]).verdict, Judgement::Architectural);
        assert_eq!(judged(vec![1.0, f64::NAN]).verdict, Judgement::Architectural);
    }
}
