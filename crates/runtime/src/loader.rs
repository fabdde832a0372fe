//! The model's source of weights: rows of memory-mapped files, read ahead and converted on the host, put on the device.

use std::sync::mpsc::sync_channel;
use std::thread::Scope;

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use loupe_backends::Opened;
use loupe_checkpoint::{CheckpointError, RowSelection, Tensors};
use loupe_model::{Read, Reads, WeightError, Weights};
use loupe_spec::{Dtype, HostTensor, Weight};
use loupe_tensor::Tensor;

use crate::host::{to_data, upload};
use crate::progress::{Progress, Taken};

/// How many reads lie ready beside the one in use: with one the reader would wait while it is taken.
const AHEAD: usize = 2;

/// Reads what it is asked for and keeps nothing. A long list is read ahead by a thread of `scope`, while the device computes.
pub struct Loader<'scope, 'env, B: Backend> {
    /// The checkpoint's files.
    pub tensors: &'env Tensors,
    /// The model's dtype: weights are rounded to it as transformers' `from_pretrained(dtype=…)` does, and held in it.
    pub dtype: Dtype,
    pub backend: &'env Opened<B>,
    pub scope: &'scope Scope<'scope, 'env>,
    /// From so many elements in a list on, they are read ahead.
    pub ahead_from: usize,
    /// Told how many elements have been taken.
    pub progress: Option<Progress<'env>>,
}

impl<B: Backend> Loader<'_, '_, B> {
    /// Whether `weight` goes up as bf16 and becomes f32 on the device.
    fn goes_up_as_bf16(&self, weight: Weight) -> bool {
        let stored = self.tensors.entry(weight).map(|entry| entry.dtype);
        (self.dtype, stored.ok()) == (Dtype::F32, Some(Dtype::Bf16)) && self.backend.widen_bf16.is_some()
    }

    /// The dtype in which `weight` leaves the host.
    fn host_dtype(&self, weight: Weight) -> Dtype {
        if self.goes_up_as_bf16(weight) { Dtype::Bf16 } else { self.dtype }
    }

    fn put(&self, weight: Weight, host: HostTensor) -> FloatTensor<B> {
        match self.backend.widen_bf16 {
            Some(widen) if self.goes_up_as_bf16(weight) => widen(to_data(host), &self.backend.device),
            _ => upload::<B, 2>(host, self.dtype, &self.backend.device).into_primitive(),
        }
    }
}

impl<B: Backend> Weights<B> for Loader<'_, '_, B> {
    fn read(&self, reads: Vec<Read>) -> Reads<'_, B> {
        let mut taken = Taken::of(&reads, self.progress);
        let asked: Vec<(Read, Dtype)> = reads.into_iter().map(|r| (r.clone(), self.host_dtype(r.weight))).collect();
        let tensors = self.tensors;
        let on_host = move |(read, dtype): (Read, Dtype)| {
            let rows = if read.of.len() > 1 { RowSelection::Range(read.rows.clone()) } else { RowSelection::All };
            let host = tensors.read(read.weight, rows, dtype);
            (read, host)
        };
        let hosts: Box<dyn Iterator<Item = (Read, Result<HostTensor, CheckpointError>)>> =
            if taken.total() < self.ahead_from {
                Box::new(asked.into_iter().map(on_host))
            } else {
                let (sender, receiver) = sync_channel(AHEAD);
                self.scope.spawn(move || {
                    for host in asked.into_iter().map(on_host) {
                        // Nobody listens any more: the run has ended.
                        if sender.send(host).is_err() {
                            return;
                        }
                    }
                });
                Box::new(receiver.into_iter())
            };
        Box::new(hosts.map(move |(read, host)| {
            let host = host?;
            taken.add(&read);
            Ok(self.put(read.weight, host))
        }))
    }

    fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError> {
        let host = self.tensors.read(weight, RowSelection::List(indices), self.host_dtype(weight))?;
        Ok(Tensor::from_primitive(self.put(weight, host)))
    }
}
