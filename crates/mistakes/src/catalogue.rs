//! The list. A new mistake is a constant in its family's file, its wrong formula if it needs one, and a line here.

use burn::tensor::backend::Backend;
use loupe_model::Wrong;

use loupe_spec::Mistake;

use crate::{embed, faults, lookup, mask, mlp, norm, rope, scores, tokens, wiring};

/// The kinds of [`Wrong`], whatever the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Instead,
    Around,
    Whole,
}

macro_rules! catalogue {
    ($($mistake:path $(=> $how:ident($formula:path))?),* $(,)?) => {
        /// Every mistake, in the order of the forward pass.
        pub static ALL: &[Mistake] = &[$($mistake),*];

        /// The wrong formula of `mistake`, if it is more than data.
        pub(crate) fn formula<B: Backend>(mistake: &Mistake) -> Option<Wrong<B>> {
            $($(if mistake.is($mistake.id, $mistake.variant) {
                return Some(Wrong::$how($formula));
            })?)*
            None
        }

        /// How the wrong formula of `mistake` stands to the right one, if it has one.
        pub(crate) fn how(mistake: &Mistake) -> Option<How> {
            $($(if mistake.is($mistake.id, $mistake.variant) {
                return Some(How::$how);
            })?)*
            None
        }
    };
}

catalogue![
    tokens::BOS_MISSING,
    tokens::BOS_TWICE,
    tokens::SPACE_PREFIX,
    embed::SCALE_MISSING,
    embed::SCALE_TWICE,
    embed::SCALE_ROUNDED,
    norm::WITHOUT_ONE => Instead(norm::without_one),
    norm::ONE_TWICE => Instead(norm::one_twice),
    norm::WEIGHT_MISSING => Instead(norm::weight_missing),
    norm::CAST_FIRST => Instead(norm::cast_first),
    norm::WEIGHT_LOW => Instead(norm::weight_low),
    norm::EPS,
    norm::EPS_NONE,
    norm::MEAN_SUBTRACTED => Around(norm::mean_subtracted),
    lookup::QKV_ORDER,
    lookup::LAYER_OFF_BY_ONE,
    lookup::WEIGHT_TRANSPOSED => Whole(lookup::weight_transposed),
    faults::Q4K_REPEATED_BLOCK => Around(faults::q4k_repeated_block),
    faults::MATMUL_ZERO_TILES => Around(faults::matmul_zero_tiles),
    rope::INTERLEAVED => Around(rope::interleaved),
    rope::LOW_PRECISION => Instead(rope::low_precision),
    rope::OFFSET => Around(rope::offset),
    rope::THETA,
    rope::QUERY_ONLY,
    rope::NEGATED => Instead(rope::negated),
    scores::GQA_TILED => Around(scores::gqa_tiled),
    scores::SCALE_HEAD_DIM,
    scores::SCALE_HIDDEN_PER_HEAD,
    scores::SCALE_MISSING,
    scores::SCALE_TWICE,
    scores::SOFTCAP_MISSING,
    scores::SOFTCAP_CONSTANT,
    scores::SOFTCAP_FORMULA => Instead(scores::softcap_formula),
    scores::SOFTCAP_PRODUCT => Instead(scores::softcap_product),
    scores::SOFTCAP_AFTER_MASK => Around(scores::softcap_after_mask),
    mask::WINDOW_PARITY,
    mask::WINDOW_EVERYWHERE,
    mask::WINDOW_NOWHERE,
    mask::WINDOW_ONE_MORE,
    mask::WINDOW_ONE_FEWER,
    mask::CAUSAL_OFF_BY_ONE => Instead(mask::causal_off_by_one),
    mask::CAUSAL_MASK_MISSING => Instead(mask::causal_mask_missing),
    wiring::PRE_NORM_MISSING,
    wiring::POST_NORM_MISSING,
    wiring::NORMS_SWAPPED,
    wiring::POST_NORM_AFTER_RESIDUAL => Around(wiring::post_norm_after_residual),
    mlp::GATE_UP_SWAPPED,
    mlp::GATE_UP_WIRING,
    mlp::GELU_ERF => Instead(mlp::gelu_erf),
    mlp::SILU => Instead(mlp::silu),
    embed::LM_HEAD_SCALED => Around(embed::lm_head_scaled),
    scores::FINAL_SOFTCAP_MISSING,
];
