//! A SHA-256 that stands for a whole tensor: what the table of embeddings holds and what its scale makes of it are no matter of
//! summation order, so that whoever computes them right has the same bits, and whoever has the same bits has computed them.

use std::collections::BTreeSet;

use loupe_spec::{Dtype, Given, HostTensor, Probe, Replay, ReplayError, Replayer, Simulation, Trace, Values};
use sha2::{Digest, Sha256};

/// The tensor of f32 values with the `digest` that an engine gives of `probe`; `None`: it is not of these tokens' embeddings,
/// scaled rightly, not at all, or twice, in any type.
///
/// # Errors
/// What the replayer says.
pub fn tensor_of(
    digest: &str,
    probe: Probe,
    token_ids: &HostTensor,
    replayer: &dyn Replayer,
) -> Result<Option<HostTensor>, ReplayError> {
    let Some(raw) = probe.beside("embed.raw").filter(|_| probe.is_embedding()) else {
        return Ok(None);
    };
    let start = Trace::from([(Probe::TOKEN_IDS, token_ids.clone())]);
    let wanted = BTreeSet::from([raw]);
    let (given, simulation) = (Given::whole(&start), Simulation::exact());
    let mut rows = replayer.replay(Replay { given, wanted: &wanted, mistakes: &[], simulation })?;
    let Some(HostTensor { shape, values }) = rows.remove(&raw) else { return Ok(None) };
    let rows = values.to_f64();
    let scale = (replayer.graph().config().hidden_size as f64).sqrt();
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        // The scale is a number of the compute type or of a wider one, or was rounded to bf16 whatever that is.
        let scales = [dtype.round(scale), Dtype::Bf16.round(scale), Dtype::F32.round(scale), scale];
        let once = scales.map(|scale| scaled(&rows, scale, dtype));
        let twice = once.iter().zip(scales).map(|(once, scale)| scaled(once, scale, dtype));
        // By both at once where it is twice, too.
        let others = [1.0, scale * scale].map(|scale| scaled(&rows, scale, dtype));
        for values in once.iter().cloned().chain(others).chain(twice) {
            let values = Values::F64(values).to_dtype(Dtype::F32);
            if hex(&values) == digest.to_ascii_lowercase() {
                return Ok(Some(HostTensor { shape, values }));
            }
        }
    }
    Ok(None)
}

fn scaled(values: &[f64], scale: f64, dtype: Dtype) -> Vec<f64> {
    values.iter().map(|value| dtype.round(dtype.round(*value) * scale)).collect()
}

fn hex(values: &Values) -> String {
    Sha256::digest(values.to_le_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
