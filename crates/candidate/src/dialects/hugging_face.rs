//! transformers: the outputs of its modules, and what `output_hidden_states` and `output_attentions` return. mlx-lm and candle
//! name their modules alike.

use loupe_spec::{Probe, Stage};

use super::{Dialect, Holds, l};

/// Modules of `Gemma2ForCausalLM` in modeling_gemma2.py.
pub(super) static HUGGING_FACE: Dialect = Dialect {
    name: "Hugging Face modules",
    roots: &[
        "",
        "model.",
        "model.model.",
        "model.language_model.",
        "language_model.model.",
        "base_model.model.model.",
        // torch.compile
        "_orig_mod.",
        "_orig_mod.model.",
    ],
    layers: &["layers.{l}"],
    after: &[],
    in_layer: &[
        ("", Holds::Values(&[l(Stage::Output)])),
        (".input_layernorm", Holds::Values(&[l(Stage::InputLayernorm)])),
        (".self_attn", Holds::Values(&[l(Stage::OProj)])),
        (".self_attn.q_proj", Holds::Values(&[l(Stage::QProj)])),
        (".self_attn.k_proj", Holds::Values(&[l(Stage::KProj)])),
        (".self_attn.v_proj", Holds::Values(&[l(Stage::VProj)])),
        (".self_attn.o_proj", Holds::Values(&[l(Stage::OProj)])),
        (".self_attn.q_proj.input", Holds::Values(&[l(Stage::InputLayernorm)])),
        (".self_attn.o_proj.input", Holds::Values(&[l(Stage::Context)])),
        (".self_attn.attn_weights", Holds::Values(&[l(Stage::Probs)])),
        (".self_attn.attn_output", Holds::Values(&[l(Stage::Context), l(Stage::OProj)])),
        (".post_attention_layernorm", Holds::Values(&[l(Stage::PostAttentionLayernorm)])),
        (".post_attention_layernorm.input", Holds::Values(&[l(Stage::OProj)])),
        (".pre_feedforward_layernorm", Holds::Values(&[l(Stage::PreFeedforwardLayernorm)])),
        (".pre_feedforward_layernorm.input", Holds::Values(&[l(Stage::ResidualAttn)])),
        (".mlp", Holds::Values(&[l(Stage::DownProj)])),
        (".mlp.input", Holds::Values(&[l(Stage::PreFeedforwardLayernorm)])),
        (".mlp.gate_proj", Holds::Values(&[l(Stage::GateProj)])),
        (".mlp.up_proj", Holds::Values(&[l(Stage::UpProj)])),
        (".mlp.act_fn", Holds::Values(&[l(Stage::Act)])),
        (".mlp.down_proj", Holds::Values(&[l(Stage::DownProj)])),
        (".mlp.down_proj.input", Holds::Values(&[l(Stage::Gated)])),
        (".post_feedforward_layernorm", Holds::Values(&[l(Stage::PostFeedforwardLayernorm)])),
        (".post_feedforward_layernorm.input", Holds::Values(&[l(Stage::DownProj)])),
        (".input", Holds::Values(&[l(Stage::Input)])),
        (".input_layernorm.input", Holds::Values(&[l(Stage::Input)])),
        // What no module returns, as writers/loupe.py and others who wrap functions call it.
        (".self_attn.q_rope", Holds::Values(&[l(Stage::QRope)])),
        (".self_attn.k_rope", Holds::Values(&[l(Stage::KRope)])),
        (".self_attn.scores", Holds::Values(&[l(Stage::Scores)])),
        (".self_attn.scores_capped", Holds::Values(&[l(Stage::ScoresCapped)])),
        (".self_attn.probs", Holds::Values(&[l(Stage::Probs)])),
        (".self_attn.context", Holds::Values(&[l(Stage::Context)])),
        (".residual_attn", Holds::Values(&[l(Stage::ResidualAttn)])),
        (".mlp.gated", Holds::Values(&[l(Stage::Gated)])),
        (".self_attn.rotary_emb", Holds::Nothing("cosines and sines, which the check \"rope\" shows")),
    ],
    elsewhere: &[
        ("input_ids", Holds::Values(&[Probe::TokenIds])),
        ("embed_tokens", Holds::Values(&[Probe::EmbedRaw])),
        ("inputs_embeds", Holds::Values(&[Probe::EmbedScaled])),
        ("norm", Holds::Values(&[Probe::Norm])),
        ("last_hidden_state", Holds::Values(&[Probe::Norm])),
        ("lm_head", Holds::Values(&[Probe::LogitsRaw])),
        ("lm_head.input", Holds::Values(&[Probe::Norm])),
        ("logits", Holds::Values(&[Probe::Logits])),
        ("hidden_states.{l}", Holds::HiddenState),
        ("hidden_state.{l}", Holds::HiddenState),
        // Of generate(): the first of its steps is the prompt.
        ("hidden_states.0.{l}", Holds::HiddenState),
        ("hidden_states", Holds::HiddenStates),
        ("all_hidden_states", Holds::HiddenStates),
        ("attentions.{l}", Holds::Values(&[l(Stage::Probs)])),
        ("attention.{l}", Holds::Values(&[l(Stage::Probs)])),
        ("rotary_emb", Holds::Nothing("cosines and sines, which the check \"rope\" shows")),
    ],
    tails: &["output", "out", "0", "output_0", "out_0"],
};
