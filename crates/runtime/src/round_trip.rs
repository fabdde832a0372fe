//! Tensors of the checkpoint to the device and back.

use burn::tensor::backend::Backend;
use loupe_backends::{Info, Opened, Spec, Task, dispatch};
use loupe_checkpoint::{RowSelection, Tensors};
use loupe_spec::{Dtype, HostTensor, Values, Weight};

use crate::RuntimeError;
use crate::host::{download, upload};

/// What comes back of each of `weights` from the backend of `spec`, in its dtype.
///
/// # Errors
/// What the backend or the checkpoint says.
pub fn round_trip(spec: &Spec, tensors: &Tensors, weights: &[Weight]) -> Result<(Vec<HostTensor>, Info), RuntimeError> {
    dispatch(spec, RoundTrip { tensors, weights, dtype: spec.dtype })?
}

struct RoundTrip<'a> {
    tensors: &'a Tensors,
    weights: &'a [Weight],
    dtype: Dtype,
}

impl Task for RoundTrip<'_> {
    type Output = Result<(Vec<HostTensor>, Info), RuntimeError>;

    fn run<B: Backend>(self, backend: Opened<B>) -> Self::Output {
        let limit = backend.max_tensor_bytes.unwrap_or(usize::MAX);
        let mut back = Vec::new();
        for weight in self.weights {
            let shape = self.tensors.entry(*weight)?.shape.to_vec();
            let row_bytes = shape.iter().skip(1).product::<usize>() * self.dtype.size();
            let rows = shape.first().copied().unwrap_or(0);
            if rows * row_bytes <= limit || shape.len() == 1 {
                back.push(self.trip::<B>(&backend, *weight, RowSelection::All)?);
                continue;
            }
            // Larger than the device holds at once (the embedding table): in row chunks.
            let chunk = (limit / row_bytes.max(1)).max(1);
            let mut values = Vec::new();
            for start in (0..rows).step_by(chunk) {
                let part = self.trip::<B>(&backend, *weight, RowSelection::Range(start..rows.min(start + chunk)))?;
                values.extend_from_slice(&part.values.le_bytes());
            }
            back.push(HostTensor { shape, values: Values::from_le_bytes(self.dtype, &values) });
        }
        B::sync(&backend.device).map_err(|error| RuntimeError::Device(error.to_string()))?;
        Ok((back, backend.info))
    }
}

impl RoundTrip<'_> {
    fn trip<B: Backend>(
        &self,
        backend: &Opened<B>,
        weight: Weight,
        rows: RowSelection<'_>,
    ) -> Result<HostTensor, RuntimeError> {
        let host = self.tensors.read(weight, rows, self.dtype)?;
        Ok(match host.shape.len() {
            1 => download(upload::<B, 1>(host, self.dtype, &backend.device)),
            _ => download(upload::<B, 2>(host, self.dtype, &backend.device)),
        })
    }
}
