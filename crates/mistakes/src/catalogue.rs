//! The list. A new mistake is a type that implements [`Plant`] in its family's file, and a line here.

use burn::tensor::backend::Backend;
use loupe_model::Operations;
use loupe_spec::Config;

use crate::{Mistake, Plant, embed, faults, lookup, mask, mlp, norm, rope, scores, tokens, wiring};

macro_rules! catalogue {
    ($($mistake:path),* $(,)?) => {
        /// Every mistake, in the order of the forward pass.
        pub static ALL: &[Mistake] = &[$(<$mistake as Plant>::ABOUT),*];

        /// Replaces what `mistake` replaces in one probe's operations.
        pub(crate) fn plant<B: Backend>(mistake: &Mistake, operations: &mut Operations<B>, config: &Config) {
            $(if <$mistake as Plant>::ABOUT.name() == mistake.name() {
                <$mistake as Plant>::plant(operations, config);
            })*
        }
    };
}

catalogue![
    tokens::BosMissing,
    tokens::BosTwice,
    tokens::SpacePrefix,
    embed::ScaleMissing,
    embed::ScaleTwice,
    embed::ScaleRounded,
    norm::WithoutOne,
    norm::OneTwice,
    norm::WeightMissing,
    norm::CastFirst,
    norm::WeightLow,
    norm::Eps,
    norm::EpsNone,
    norm::MeanSubtracted,
    lookup::QkvOrder,
    lookup::LayerOffByOne,
    lookup::WeightTransposed,
    faults::Q4kRepeatedBlock,
    faults::MatmulZeroTiles,
    rope::Interleaved,
    rope::LowPrecision,
    rope::Offset,
    rope::Theta,
    rope::QueryOnly,
    rope::Negated,
    scores::GqaTiled,
    scores::ScaleHeadDim,
    scores::ScaleHiddenPerHead,
    scores::ScaleMissing,
    scores::ScaleTwice,
    scores::SoftcapMissing,
    scores::SoftcapConstant,
    scores::SoftcapFormula,
    scores::SoftcapProduct,
    scores::SoftcapAfterMask,
    mask::WindowParity,
    mask::WindowEverywhere,
    mask::WindowNowhere,
    mask::WindowOneMore,
    mask::WindowOneFewer,
    mask::CausalOffByOne,
    mask::CausalMaskMissing,
    wiring::PreNormMissing,
    wiring::PostNormMissing,
    wiring::NormsSwapped,
    wiring::PostNormAfterResidual,
    mlp::GateUpSwapped,
    mlp::GateUpWiring,
    mlp::GeluErf,
    mlp::Silu,
    embed::LmHeadScaled,
    scores::FinalSoftcapMissing,
];
