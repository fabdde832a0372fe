//! What the script shows of a stage that is clicked. Every number is a text already: the script draws and computes nothing.

use loupe_judge::{Class, Regression, StageVerdict, WorstValue, coordinates, number};
use loupe_spec::{Probe, echo};
use serde::Serialize;

use crate::scale;

/// What one place along an axis is called, how long the axis is, and what several places are called.
type Axis = (&'static str, usize, &'static str);

/// One stage.
#[derive(Serialize)]
pub struct Drawing {
    name: String,
    class: Class,
    /// What is known of it: a label and a text each.
    lines: Vec<(&'static str, String)>,
    /// Its axes but that of tokens, and that one.
    axes: Vec<Axis>,
    token: Axis,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cells: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    residual: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    noise: Vec<usize>,
    /// Where, both values, their difference, and that in units of the noise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    worst: Vec<[String; 5]>,
    /// For each, what it is of, its slope in words, and points: what the mistake changes and the residual, in units of the noise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    regressions: Vec<(String, String, Vec<[f32; 2]>)>,
}

/// Two digits.
fn error(value: f64) -> String {
    if value == 0.0 { "0".to_string() } else { format!("{value:.1e}") }
}

impl Drawing {
    pub fn of(stage: &StageVerdict) -> Drawing {
        let probe = Probe::named(&stage.probe);
        let metrics = &stage.metrics;
        let mut lines = vec![
            ("error, of the tensor's norm", error(stage.local_error)),
            ("limit of that", error(stage.budget)),
            ("times the limit", scale::short(stage.budget_used)),
        ];
        lines.extend(stage.end_to_end_error.map(|whole| ("error from the token ids on", error(whole))));
        lines.extend([
            ("largest difference", error(metrics.max_abs)),
            ("largest relative", error(metrics.max_rel)),
            ("cosine", format!("{:.9}", metrics.cosine)),
            ("ratio of norms", format!("{:.6}", metrics.norm_ratio)),
            ("ulp", scale::short(metrics.ulp)),
            ("allclose passes at rtol = atol =", error(metrics.tolerance)),
        ]);
        lines.extend(metrics.kl.map(|kl| ("KL divergence, nats", error(kl))));
        lines.extend(metrics.top1_agreement.map(|share| ("same top token", format!("{:.0} %", 100.0 * share))));
        lines.extend(
            metrics.top5_agreement.map(|share| ("common among the top five", format!("{:.0} %", 100.0 * share))),
        );
        let picture = stage.picture.clone().unwrap_or_default();
        let named = probe.map(|probe| {
            let of = probe.axes().iter().map(|axis| axis.called(probe.axes())).zip(picture.shape.iter().copied());
            of.map(|([one, several], length)| (one, length, several)).collect::<Vec<Axis>>()
        });
        let named = named.unwrap_or_default().into_iter().enumerate();
        let (token, axes): (Vec<_>, Vec<_>) = named.partition(|(at, _)| *at == picture.token_axis);
        Drawing {
            name: echo(&stage.probe),
            class: stage.class,
            lines,
            axes: axes.into_iter().map(|(_, axis)| axis).collect(),
            token: token.first().map_or(("token", 0, "tokens"), |(_, axis)| *axis),
            cells: picture.cells,
            residual: picture.residual,
            noise: picture.noise,
            worst: picture.worst.iter().map(|worst| worst_value(probe, worst)).collect(),
            regressions: picture.regressions.iter().map(regression).collect(),
        }
    }
}

fn worst_value(probe: Option<Probe>, worst: &WorstValue) -> [String; 5] {
    let [yours, right] = worst.values;
    let none = if yours.is_finite() { "no noise here" } else { "broken" };
    let times = worst.times_noise.map_or(none.to_string(), scale::short);
    let difference = error(yours - right);
    [coordinates(probe, &worst.coordinate), number(yours), number(right), difference, times]
}

fn regression(regression: &Regression) -> (String, String, Vec<[f32; 2]>) {
    let Regression { of, slope, of_values, points } = regression;
    let shown = if points.len() < *of_values { format!("{} of ", points.len()) } else { String::new() };
    let said = format!("your error is {slope:.3} times what it makes; {shown}{of_values} values that it changes");
    (of.clone(), said, points.iter().map(|point| point.map(three_digits)).collect())
}

/// As short as a drawing needs it.
fn three_digits(value: f32) -> f32 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
