//! Tolerances that others decide by, and a user's own.

use crate::{Dtype, Kind};

/// A rule that says of two tensors whether they are near enough.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// `torch.testing.assert_close` with the tolerances of the candidate's dtype.
    Torch,
    /// `polygraphy run` with its defaults.
    Polygraphy,
    /// `test-backend-ops` of llama.cpp.
    LlamaNmse,
    /// The boundary tolerances of Doppler, an engine on WebGPU.
    Doppler,
    /// Numbers of a user's own, all of which have to hold.
    Own(Vec<(Figure, f64)>),
}

impl Policy {
    /// Those with a name.
    pub const NAMED: [Policy; 4] = [Policy::Torch, Policy::Polygraphy, Policy::LlamaNmse, Policy::Doppler];

    /// The name in configs, and `own`.
    pub fn name(&self) -> &'static str {
        match self {
            Policy::Torch => "torch",
            Policy::Polygraphy => "polygraphy",
            Policy::LlamaNmse => "llama-nmse",
            Policy::Doppler => "doppler",
            Policy::Own(_) => "own",
        }
    }

    /// What has to hold of a stage that one operation of this `kind` computes (`None`: several, or values that no forward pass
    /// computes), of a candidate in `dtype`. `fused`: it takes several operations from what was recorded before it.
    ///
    /// | policy | source |
    /// |---|---|
    /// | torch | `torch.testing._comparison._DTYPE_PRECISIONS` (2.15) |
    /// | polygraphy | `polygraphy.comparator.compare.SimpleCompareFunc` (0.53): "elemwise", 1e-5 and 1e-5 |
    /// | llama-nmse | llama.cpp's test-backend-ops: `max_nmse_err` of `test_case`, `test_mul_mat`, `test_flash_attn_ext`, `test_soft_max` |
    /// | doppler | clocksmith/doppler, its boundary evidence policy: source-f32-v1, source-f16-v1 |
    pub fn rules(&self, kind: Option<Kind>, fused: bool, dtype: Dtype) -> Vec<Rule> {
        match self {
            Policy::Torch => {
                let (rtol, atol) = match dtype {
                    Dtype::F16 => (1e-3, 1e-5),
                    Dtype::Bf16 => (1.6e-2, 1e-5),
                    Dtype::F64 => (1e-7, 1e-7),
                    _ => (1.3e-6, 1e-5),
                };
                vec![Rule::Close { rtol, atol }]
            }
            Policy::Polygraphy => vec![Rule::Either(1e-5)],
            Policy::LlamaNmse => {
                let most = match kind {
                    // What is fused there has the limit of a product.
                    _ if fused => 5e-4,
                    Some(Kind::Linear | Kind::Scores | Kind::Context) => 5e-4,
                    Some(Kind::Softmax) => 1e-6,
                    _ => 1e-7,
                };
                vec![Rule::Figure(Figure::Nmse, most)]
            }
            Policy::Doppler => {
                vec![Rule::Either(if matches!(dtype, Dtype::F16 | Dtype::Bf16) { 2e-3 } else { 1e-5 })]
            }
            Policy::Own(limits) => {
                let limit = |figure: Figure| limits.iter().find(|(own, _)| *own == figure).map(|(_, limit)| *limit);
                let (rtol, atol) = (limit(Figure::Rtol), limit(Figure::Atol));
                let close = (rtol.is_some() || atol.is_some())
                    .then(|| Rule::Close { rtol: rtol.unwrap_or(0.0), atol: atol.unwrap_or(0.0) });
                let others = limits.iter().filter(|(figure, _)| !matches!(figure, Figure::Rtol | Figure::Atol));
                close.into_iter().chain(others.map(|(figure, limit)| Rule::Figure(*figure, *limit))).collect()
            }
        }
    }
}

/// One thing that has to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// |difference| ≤ `atol` + `rtol` · |reference|, of each value.
    Close {
        /// The relative one.
        rtol: f64,
        /// The absolute one.
        atol: f64,
    },
    /// |difference| ≤ this, or ≤ this · |reference|, of each value.
    Either(f64),
    /// This figure of the whole tensor is no more than that, or no less where [`Figure::is_likeness`].
    Figure(Figure, f64),
}

/// A number that a user may set a limit for. All but the first two are figures that a verdict has of each stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the figure of a verdict that it names
pub enum Figure {
    Rtol,
    Atol,
    MaxAbs,
    MaxRel,
    RelativeL2,
    Cosine,
    Ulp,
    Nmse,
    Kl,
    Top1Agreement,
    Top5Agreement,
}

impl Figure {
    /// Every figure.
    pub const ALL: [Figure; 11] = [
        Figure::Rtol,
        Figure::Atol,
        Figure::MaxAbs,
        Figure::MaxRel,
        Figure::RelativeL2,
        Figure::Cosine,
        Figure::Ulp,
        Figure::Nmse,
        Figure::Kl,
        Figure::Top1Agreement,
        Figure::Top5Agreement,
    ];

    /// The name in configs and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Figure::Rtol => "rtol",
            Figure::Atol => "atol",
            Figure::MaxAbs => "max_abs",
            Figure::MaxRel => "max_rel",
            Figure::RelativeL2 => "relative_l2",
            Figure::Cosine => "cosine",
            Figure::Ulp => "ulp",
            Figure::Nmse => "nmse",
            Figure::Kl => "kl",
            Figure::Top1Agreement => "top1_agreement",
            Figure::Top5Agreement => "top5_agreement",
        }
    }

    /// Whether it is 1 where nothing differs, so that a limit is the least that is allowed.
    pub const fn is_likeness(self) -> bool {
        matches!(self, Figure::Cosine | Figure::Top1Agreement | Figure::Top5Agreement)
    }
}
