//! Mistakes as edits of the graph: which mistake, or which number, at which values.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Change, Config, Graph, Kind, Mistake, Op, Parameter, Probe};

/// What is wrong at some values.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A mistake of the catalogue.
    Mistake(&'static Mistake),
    /// A number of their formula has this value; an infinite cap is none.
    Number(Parameter, f64),
}

impl What {
    /// Whether it can be wrong at `probe`.
    pub fn touches(self, probe: Probe) -> bool {
        match self {
            What::Mistake(mistake) => (mistake.at)(probe),
            What::Number(parameter, _) => parameter.is_at(probe),
        }
    }
}

impl PartialEq for What {
    fn eq(&self, other: &What) -> bool {
        match (self, other) {
            (What::Mistake(one), What::Mistake(other)) => one.is(other.id, other.variant),
            (What::Number(one, value), What::Number(other, others)) => one == other && value == others,
            _ => false,
        }
    }
}

/// As a config writes it: `silu`, `attn_scale=0.25`.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Mistake(mistake) => f.write_str(&mistake.name()),
            What::Number(parameter, value) => write!(f, "{}={value}", parameter.name()),
        }
    }
}

/// Something wrong, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// What.
    pub what: What,
    /// The values at which it is made, in computing order.
    pub sites: Vec<Probe>,
}

impl Edit {
    /// `what` wherever it can be wrong in the model of `graph`, so far as `within` says.
    pub fn within(what: What, graph: &Graph, within: impl Fn(Probe) -> bool) -> Edit {
        Edit { what, sites: graph.probes().filter(|probe| what.touches(*probe) && within(*probe)).collect() }
    }

    /// `what` wherever it can be wrong.
    pub fn everywhere(what: What, graph: &Graph) -> Edit {
        Edit::within(what, graph, |_| true)
    }

    /// `edits` without what one of them says again of a value: a mistake is made there or not.
    pub fn once(edits: &[Edit]) -> Vec<Edit> {
        let mut once: Vec<Edit> = Vec::new();
        for edit in edits {
            let mut edit = edit.clone();
            for earlier in once.iter().filter(|earlier| earlier.what == edit.what) {
                edit.sites.retain(|site| !earlier.sites.contains(site));
            }
            once.push(edit);
        }
        once
    }

    /// As a config writes it: `silu`, or with each value that it is made at, `silu@layers.3.mlp.act`.
    pub fn texts(&self, graph: &Graph) -> Vec<String> {
        if self.sites == Edit::everywhere(self.what, graph).sites {
            return vec![self.what.to_string()];
        }
        self.sites.iter().map(|site| format!("{}@{site}", self.what)).collect()
    }

    /// The sites that `other` has, too.
    pub fn shared(&self, other: &Edit) -> Vec<Probe> {
        self.sites.iter().copied().filter(|site| other.sites.contains(site)).collect()
    }
}

impl Graph {
    /// The graph with `edits`, one after the other.
    pub fn edited(&self, edits: &[Edit]) -> Graph {
        let mut graph = self.clone();
        // What config.json says at each value where it is read wrongly.
        let mut configs: BTreeMap<Probe, Config> = BTreeMap::new();
        for edit in Edit::once(edits) {
            match edit.what {
                What::Number(_, value) => graph.change(&edit.sites, |node| node.op = node.op.with(value)),
                What::Mistake(mistake) => {
                    mistake.changes.iter().for_each(|change| graph.apply(*change, &edit.sites, &mut configs));
                }
            }
        }
        graph
    }

    fn apply(&mut self, change: Change, sites: &[Probe], configs: &mut BTreeMap<Probe, Config>) {
        let right = self.config().clone();
        match change {
            Change::Node(edit) => self.change(sites, |node| edit(node, &right)),
            Change::Config(edit) => {
                // Most sites share one.
                let mut wrong: Vec<Graph> = Vec::new();
                for site in sites {
                    let config = configs.entry(*site).or_insert_with(|| right.clone());
                    edit(config, &right);
                    if !wrong.iter().any(|graph| graph.config() == config) {
                        wrong.push(Graph::of(config));
                    }
                    let op = wrong.iter().find(|graph| graph.config() == config).and_then(|graph| graph.node(*site));
                    let op = op.map(|node| node.op);
                    // An operation that another edit took away has no number.
                    let numbered = |own: Op| op.filter(|op| Kind::from(*op) == Kind::from(own)).unwrap_or(own);
                    self.change(&[*site], |node| node.op = numbered(node.op));
                }
            }
            Change::Prompt(_) | Change::Tokens(_) => {}
        }
    }

    /// What both `one` and `other` change, where the order in which they are made matters, or one leaves nothing of the other:
    /// only one of the two would be made. `None`: they go together.
    pub fn contradiction(&self, one: &Edit, other: &Edit) -> Option<String> {
        let with = |edits: &[&Edit]| self.edited(&edits.iter().map(|edit| (*edit).clone()).collect::<Vec<_>>());
        let [ones, others, both, reversed] = [&[one][..], &[other], &[one, other], &[other, one]].map(with);
        let differ = |a: &Graph, b: &Graph| {
            let pair = |site| Some((a.node(site)?.clone(), b.node(site)?.clone()));
            one.shared(other).into_iter().filter_map(pair).find(|(a, b)| a != b)
        };
        let nothing_left = (both == ones && others != *self)
            || (both == others && ones != *self)
            || (both == *self && (ones != *self || others != *self));
        let (a, b) = differ(&both, &reversed).or_else(|| differ(&ones, &others).filter(|_| nothing_left))?;
        let number = Parameter::ALL.into_iter().find(|parameter| parameter.is_at(a.probe)).map(Parameter::name);
        let what = match () {
            () if a.op != b.op => number.unwrap_or("the operation"),
            () if a.weight != b.weight => "the tensor",
            () => "the inputs",
        };
        Some(format!("{what} at {}", a.probe))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Code, Formula, MistakeKind, Weight};

    const fn mistake(id: &'static str, at: fn(Probe) -> bool, changes: &'static [Change]) -> Mistake {
        let (kind, right, formula) =
            (MistakeKind::Architectural, Code { file: "", source: "", text: "" }, Formula { right: "", wrong: "" });
        Mistake { id, variant: None, kind, what: "", seen_in: "", formula, right, hidden_when: "", at, changes }
    }

    const SQUARED: Mistake = mistake(
        "squared",
        |probe| probe.kind() == Kind::Scores,
        &[Change::Config(|config, _| config.query_pre_attn_scalar = config.query_pre_attn_scalar.powi(2))],
    );
    const ONE: Mistake = mistake(
        "one",
        |probe| probe.kind() == Kind::Scores,
        &[Change::Config(|config, _| config.query_pre_attn_scalar = 1.0)],
    );
    const NO_NORM: Mistake =
        mistake("no_norm", |probe| probe.path() == "norm", &[Change::Node(|node, _| node.op = Op::Same)]);
    const NO_EPS: Mistake = mistake(
        "no_eps",
        |probe| probe.kind() == Kind::RmsNorm,
        &[Change::Config(|config, _| config.rms_norm_eps = 0.0)],
    );
    const LARGE_EPS: Mistake = mistake(
        "large_eps",
        |probe| probe.kind() == Kind::RmsNorm,
        &[Change::Config(|config, _| config.rms_norm_eps *= 2.0)],
    );
    const HEAD: Mistake = mistake(
        "head",
        |probe| probe.path() == "logits.raw",
        &[Change::Node(|node, _| (node.weight, node.inputs) = (Some(Weight::LM_HEAD), vec![probe("embed.scaled")]))],
    );

    fn probe(name: &str) -> Probe {
        name.parse().unwrap()
    }

    fn graph() -> Graph {
        Graph::of(
            &Config::from_json(
                r#"{"model_type":"gemma2","vocab_size":8,"hidden_size":6,"intermediate_size":4,"num_hidden_layers":2,
                    "num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"query_pre_attn_scalar":4}"#,
            )
            .unwrap(),
        )
    }

    fn edit(mistake: &'static Mistake) -> Edit {
        Edit { what: What::Mistake(mistake), sites: graph().probes().filter(|probe| (mistake.at)(*probe)).collect() }
    }

    fn number(parameter: Parameter, value: f64) -> Edit {
        let sites = graph().probes().filter(|probe| parameter.is_at(*probe)).collect();
        Edit { what: What::Number(parameter, value), sites }
    }

    /// The edit is made at its sites, and nothing else is changed.
    #[test]
    fn an_edit_changes_what_it_says_where_it_says() {
        let graph = graph();
        let mut one_layer = edit(&SQUARED);
        one_layer.sites.truncate(1);
        let edited = graph.edited(&[one_layer.clone(), edit(&HEAD), number(Parameter::FinalSoftcap, f64::INFINITY)]);
        let changed = edited.nodes().iter().zip(graph.nodes()).filter(|(one, right)| one != right);
        let changed: Vec<Probe> = changed.map(|(one, _)| one.probe).collect();
        assert_eq!(changed, [one_layer.sites[0], probe("logits.raw"), probe("logits")]);
        let op = |probe| edited.node(probe).unwrap().op;
        assert_eq!(op(one_layer.sites[0]), Op::Scores { scale: 0.25 });
        assert_eq!(op(probe("logits")), Op::Softcap { cap: None });
        assert_eq!(edited.weight(probe("logits.raw")), Some(Weight::LM_HEAD));
        assert_eq!(edited.inputs(probe("logits.raw")), [probe("embed.scaled")]);
    }

    /// What is said twice of a value is made once: a square is not squared again.
    #[test]
    fn a_mistake_is_made_once_at_a_value() {
        let graph = graph();
        let mut one_layer = edit(&SQUARED);
        one_layer.sites.truncate(1);
        assert_eq!(graph.edited(&[one_layer.clone(), edit(&SQUARED)]), graph.edited(&[edit(&SQUARED)]));
        assert_eq!(edit(&SQUARED).texts(&graph), ["squared"]);
        assert_eq!(one_layer.texts(&graph), ["squared@layers.0.self_attn.scores"]);
        assert_eq!(number(Parameter::AttnScale, 0.25).texts(&graph), ["attn_scale=0.25"]);
    }

    #[test]
    fn two_edits_of_which_one_would_be_lost_contradict_each_other() {
        let graph = graph();
        let what = |one: &Edit, other: &Edit| graph.contradiction(one, other);
        let scale = Some("attn_scale at layers.0.self_attn.scores".to_string());
        // Squared, 1 is 1: nothing is left of the square, in either order.
        assert_eq!(what(&edit(&SQUARED), &edit(&ONE)), scale);
        assert_eq!(what(&edit(&SQUARED), &number(Parameter::AttnScale, 0.3)), scale);
        assert_eq!(what(&edit(&NO_EPS), &edit(&LARGE_EPS)), Some("rms_norm_eps at layers.0.input_layernorm".into()));
        let mut last = edit(&NO_EPS);
        last.sites.retain(|site| *site == probe("norm"));
        assert_eq!(what(&edit(&NO_NORM), &last), Some("rms_norm_eps at norm".into()));
    }

    #[test]
    fn edits_of_which_both_are_made_go_together() {
        let graph = graph();
        // The other norms have another epsilon.
        assert_eq!(graph.contradiction(&edit(&NO_NORM), &edit(&NO_EPS)), None);
        assert_eq!(graph.contradiction(&edit(&HEAD), &edit(&SQUARED)), None);
        // The same said twice.
        let [one, other] = [number(Parameter::AttnScale, 0.3), number(Parameter::AttnScale, 0.3)];
        assert_eq!(graph.contradiction(&one, &other), None);
        let both = graph.edited(&[edit(&NO_EPS), edit(&NO_NORM)]);
        assert_eq!(both.node(probe("norm")).unwrap().op, Op::Same);
        assert_eq!(both, graph.edited(&[edit(&NO_NORM), edit(&NO_EPS)]));
    }
}
