//! Mistakes of rotary position embedding.

use burn::tensor::backend::Backend;
use loupe_model::ops::rope::{Rotations, rotate_halves, rotations};
use loupe_model::{Call, Computed, Right};
use loupe_spec::{Change, Dtype, Formula, Kind, Mistake, MistakeKind, Op, Probe};

use crate::cite::right;

fn is_rope(probe: Probe) -> bool {
    probe.kind() == Kind::Rope
}

pub(crate) const INTERLEAVED: Mistake = Mistake {
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
    changes: &[],
};

/// Putting the even lanes before the odd ones makes neighbours of halves; afterwards they go back.
pub(crate) fn interleaved<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let x = call.three(0)?;
    let [t, n, h] = x.dims();
    let apart = x.reshape([t, n, h / 2, 2]).swap_dims(2, 3).reshape([t, n, h]);
    let rotated = right(&call.with_inputs(vec![apart.into()]))?;
    Ok(rotated.map(|x| x, |x| x.reshape([t, n, 2, h / 2]).swap_dims(2, 3).reshape([t, n, h])))
}

pub(crate) const LOW_PRECISION: Mistake = Mistake {
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
    changes: &[],
};

pub(crate) fn low_precision<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    let Some(mut tables) = tables(call) else { return call.any(0) };
    let half = tables.inv_freq.len();
    for (at, angle) in tables.angles.iter_mut().enumerate() {
        let position = Dtype::Bf16.round(call.positions[at / half] as f64);
        *angle = Dtype::Bf16.round(position * Dtype::Bf16.round(tables.inv_freq[at % half]));
    }
    tables.cos = tables.angles.iter().map(|a| a.cos()).collect();
    tables.sin = tables.angles.iter().map(|a| a.sin()).collect();
    let [cos, sin] = call.rotations(tables);
    Ok(rotate_halves(call.three(0)?, cos, sin, call.p).into())
}

pub(crate) const OFFSET: Mistake = Mistake {
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
    changes: &[],
};

pub(crate) fn offset<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let shifted: Vec<usize> = call.positions.iter().map(|position| position + 1).collect();
    right(&Call { positions: &shifted, ..call.clone() })
}

pub(crate) const THETA: Mistake = Mistake {
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
    changes: &[Change::Config(|config, _| config.rope_theta = 1e6)],
};

pub(crate) const QUERY_ONLY: Mistake = Mistake {
    id: "rope_query_only",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "Keys are left unrotated.",
    seen_in: "no public port known; likely in ports that share RoPE with another family",
    formula: Formula { right: "q = rotate(q, angle); k = rotate(k, angle)", wrong: "q = rotate(q, angle)" },
    right: right!("crates/spec/src/gemma2.rs", "let k = g.rope(\"self_attn.k_rope\", k, c.rope_theta);"),
    hidden_when: "the prompt has one token",
    at: |probe| probe.path() == "self_attn.k_rope",
    changes: &[Change::Node(|node, _| node.op = Op::Same)],
};

pub(crate) const NEGATED: Mistake = Mistake {
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
        "[p.to_storage(times(&a, &cos) - times(&b, &sin)), p.to_storage(times(&b, &cos) + times(&a, &sin))]"
    ),
    hidden_when: "the prompt has one token",
    at: is_rope,
    changes: &[],
};

pub(crate) fn negated<B: Backend>(call: &Call<'_, B>) -> Computed<B> {
    let Some(tables) = tables(call) else { return call.any(0) };
    let [cos, sin] = call.rotations(tables);
    Ok(rotate_halves(call.three(0)?, cos, -sin, call.p).into())
}

/// Gemma's own, where the operation is a rotation.
fn tables<B: Backend>(call: &Call<'_, B>) -> Option<Rotations> {
    let Op::Rope { theta } = call.node.op else { return None };
    Some(rotations(call.positions, call.graph.config().head_dim, theta, call.p.compute_dtype()))
}
