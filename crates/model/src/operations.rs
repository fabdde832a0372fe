//! The table of mathematical choices. The default is Gemma 2; a mistake is a replaced entry.

use std::collections::BTreeMap;
use std::ptr::fn_addr_eq;

use burn::tensor::backend::Backend;
use loupe_spec::{Config, Dtype, Graph, Parameter, Probe, Weight};
use loupe_tensor::Tensor;

use crate::ops;
use crate::ops::mask::Mask;
use crate::ops::rope::Rotations;
use crate::{Precision, Read};

/// The numbers that Gemma 2's formulas hold. All from config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct Constants {
    /// The embedding is multiplied by this: sqrt(hidden_size).
    pub embed_scale: f64,
    /// Scores are multiplied by this: query_pre_attn_scalar^-0.5.
    pub attn_scale: f64,
    /// Cap of the scores; `None` leaves them.
    pub attn_softcap: Option<f64>,
    /// Cap of the logits; `None` leaves them.
    pub final_softcap: Option<f64>,
    /// Added to the mean square inside RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
}

impl Constants {
    /// Gemma 2's, for this checkpoint.
    pub fn of(graph: &Graph) -> Constants {
        let value = |parameter: Parameter| graph.value(parameter);
        Constants {
            embed_scale: value(Parameter::EmbedScale).unwrap_or(1.0),
            attn_scale: value(Parameter::AttnScale).unwrap_or(1.0),
            attn_softcap: value(Parameter::AttnSoftcap),
            final_softcap: value(Parameter::FinalSoftcap),
            rms_norm_eps: value(Parameter::RmsNormEps).unwrap_or(0.0),
            rope_theta: value(Parameter::RopeTheta).unwrap_or(1.0),
        }
    }

    /// The names of those that are others than in `before`.
    fn changed_from(&self, before: &Constants) -> Vec<&'static str> {
        let Constants { embed_scale, attn_scale, attn_softcap, final_softcap, rms_norm_eps, rope_theta } = self;
        let constants = [
            (Parameter::EmbedScale, *embed_scale == before.embed_scale),
            (Parameter::AttnScale, *attn_scale == before.attn_scale),
            (Parameter::AttnSoftcap, *attn_softcap == before.attn_softcap),
            (Parameter::FinalSoftcap, *final_softcap == before.final_softcap),
            (Parameter::RmsNormEps, *rms_norm_eps == before.rms_norm_eps),
            (Parameter::RopeTheta, *rope_theta == before.rope_theta),
        ];
        constants.into_iter().filter(|(_, same)| !same).map(|(parameter, _)| parameter.name()).collect()
    }

    /// Gives one of them another value; an infinite cap is none.
    pub fn set(&mut self, parameter: Parameter, value: f64) {
        let cap = Some(value).filter(|value| value.is_finite());
        match parameter {
            Parameter::EmbedScale => self.embed_scale = value,
            Parameter::AttnScale => self.attn_scale = value,
            Parameter::AttnSoftcap => self.attn_softcap = cap,
            Parameter::FinalSoftcap => self.final_softcap = cap,
            Parameter::RmsNormEps => self.rms_norm_eps = value,
            Parameter::RopeTheta => self.rope_theta = value,
        }
    }
}

/// `x` [T, in] by `weight` [out, in] → [T, out]. The weight is a chunk of the matrix, and `out` its rows.
pub type Linear<B> = fn(Tensor<B, 2>, Tensor<B, 2>, &Read, &Precision<B>) -> Tensor<B, 2>;
/// `x` [T, D], `weight` [D], eps → [T, D].
pub type RmsNorm<B> = fn(Tensor<B, 2>, Tensor<B, 1>, f64, &Precision<B>) -> Tensor<B, 2>;

// The signatures stand in full: the table is read as a document, and each occurs once.
#[allow(clippy::type_complexity)]
/// One entry for every choice that a port can get wrong. Each field's default names the function that documents it.
#[derive(Clone)]
pub struct Operations<B: Backend> {
    /// The numbers in the formulas.
    pub constants: Constants,
    /// Which probes a probe is computed from: the wiring. [`Graph::inputs`]
    pub inputs: fn(Probe, &Graph) -> Vec<Probe>,
    /// Which tensor a stage reads when it asks for one. The tensor itself.
    pub weight: fn(Weight, &Config) -> Weight,
    /// [`ops::embed::scale`]
    pub embed_scale: fn(Tensor<B, 2>, f64, &Precision<B>) -> Tensor<B, 2>,
    /// [`ops::norm::rms_norm`]
    pub rms_norm: RmsNorm<B>,
    /// [`ops::linear::linear`]
    pub linear: Linear<B>,
    /// Whether `linear` needs all rows of a matrix of this shape at once. Gemma 2 does of none: an output column depends
    /// on one row.
    pub whole: fn([usize; 2]) -> bool,
    /// [`ops::rope::rotations`]: position → cosines and sines.
    pub rotations: fn(&[usize], usize, f64, Dtype) -> Rotations,
    /// [`ops::rope::rotate_halves`]
    pub rotate: fn(Tensor<B, 3>, Tensor<B, 3>, Tensor<B, 3>, &Precision<B>) -> Tensor<B, 3>,
    /// [`ops::attention::repeat_kv`]
    pub repeat_kv: fn(Tensor<B, 3>, usize) -> Tensor<B, 3>,
    /// [`ops::attention::scores`]
    pub scores: fn(Tensor<B, 3>, Tensor<B, 3>, f64, &Precision<B>) -> Tensor<B, 3>,
    /// [`ops::softcap::softcap`], on scores.
    pub softcap_scores: fn(Tensor<B, 3>, f64, &Precision<B>) -> Tensor<B, 3>,
    /// [`Config::window`]: the window of a layer.
    pub window: fn(&Config, usize) -> Option<usize>,
    /// [`Mask::causal`]
    pub mask: fn(&[usize], Option<usize>) -> Mask,
    /// [`ops::softmax::masked_softmax`]; the last number is the scores' cap.
    pub softmax: fn(Tensor<B, 3>, &Mask, Option<f64>, &Precision<B>) -> Tensor<B, 3>,
    /// [`ops::attention::context`]
    pub context: fn(Tensor<B, 3>, Tensor<B, 3>, &Precision<B>) -> Tensor<B, 3>,
    /// [`ops::gelu::gelu_tanh`]
    pub activation: fn(Tensor<B, 2>, &Precision<B>) -> Tensor<B, 2>,
    /// [`ops::residual::multiply`]
    pub multiply: fn(Tensor<B, 2>, Tensor<B, 2>, &Precision<B>) -> Tensor<B, 2>,
    /// [`ops::softcap::softcap`], on logits.
    pub softcap_logits: fn(Tensor<B, 2>, f64, &Precision<B>) -> Tensor<B, 2>,
}

impl<B: Backend> Operations<B> {
    /// The names of the entries that are others than in `before`.
    pub fn changed_from(&self, before: &Operations<B>) -> Vec<&'static str> {
        // In full, so that a new entry is not forgotten.
        let Operations {
            constants,
            inputs,
            weight,
            embed_scale,
            rms_norm,
            linear,
            whole,
            rotations,
            rotate,
            repeat_kv,
            scores,
            softcap_scores,
            window,
            mask,
            softmax,
            context,
            activation,
            multiply,
            softcap_logits,
        } = self;
        let entries = [
            ("inputs", fn_addr_eq(*inputs, before.inputs)),
            ("weight", fn_addr_eq(*weight, before.weight)),
            ("embed_scale", fn_addr_eq(*embed_scale, before.embed_scale)),
            ("rms_norm", fn_addr_eq(*rms_norm, before.rms_norm)),
            ("linear", fn_addr_eq(*linear, before.linear)),
            ("whole", fn_addr_eq(*whole, before.whole)),
            ("rotations", fn_addr_eq(*rotations, before.rotations)),
            ("rotate", fn_addr_eq(*rotate, before.rotate)),
            ("repeat_kv", fn_addr_eq(*repeat_kv, before.repeat_kv)),
            ("scores", fn_addr_eq(*scores, before.scores)),
            ("softcap_scores", fn_addr_eq(*softcap_scores, before.softcap_scores)),
            ("window", fn_addr_eq(*window, before.window)),
            ("mask", fn_addr_eq(*mask, before.mask)),
            ("softmax", fn_addr_eq(*softmax, before.softmax)),
            ("context", fn_addr_eq(*context, before.context)),
            ("activation", fn_addr_eq(*activation, before.activation)),
            ("multiply", fn_addr_eq(*multiply, before.multiply)),
            ("softcap_logits", fn_addr_eq(*softcap_logits, before.softcap_logits)),
        ];
        let operations = entries.into_iter().filter(|(_, same)| !same).map(|(name, _)| name);
        constants.changed_from(&before.constants).into_iter().chain(operations).collect()
    }

    /// Gemma 2.
    pub fn gemma2(graph: &Graph) -> Operations<B> {
        Operations {
            constants: Constants::of(graph),
            inputs: |probe, graph| graph.inputs(probe).to_vec(),
            weight: |weight, _| weight,
            embed_scale: ops::embed::scale,
            rms_norm: ops::norm::rms_norm,
            linear: |x, weight, _, p| ops::linear::linear(x, weight, p),
            whole: |_| false,
            rotations: ops::rope::rotations,
            rotate: ops::rope::rotate_halves,
            repeat_kv: ops::attention::repeat_kv,
            scores: ops::attention::scores,
            softcap_scores: ops::softcap::softcap,
            window: Config::window,
            mask: Mask::causal,
            softmax: ops::softmax::masked_softmax,
            context: ops::attention::context,
            activation: ops::gelu::gelu_tanh,
            multiply: ops::residual::multiply,
            softcap_logits: ops::softcap::softcap,
        }
    }
}

/// The operations of every stage of every layer. They are the same everywhere in Gemma 2; a mistake may replace
/// an entry everywhere, in one layer or at one probe, and several mistakes compose.
#[derive(Clone)]
pub struct Table<B: Backend> {
    entries: BTreeMap<Probe, Operations<B>>,
}

impl<B: Backend> Table<B> {
    /// Gemma 2 everywhere.
    pub fn gemma2(graph: &Graph) -> Table<B> {
        let operations = Operations::gemma2(graph);
        Table { entries: graph.probes().map(|probe| (probe, operations.clone())).collect() }
    }

    /// Changes the operations of every probe that `at` picks.
    pub fn edit(&mut self, at: impl Fn(Probe) -> bool, mut change: impl FnMut(&mut Operations<B>)) {
        for (_, operations) in self.entries.iter_mut().filter(|(probe, _)| at(**probe)) {
            change(operations);
        }
    }

    /// The operations at `probe`; `None` where the model has no such probe.
    pub fn at(&self, probe: Probe) -> Option<&Operations<B>> {
        self.entries.get(&probe)
    }
}
