//! Mistakes of rotary position embedding.

use burn::tensor::backend::Backend;
use loupe_model::{Operations, Precision, ops};
use loupe_spec::{Config, Dtype, Kind, Probe, Stage};
use loupe_tensor::Tensor;

use crate::{Formula, Mistake, MistakeKind, Plant, in_stages, right};

fn is_rope(probe: Probe) -> bool {
    probe.kind() == Kind::Rope
}

/// Lanes 2i and 2i + 1 are rotated together, where Gemma rotates lane i with lane i + head_dim/2.
pub(crate) struct Interleaved;

impl Plant for Interleaved {
    const ABOUT: Mistake = Mistake {
        id: "rope_interleaved",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Lanes 2i and 2i + 1 are rotated together, where Gemma rotates lane i with lane i + head_dim/2.",
        seen_in: "AiDotNet #2074; tt-metal #26844; nanotron #427",
        formula: Formula {
            right: "a, b = x[i], x[i + head_dim/2]; x[i] = a*cos - b*sin; x[i + head_dim/2] = b*cos + a*sin",
            wrong: "a, b = x[2i], x[2i + 1]; x[2i] = a*cos - b*sin; x[2i + 1] = b*cos + a*sin",
        },
        right: right!("crates/model/src/ops/rope.rs", "let second = x.narrow(2, h / 2, h / 2);"),
        hidden_when: "the prompt has one token: position 0 rotates by nothing",
        at: is_rope,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rotate = rotate_neighbours;
    }
}

/// The paper's pairing: lanes 2i are the first half, lanes 2i + 1 the second.
fn rotate_neighbours<B: Backend>(
    x: Tensor<B, 3>,
    cos: Tensor<B, 3>,
    sin: Tensor<B, 3>,
    p: &Precision<B>,
) -> Tensor<B, 3> {
    let [t, n, h] = x.dims();
    let apart = x.reshape([t, n, h / 2, 2]).swap_dims(2, 3).reshape([t, n, h]);
    let rotated = ops::rope::rotate_halves(apart, cos, sin, p);
    rotated.reshape([t, n, 2, h / 2]).swap_dims(2, 3).reshape([t, n, h])
}

/// Positions, frequencies and angles are held in bf16.
pub(crate) struct LowPrecision;

impl Plant for LowPrecision {
    const ABOUT: Mistake = Mistake {
        id: "rope_low_precision",
        variant: None,
        kind: MistakeKind::DtypePolicy,
        what: "Positions, frequencies and angles are held in bf16.",
        seen_in: "transformers #29285; keras-hub #1494",
        formula: Formula {
            right: "angle = position * rope_theta^(-2i / head_dim), in f32",
            wrong: "angle = position * rope_theta^(-2i / head_dim), each factor and the product in bf16",
        },
        right: right!(
            "crates/model/src/ops/rope.rs",
            "let angles = outer(positions, &inv_freq, |position, frequency| position as f32 * frequency);"
        ),
        hidden_when: "the prompt has one token",
        at: is_rope,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rotations = |positions, head_dim, theta, wide| {
            let mut tables = ops::rope::rotations(positions, head_dim, theta, wide);
            let half = head_dim / 2;
            for (at, angle) in tables.angles.iter_mut().enumerate() {
                let position = Dtype::Bf16.round(positions[at / half] as f64);
                *angle = Dtype::Bf16.round(position * Dtype::Bf16.round(tables.inv_freq[at % half]));
            }
            tables.cos = tables.angles.iter().map(|a| a.cos()).collect();
            tables.sin = tables.angles.iter().map(|a| a.sin()).collect();
            tables
        };
    }
}

/// Positions start at 1.
pub(crate) struct Offset;

impl Plant for Offset {
    const ABOUT: Mistake = Mistake {
        id: "rope_offset",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Positions start at 1.",
        seen_in: "gemma.cpp 7f62c26; mlx-vlm #1983",
        formula: Formula {
            right: "angle = position * rope_theta^(-2i / head_dim)",
            wrong: "angle = (position + 1) * rope_theta^(-2i / head_dim)",
        },
        right: right!(
            "crates/model/src/ops/rope.rs",
            "let angles = outer(positions, &inv_freq, |position, frequency| position as f32 * frequency);"
        ),
        hidden_when: "neither q_rope nor k_rope is recorded: scores depend on distances alone",
        at: is_rope,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rotations = |positions, head_dim, theta, wide| {
            let shifted: Vec<usize> = positions.iter().map(|position| position + 1).collect();
            ops::rope::rotations(&shifted, head_dim, theta, wide)
        };
    }
}

/// The base of the frequencies is 1e6, the global base of a later Gemma.
pub(crate) struct Theta;

impl Plant for Theta {
    const ABOUT: Mistake = Mistake {
        id: "rope_theta",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The base of the frequencies is 1e6, the global base of a later Gemma.",
        seen_in: "no public port known; likely in ports that share RoPE with another family",
        formula: Formula {
            right: "angle = position * rope_theta^(-2i / head_dim)",
            wrong: "angle = position * 1e6^(-2i / head_dim)",
        },
        right: right!("crates/spec/src/gemma2.rs", "let q = g.rope(\"self_attn.q_rope\", q, c.rope_theta);"),
        hidden_when: "the prompt has one token",
        at: is_rope,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.constants.rope_theta = 1e6;
    }
}

/// Keys are left unrotated.
pub(crate) struct QueryOnly;

impl Plant for QueryOnly {
    const ABOUT: Mistake = Mistake {
        id: "rope_query_only",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "Keys are left unrotated.",
        seen_in: "no public port known; likely in ports that share RoPE with another family",
        formula: Formula { right: "q = rotate(q, angle); k = rotate(k, angle)", wrong: "q = rotate(q, angle)" },
        right: right!("crates/spec/src/gemma2.rs", "let k = g.rope(\"self_attn.k_rope\", k, c.rope_theta);"),
        hidden_when: "the prompt has one token",
        at: |probe| in_stages(probe, &[Stage::KRope]),
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rotate = |x, _cos, _sin, _p| x;
    }
}

/// The rotation goes the other way.
pub(crate) struct Negated;

impl Plant for Negated {
    const ABOUT: Mistake = Mistake {
        id: "rope_negated",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The rotation goes the other way.",
        seen_in: "no public port known; likely in ports that share RoPE with another family",
        formula: Formula {
            right: "a, b = x[i], x[i + head_dim/2]; x[i] = a*cos - b*sin; x[i + head_dim/2] = b*cos + a*sin",
            wrong: "a, b = x[i], x[i + head_dim/2]; x[i] = a*cos + b*sin; x[i + head_dim/2] = b*cos - a*sin",
        },
        right: right!(
            "crates/model/src/ops/rope.rs",
            "[p.store(times(&a, &cos) - times(&b, &sin)), p.store(times(&b, &cos) + times(&a, &sin))]"
        ),
        hidden_when: "the prompt has one token",
        at: is_rope,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.rotate = |x, cos, sin, p| ops::rope::rotate_halves(x, cos, -sin, p);
    }
}
