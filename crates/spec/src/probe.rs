//! The names of the values of a forward pass. What each is computed from stands in [`crate::gemma2`].

use std::fmt;
use std::str::FromStr;

use crate::{Axis, Graph, Kind, Node, nearest};

/// A value of one forward pass over one prompt, batch axis dropped. `Display` and `FromStr` use its trace name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Probe {
    /// `token_ids` [T], `<bos>` included.
    TokenIds,
    /// `embed.raw` [T, D]: rows of the embedding table.
    EmbedRaw,
    /// `embed.scaled` [T, D]: times sqrt(D).
    EmbedScaled,
    /// `layers.{l}.…`
    Layer(usize, Stage),
    /// `norm` [T, D]: final RMSNorm. transformers' `hidden_states[num_layers]` is this one.
    Norm,
    /// `logits.raw` [T, V]: before the cap.
    LogitsRaw,
    /// `logits` [T, V].
    Logits,
}

/// A value inside one decoder layer, in the order the mathematics happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// [T, D] residual stream entering the layer
    Input,
    /// [T, D]
    InputLayernorm,
    /// [T, N, H] before RoPE
    QProj,
    /// [T, K, H] before RoPE
    KProj,
    /// [T, K, H]
    VProj,
    /// [T, N, H]
    QRope,
    /// [T, K, H]
    KRope,
    /// [N, T, S]
    Scores,
    /// [N, T, S] unmasked
    ScoresCapped,
    /// [T, S] 1 where the query may attend to the key
    Mask,
    /// [N, T, S]
    Probs,
    /// [T, N, H] before o_proj
    Context,
    /// [T, D]
    OProj,
    /// [T, D] normed before it joins the residual
    PostAttentionLayernorm,
    /// [T, D]
    ResidualAttn,
    /// [T, D]
    PreFeedforwardLayernorm,
    /// [T, F]
    GateProj,
    /// [T, F]
    UpProj,
    /// [T, F]
    Act,
    /// [T, F]
    Gated,
    /// [T, D]
    DownProj,
    /// [T, D]
    PostFeedforwardLayernorm,
    /// [T, D]
    Output,
}

impl Stage {
    /// Every stage of a layer, in computing order.
    pub const ALL: [Stage; 23] = [
        Stage::Input,
        Stage::InputLayernorm,
        Stage::QProj,
        Stage::KProj,
        Stage::VProj,
        Stage::QRope,
        Stage::KRope,
        Stage::Scores,
        Stage::ScoresCapped,
        Stage::Mask,
        Stage::Probs,
        Stage::Context,
        Stage::OProj,
        Stage::PostAttentionLayernorm,
        Stage::ResidualAttn,
        Stage::PreFeedforwardLayernorm,
        Stage::GateProj,
        Stage::UpProj,
        Stage::Act,
        Stage::Gated,
        Stage::DownProj,
        Stage::PostFeedforwardLayernorm,
        Stage::Output,
    ];

    /// The path below `layers.{l}.`
    pub fn path(self) -> &'static str {
        match self {
            Stage::Input => "input",
            Stage::InputLayernorm => "input_layernorm",
            Stage::QProj => "self_attn.q_proj",
            Stage::KProj => "self_attn.k_proj",
            Stage::VProj => "self_attn.v_proj",
            Stage::QRope => "self_attn.q_rope",
            Stage::KRope => "self_attn.k_rope",
            Stage::Scores => "self_attn.scores",
            Stage::ScoresCapped => "self_attn.scores_capped",
            Stage::Mask => "self_attn.mask",
            Stage::Probs => "self_attn.probs",
            Stage::Context => "self_attn.context",
            Stage::OProj => "self_attn.o_proj",
            Stage::PostAttentionLayernorm => "post_attention_layernorm",
            Stage::ResidualAttn => "residual_attn",
            Stage::PreFeedforwardLayernorm => "pre_feedforward_layernorm",
            Stage::GateProj => "mlp.gate_proj",
            Stage::UpProj => "mlp.up_proj",
            Stage::Act => "mlp.act",
            Stage::Gated => "mlp.gated",
            Stage::DownProj => "mlp.down_proj",
            Stage::PostFeedforwardLayernorm => "post_feedforward_layernorm",
            Stage::Output => "output",
        }
    }
}

impl Probe {
    /// Which operation it is the result of.
    pub fn kind(self) -> Kind {
        Kind::from(self.pattern_node().op)
    }

    /// Its axes.
    pub fn axes(self) -> &'static [Axis] {
        &self.pattern_node().shape
    }

    /// Which of its axes counts tokens.
    pub fn token_axis(self) -> usize {
        self.axes().iter().position(|axis| *axis == Axis::T).unwrap_or(0)
    }

    /// Whether keys are an axis beside the queries.
    pub fn has_keys(self) -> bool {
        self.axes().contains(&Axis::S)
    }

    /// Whether exp, tanh, sin or cos is in its formula: libraries differ in those by some units in the last place.
    pub fn has_library_function(self) -> bool {
        matches!(self.kind(), Kind::Softcap | Kind::Softmax | Kind::Gelu | Kind::Rope)
    }

    /// Whether it is a row of numbers for each token: neither the ids nor a mask.
    pub fn is_computed(self) -> bool {
        !matches!(self.kind(), Kind::TokenIds | Kind::Mask)
    }

    /// What is the same of it in every layer and every checkpoint: its node in a model of one layer.
    fn pattern_node(self) -> &'static Node {
        let first = match self {
            Probe::Layer(_, stage) => Probe::Layer(0, stage),
            outside => outside,
        };
        Graph::of_names().node(first).unwrap_or_else(|| unreachable!("{self} is recorded by no line of gemma2"))
    }

    /// Whether `site`, a layer's number or a probe's name, includes it.
    pub fn is_at(self, site: &str) -> bool {
        self.to_string() == site || self.layer().is_some_and(|layer| layer.to_string() == site)
    }

    /// What is recorded under `path`, in a layer or outside of all.
    pub(crate) fn recorded(layer: Option<usize>, path: &str) -> Probe {
        let stage = |layer| Stage::ALL.into_iter().find(|stage| stage.path() == path).map(|s| Probe::Layer(layer, s));
        let outside = || OUTSIDE.into_iter().find(|(_, name)| *name == path).map(|(probe, _)| probe);
        layer.map_or_else(outside, stage).unwrap_or_else(|| unreachable!("{path} is the name of no probe"))
    }

    /// Its name within its layer, or outside of all: `self_attn.q_proj`, `norm`.
    pub fn path(self) -> &'static str {
        match self {
            Probe::Layer(_, stage) => stage.path(),
            outside => OUTSIDE.iter().find(|(probe, _)| *probe == outside).map_or("", |(_, name)| name),
        }
    }

    /// The layer this probe belongs to, if it belongs to one.
    pub fn layer(self) -> Option<usize> {
        match self {
            Probe::Layer(layer, _) => Some(layer),
            _ => None,
        }
    }

    /// The patterns of `probes`, each once, in their order.
    pub fn patterns(probes: impl IntoIterator<Item = Probe>) -> Vec<String> {
        let mut patterns: Vec<String> = Vec::new();
        for pattern in probes.into_iter().map(Probe::pattern) {
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        patterns
    }

    /// The name with the layer's number replaced by `{l}`, as probe-point tables write it.
    pub fn pattern(self) -> String {
        let path = self.path();
        self.layer().map_or_else(|| path.to_string(), |_| format!("layers.{{l}}.{path}"))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` so that tables can align names with `{:<32}`.
        match self.layer() {
            Some(layer) => f.pad(&format!("layers.{layer}.{}", self.path())),
            None => f.pad(self.path()),
        }
    }
}

/// The probes outside of the layers and their names.
const OUTSIDE: [(Probe, &str); 6] = [
    (Probe::TokenIds, "token_ids"),
    (Probe::EmbedRaw, "embed.raw"),
    (Probe::EmbedScaled, "embed.scaled"),
    (Probe::Norm, "norm"),
    (Probe::LogitsRaw, "logits.raw"),
    (Probe::Logits, "logits"),
];

/// A name that is no probe point.
#[derive(Debug, thiserror::Error)]
#[error("no probe point is called \"{}\"{}", crate::echo(.name), crate::hint(.nearest.as_deref()))]
pub struct UnknownProbe {
    /// The name as given.
    pub name: String,
    /// The name of a probe most like it.
    pub nearest: Option<String>,
}

impl FromStr for Probe {
    type Err = UnknownProbe;

    fn from_str(name: &str) -> Result<Probe, UnknownProbe> {
        Probe::named(name).ok_or_else(|| {
            // A layer's number alone makes no name like another.
            let stage = |name: &str| match name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
                Some((_, stage)) => stage.to_string(),
                None => name.to_string(),
            };
            // "o_proj" means "self_attn.o_proj".
            let mut names: Vec<(String, Probe)> = Vec::new();
            for probe in Probe::like(name) {
                let own = stage(&probe.to_string());
                let last = own.rsplit('.').next().unwrap_or_default().to_string();
                names.extend([(own, probe), (last, probe)]);
            }
            let nearest = nearest(&stage(name), names.iter().map(|(own, _)| own.as_str()));
            let probe = nearest.and_then(|nearest| names.iter().find(|(own, _)| own == nearest));
            UnknownProbe { name: name.to_string(), nearest: probe.map(|(_, probe)| probe.to_string()) }
        })
    }
}

impl Probe {
    /// The probe called `name`. A dump may have a million other names: none of them is likened to ours here.
    pub fn named(name: &str) -> Option<Probe> {
        Probe::like(name).find(|probe| probe.to_string() == name)
    }

    /// Those that `name` may mean: outside of the layers, or in its layer.
    fn like(name: &str) -> impl Iterator<Item = Probe> {
        let layer_part = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
        let in_layer = layer_part.and_then(|(index, _)| index.parse::<usize>().ok()).unwrap_or(0);
        OUTSIDE.map(|(probe, _)| probe).into_iter().chain(Stage::ALL.map(move |stage| Probe::Layer(in_layer, stage)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Config, gemma2};

    fn config() -> Config {
        Config::from_json(
            r#"{"model_type":"gemma2","vocab_size":8,"hidden_size":6,"intermediate_size":4,"num_hidden_layers":2,
                "num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#,
        )
        .unwrap()
    }

    #[test]
    fn names_round_trip_and_a_typo_finds_its_neighbour() {
        for probe in gemma2(&config()).probes() {
            assert_eq!(probe.to_string().parse::<Probe>().unwrap(), probe);
        }
        let error = "layers.1.mlp.gate".parse::<Probe>().unwrap_err();
        assert!(error.nearest.unwrap().starts_with("layers.1.mlp.gate"));
    }

    /// docs/probes.md has every probe in order, with its shape.
    #[test]
    fn the_page_of_probe_points_says_what_is_so() {
        let page = include_str!("../../../docs/probes.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let said: Vec<(String, String)> = rows
            .map(|row| {
                let mut cells = row.split(" | ");
                let name = cells.next().unwrap().trim_start_matches("| ").replace('`', "");
                (name, cells.next().unwrap().to_string())
            })
            .collect();
        // Every length is another's, so that each shape tells its letters.
        let config = Config::from_json(
            r#"{"model_type":"gemma2","vocab_size":13,"hidden_size":11,"intermediate_size":7,"num_hidden_layers":1,
                "num_attention_heads":6,"num_key_value_heads":3,"head_dim":4}"#,
        )
        .unwrap();
        let letters = [("T", 5), ("D", 11), ("F", 7), ("N", 6), ("K", 3), ("H", 4), ("V", 13)];
        let letter = |size: &usize| letters.iter().find(|(_, length)| length == size).unwrap().0;
        let graph = gemma2(&config);
        let is: Vec<(String, String)> = graph
            .probes()
            .map(|probe| {
                let shape: Vec<&str> = graph.shape(probe, 5).iter().map(letter).collect();
                (probe.pattern(), format!("[{}]", shape.join(", ")).replace("T, T]", "T, S]"))
            })
            .collect();
        assert_eq!(said, is);
    }
}
