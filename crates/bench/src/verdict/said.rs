//! What a verdict says, as much of it as is scored.

use loupe_spec::Probe;
use miette::Result;
use serde_json::Value;

use super::sites::Place;

/// A verdict.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub word: String,
    pub detail: Option<String>,
    pub code: u8,
    pub first: Option<String>,
    pub named: Vec<Named>,
    pub unseen: Vec<Unseen>,
    pub fitted: Vec<Fitted>,
}

/// A mistake that a verdict names.
#[derive(Clone, Debug)]
pub struct Named {
    pub id: String,
    pub variant: Option<String>,
    pub probe: String,
    pub layers: Vec<usize>,
    /// The probes at which it was made; `None`: the judge does not say.
    pub sites: Option<Vec<String>>,
    pub alternatives: Vec<String>,
}

/// A mistake that a verdict declares unseen.
#[derive(Clone, Debug)]
pub struct Unseen {
    pub id: String,
    /// Layers or probes in which it cannot be seen; `None`: nowhere.
    pub sites: Option<Vec<String>>,
}

/// A constant of the model that explains the residual with another value.
#[derive(Clone, Debug)]
pub struct Fitted {
    pub parameter: String,
    /// `None`: no cap.
    pub value: Option<f64>,
    pub probe: String,
}

impl Said {
    /// `None`: the value is no verdict.
    pub fn of(verdict: &Value) -> Option<Said> {
        let indistinguishable = texts(verdict, "indistinguishable").unwrap_or_default();
        let mut unseen: Vec<Unseen> = objects(verdict, "unseen").filter_map(Unseen::of).collect();
        for id in indistinguishable {
            if !unseen.iter().any(|unseen| unseen.id == id) {
                unseen.push(Unseen { id, sites: None });
            }
        }
        Some(Said {
            word: text(verdict, "verdict")?,
            detail: text(verdict, "detail"),
            code: verdict.get("exit_code")?.as_u64()?.try_into().ok()?,
            first: verdict.get("first_divergence").and_then(|first| text(first, "probe")),
            named: verdict.get("mistakes")?.as_array()?.iter().filter_map(Named::of).collect(),
            unseen,
            fitted: objects(verdict, "fitted").filter_map(Fitted::of).collect(),
        })
    }

    /// What the judge's answer says; why there is none, where it gave none.
    pub fn of_answer(answer: Result<Value>) -> Said {
        let none = |why: String| Said { word: format!("not judged: {why}"), code: 2, ..Said::default() };
        match answer {
            Ok(verdict) => Said::of(&verdict).unwrap_or_else(|| none("no verdict".to_string())),
            Err(why) => none(why.to_string()),
        }
    }

    /// Whether `id` is named, or is among those that fit as well as one that is.
    pub fn has(&self, id: &str) -> bool {
        self.named.iter().any(|named| named.stands_for(id))
    }

    /// Names of mistakes that were not planted and do not stand for one that was.
    pub fn wrong(&self, planted: &[&str]) -> Vec<String> {
        let stands = |named: &&Named| !planted.iter().any(|id| named.stands_for(id));
        self.named.iter().filter(stands).map(|named| named.id.clone()).collect()
    }

    /// Whether it says that `id` cannot be seen at `place`.
    pub fn declares(&self, id: &str, place: &Place) -> bool {
        let covers = |unseen: &Unseen| unseen.sites.as_ref().is_none_or(|sites| sites.iter().any(|s| place.is_in(s)));
        self.unseen.iter().any(|unseen| unseen.id == id && covers(unseen))
    }

    /// What is named, as a config can plant it in a model with so many layers.
    pub fn as_planted(&self, layers: usize) -> Vec<String> {
        let plant = |named: &Named| {
            let name = named.variant.as_ref().map_or_else(|| named.id.clone(), |v| format!("{}--{v}", named.id));
            let sites: Vec<String> = match &named.sites {
                Some(sites) => sites.clone(),
                None if named.layers.len() == layers => Vec::new(),
                None => named.layers.iter().map(ToString::to_string).collect(),
            };
            match sites.as_slice() {
                [] => vec![name],
                sites => sites.iter().map(|site| format!("{name}@{site}")).collect(),
            }
        };
        self.named.iter().flat_map(plant).collect()
    }

    /// In a few words.
    pub fn line(&self) -> String {
        let part = |what: &str, all: Vec<String>| match all.as_slice() {
            [] => String::new(),
            all => format!(", {what} {}", all.join(", ")),
        };
        let names = part("named", self.named.iter().map(Named::line).collect());
        let fitted = part("fitted", self.fitted.iter().map(Fitted::line).collect());
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let first = self.first.as_ref().map(|first| format!(", first at {first}")).unwrap_or_default();
        format!("{}{detail}{first}{names}{fitted}", self.word)
    }
}

impl Named {
    fn of(value: &Value) -> Option<Named> {
        let layers = value.get("layers")?.as_array()?.iter().filter_map(|l| l.as_u64()?.try_into().ok()).collect();
        Some(Named {
            id: text(value, "id")?,
            variant: text(value, "variant"),
            probe: text(value, "probe")?,
            layers,
            sites: texts(value, "sites"),
            alternatives: texts(value, "alternatives").unwrap_or_default(),
        })
    }

    pub fn stands_for(&self, id: &str) -> bool {
        self.id == id || self.alternatives.iter().any(|other| other == id)
    }

    fn line(&self) -> String {
        let sites = self.sites.as_ref().filter(|sites| sites.len() > 1).map(|s| format!(" and {} more", s.len() - 1));
        let others = match self.alternatives.as_slice() {
            [] => String::new(),
            others => format!(" (or {})", others.join(", ")),
        };
        format!("{} at {}{}{others}", self.id, self.probe, sites.unwrap_or_default())
    }
}

impl Unseen {
    fn of(value: &Value) -> Option<Unseen> {
        Some(Unseen { id: text(value, "id")?, sites: texts(value, "sites") })
    }
}

impl Fitted {
    fn of(value: &Value) -> Option<Fitted> {
        let probe = text(value, "probe").unwrap_or_default();
        Some(Fitted { parameter: text(value, "parameter")?, value: value.get("value")?.as_f64(), probe })
    }

    fn line(&self) -> String {
        let value = self.value.map_or_else(|| "none".to_string(), |value| value.to_string());
        format!("{} = {value} at {}", self.parameter, self.probe)
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_string)
}

/// The texts of a list; a number in it is a layer.
fn texts(value: &Value, key: &str) -> Option<Vec<String>> {
    let of = |item: &Value| match item {
        Value::String(text) => Some(text.clone()),
        Value::Number(layer) => Some(format!("layers.{layer}")),
        _ => None,
    };
    Some(value.get(key)?.as_array()?.iter().filter_map(of).collect())
}

fn objects<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// `layers.3.mlp.act`, `layers.3`, or `3` as a verdict has it: the layer.
pub fn layer_of(site: &str) -> Option<usize> {
    let probe = site.parse::<Probe>().ok().and_then(Probe::layer);
    probe.or_else(|| site.strip_prefix("layers.").unwrap_or(site).parse().ok())
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    /// A verdict that names these mistakes, each with those that fit as well, in layer 1.
    pub fn said(named: &[(&str, &[&str])], unseen: &[&str]) -> Said {
        let mistakes: Vec<Value> = named
            .iter()
            .map(|(id, others)| {
                let probe = "layers.1.mlp.act";
                json!({"id": id, "probe": probe, "layers": [1], "sites": [probe], "alternatives": others})
            })
            .collect();
        let code = if named.is_empty() { 0 } else { 1 };
        let first = if named.is_empty() { Value::Null } else { json!({"probe": "layers.1.mlp.act"}) };
        Said::of(&json!({
            "verdict": "architectural", "detail": null, "exit_code": code, "first_divergence": first,
            "mistakes": mistakes, "indistinguishable": unseen,
        }))
        .unwrap()
    }

    #[test]
    fn what_a_verdict_declares_may_be_of_some_layers_only() {
        let mut said = said(&[], &["silu"]);
        said.unseen.push(Unseen { id: "rope_theta".to_string(), sites: Some(vec!["2".to_string()]) });
        let probe = Place::Probe("layers.2.self_attn.q_rope".parse().unwrap());
        assert!(said.declares("silu", &Place::Everywhere) && said.declares("silu", &Place::Layer(1)));
        assert!(said.declares("rope_theta", &Place::Layer(2)) && said.declares("rope_theta", &probe));
        assert!(!said.declares("rope_theta", &Place::Layer(1)) && !said.declares("rope_theta", &Place::Everywhere));
        assert!(!said.declares("gelu_erf", &Place::Everywhere));
    }

    #[test]
    fn what_is_named_can_be_planted_again() {
        let mut said = said(&[("norm_eps", &[])], &[]);
        said.named[0].variant = Some("none".to_string());
        assert_eq!(said.as_planted(4), ["norm_eps--none@layers.1.mlp.act"]);
        said.named[0].sites = None;
        assert_eq!(said.as_planted(4), ["norm_eps--none@1"]);
        assert_eq!(said.as_planted(1), ["norm_eps--none"]);
    }

    #[test]
    fn fitted_parameters_are_read_and_may_have_no_value() {
        let fitted =
            json!([{"parameter": "attn_softcap", "value": null, "expected": 50.0, "probe": "x", "layers": []}]);
        let said = Said::of(&json!({"verdict": "architectural", "exit_code": 1, "mistakes": [], "fitted": fitted}));
        assert_eq!(said.unwrap().line(), "architectural, fitted attn_softcap = none at x");
    }
}
