//! The built-in model's weights: random, at scales at which every step of Gemma 2 changes the answer.
//!
//! | choice | what it shows |
//! |---|---|
//! | D 60 | sqrt(60) is inexact in bf16 and in f32: the embedding scale's rounding shows |
//! | H 16, D / N 15, query_pre_attn_scalar 24 | three candidates for the query scale, all different |
//! | K 2 of N 4 | sharing heads, and sharing them in the wrong order, differ |
//! | window 4, below the default prompt's length | sliding and full layers differ |
//! | scores of rms 4 under a cap of 5, logits of rms 3 under a cap of 3 | both caps bind |
//! | norm weights of rms 0.3 | `1 + w` is not `w`, and is not 1 |
//! | residual stream of rms 3 to 5, each block's normed output of rms 1 | every layer contributes |

use loupe_spec::{Config, Graph, Weight};

use crate::CheckpointError;
use crate::prng::fill_bf16;
use crate::random::{bf16_header, seed_of};

const SEED: u64 = 2;

/// model.safetensors of the checkpoint `name`, all bf16, as the published checkpoints are.
pub(super) fn safetensors(name: &str, config: &str) -> Result<Vec<u8>, CheckpointError> {
    let path = || name.into();
    let config = Config::from_json(config).map_err(|source| CheckpointError::Config { path: path(), source })?;
    let graph = Graph::of(&config);
    let weights: Vec<Weight> = graph.weights().collect();
    let mut file =
        bf16_header(&weights, &graph).map_err(|source| CheckpointError::Io { doing: "make", path: path(), source })?;
    for weight in weights {
        let mut data = vec![0; graph.weight_shape(weight).iter().product::<usize>() * 2];
        fill_bf16(&mut data, std(weight), seed_of(weight, SEED), 0);
        file.append(&mut data);
    }
    Ok(file)
}

fn std(weight: Weight) -> f32 {
    match weight.path() {
        // Times sqrt(60) both into the residual stream and, tied, from the final norm to the logits: 3 each.
        "embed_tokens" | "lm_head" => 0.39,
        _ if weight.is_norm() => 0.3,
        // Queries and keys of rms 2.2: scores of sqrt(16) * 2.2^2 / sqrt(24).
        "self_attn.q_proj" | "self_attn.k_proj" => 0.27,
        // Into the curved part of GELU, which is within about 2 of 0.
        "mlp.gate_proj" => 0.22,
        _ => 0.15,
    }
}
