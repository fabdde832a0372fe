//! What a tensor may hold beside what its name says, and in which order.

use loupe_spec::{Graph, HostTensor, Kind, Probe, Values};

use crate::held::KnownRows;
use crate::layout::{Layout, layouts};

/// One way to read a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The probe point that it holds.
    pub probe: Probe,
    /// What was done to its values.
    pub form: Form,
    /// In which order they lie.
    pub layout: Layout,
}

/// What was done to a probe point's values before they were written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Nothing.
    Itself,
    /// They were multiplied by this number.
    Times(f64),
    /// 1 is written where the mask has 0.
    Inverted,
    /// The mask is to be added to the scores: 0 where a key is seen, and a number that no score comes near where it is not.
    Added,
}

/// A score of this or below is none: an engine wrote it in place of a hidden one.
pub const MASKED: f64 = -1e4;

impl Form {
    /// The probe point's values, of those that were written, in their type.
    fn undone(self, values: Values) -> Values {
        let undo = |value: f64| match self {
            Form::Itself => value,
            Form::Times(factor) => value / factor,
            Form::Inverted => f64::from(value == 0.0),
            Form::Added => f64::from(value > MASKED),
        };
        match self {
            Form::Itself => values,
            Form::Times(_) => Values::F64(values.to_f64().into_iter().map(undo).collect()).to_dtype(values.dtype()),
            Form::Inverted | Form::Added => Values::U8(values.to_f64().into_iter().map(|v| undo(v) as u8).collect()),
        }
    }

    /// What would be written of a probe point's `value`.
    pub fn done(self, value: f64) -> f64 {
        match self {
            Form::Itself | Form::Added => value,
            Form::Times(factor) => value * factor,
            Form::Inverted => 1.0 - value,
        }
    }
}

impl Reading {
    /// The probe point's values.
    pub fn read(&self, values: &Values) -> HostTensor {
        let HostTensor { shape, values } = self.layout.read(values);
        HostTensor { shape, values: self.form.undone(values) }
    }

    /// Whether every token has a row.
    pub fn is_whole(&self, tokens: usize) -> bool {
        self.layout.rows.len() == tokens
    }
}

/// Every way to read a tensor of shape `found`: as what it is `called`, the first of them before the others, and then as what
/// is often written under such a name. In each, the documented order is the first.
pub fn readings(
    called: &[Probe],
    found: &[usize],
    values: &Values,
    graph: &Graph,
    tokens: usize,
    known: KnownRows<'_>,
) -> Vec<Reading> {
    let mut meanings: Vec<(Probe, Form)> = called.iter().map(|probe| (*probe, Form::Itself)).collect();
    for probe in called {
        for other in likenesses(*probe, graph) {
            if !meanings.contains(&other) {
                meanings.push(other);
            }
        }
    }
    if let Some((probe, form)) = meanings.first_mut()
        && probe.kind() == Kind::Mask
    {
        let is_added = values.to_f64().iter().any(|value| *value <= MASKED);
        if is_added {
            *form = Form::Added;
            meanings.truncate(1);
        }
    }
    let each = |(probe, form): (Probe, Form)| {
        let layouts = layouts(probe, found, graph, tokens, known);
        layouts.into_iter().map(move |layout| Reading { probe, form, layout })
    };
    meanings.into_iter().flat_map(each).collect()
}

/// What is written under the name of `probe`, too.
fn likenesses(probe: Probe, graph: &Graph) -> Vec<(Probe, Form)> {
    let scale = graph.config().query_pre_attn_scalar.powf(-0.5);
    let form = match probe.path() {
        "self_attn.q_rope" => Some(Form::Times(scale)),
        "self_attn.scores" => Some(Form::Times(1.0 / scale)),
        "self_attn.mask" => Some(Form::Inverted),
        _ => None,
    };
    let neighbour = neighbour(probe, graph.config().num_hidden_layers).map(|neighbour| (neighbour, Form::Itself));
    neighbour.into_iter().chain(form.map(|form| (probe, form))).collect()
}

/// The stage just before or after `probe` that programs write under the same name, in a model of so many layers.
pub fn neighbour(probe: Probe, layers: usize) -> Option<Probe> {
    let last = layers.saturating_sub(1);
    probe.beside(match probe.path() {
        "embed.raw" => "embed.scaled",
        "embed.scaled" => "embed.raw",
        "self_attn.q_proj" => "self_attn.q_rope",
        "self_attn.q_rope" => "self_attn.q_proj",
        "self_attn.k_proj" => "self_attn.k_rope",
        "self_attn.k_rope" => "self_attn.k_proj",
        "self_attn.scores" => "self_attn.scores_capped",
        "self_attn.scores_capped" => "self_attn.scores",
        "output" if probe.layer() == Some(last) => return Probe::of(None, "norm"),
        "norm" => return Probe::of(Some(last), "output"),
        "logits.raw" => "logits",
        "logits" => "logits.raw",
        _ => return None,
    })
}

/// What a tensor that is called `called` turned out to hold.
pub fn in_words(called: Probe, reading: &Reading) -> String {
    let what = match (called.path(), reading.form) {
        ("self_attn.q_rope", Form::Times(_)) => "the values after the scale of attention",
        (_, Form::Times(_)) => "the values before the scale of attention",
        (_, Form::Inverted) => "1 where a key is hidden",
        _ => neighbour_in_words(called, reading.probe),
    };
    format!("{what}: read as {}", reading.probe)
}

/// What the values of `other` are to somebody who calls them `called`.
pub fn neighbour_in_words(called: Probe, other: Probe) -> &'static str {
    match (called.path(), other.path()) {
        ("embed.scaled", "embed.raw") => "the values before the scale",
        ("embed.raw", "embed.scaled") => "the values after the scale",
        ("self_attn.q_proj", "self_attn.q_rope") | ("self_attn.k_proj", "self_attn.k_rope") => {
            "the values after the rotation"
        }
        ("self_attn.q_rope", "self_attn.q_proj") | ("self_attn.k_rope", "self_attn.k_proj") => {
            "the values before the rotation"
        }
        ("self_attn.scores", "self_attn.scores_capped") | ("logits.raw", "logits") => "the values after the cap",
        ("self_attn.scores_capped", "self_attn.scores") | ("logits", "logits.raw") => "the values before the cap",
        ("norm", _) if other.layer().is_some() => "the values before the final norm",
        (_, "norm") if called.layer().is_some() => "the values after the final norm",
        _ => "the values of another stage",
    }
}
