//! vLLM: the outputs of its modules, several of which return two tensors (`.0` and `.1`).

use loupe_spec::{Probe, Stage};

use super::{Dialect, Holds, l};

/// Modules of `Gemma2ForCausalLM`. A norm that is given a residual returns the normed sum and the sum; a layer returns what its
/// MLP adds and the residual that it is still to be added to.
pub(super) static VLLM: Dialect = Dialect {
    name: "vLLM modules",
    roots: &["", "model."],
    layers: &["layers.{l}."],
    after: &[],
    in_layer: &[
        ("input_layernorm.0", Holds::Values(&[l(Stage::InputLayernorm)])),
        ("input_layernorm.1", Holds::Values(&[l(Stage::Input)])),
        ("self_attn.qkv_proj", Holds::Fused(&[Stage::QProj, Stage::KProj, Stage::VProj])),
        ("self_attn.qkv_proj.0", Holds::Fused(&[Stage::QProj, Stage::KProj, Stage::VProj])),
        ("self_attn.rotary_emb.0", Holds::Values(&[l(Stage::QRope)])),
        ("self_attn.rotary_emb.1", Holds::Values(&[l(Stage::KRope)])),
        ("self_attn.attn", Holds::Values(&[l(Stage::Context)])),
        ("self_attn.o_proj.0", Holds::Values(&[l(Stage::OProj)])),
        ("pre_feedforward_layernorm.0", Holds::Values(&[l(Stage::PreFeedforwardLayernorm)])),
        ("pre_feedforward_layernorm.1", Holds::Values(&[l(Stage::ResidualAttn)])),
        ("mlp.gate_up_proj", Holds::Fused(&[Stage::GateProj, Stage::UpProj])),
        ("mlp.gate_up_proj.0", Holds::Fused(&[Stage::GateProj, Stage::UpProj])),
        ("mlp.act_fn", Holds::Values(&[l(Stage::Gated)])),
        ("mlp.down_proj.0", Holds::Values(&[l(Stage::DownProj)])),
        ("0", Holds::Values(&[l(Stage::PostFeedforwardLayernorm), l(Stage::Output)])),
        ("1", Holds::Values(&[l(Stage::ResidualAttn)])),
    ],
    elsewhere: &[("norm.0", Holds::Values(&[Probe::Norm])), ("logits_processor", Holds::Values(&[Probe::Logits]))],
    tails: &[],
};
