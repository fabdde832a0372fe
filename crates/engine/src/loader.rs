//! The model's source of weights: rows of memory-mapped files, read ahead and converted on the host, put on the device.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use burn::tensor::backend::Backend;
use loupe_backends::Engine;
use loupe_checkpoint::{CheckpointError, Rows, Tensors};
use loupe_model::{Read, WeightError, Weights};
use loupe_spec::{Dtype, HostTensor, Weight};
use loupe_tensor::Tensor;

use crate::Progress;
use crate::host::{to_data, upload};

/// How many reads lie ready beside the one in use: with one the reader would wait while it is taken.
const AHEAD: usize = 2;

/// Reads what it is asked for and keeps nothing. What was announced is read ahead by a thread of `scope`, while the
/// device computes.
pub struct Loader<'scope, 'env, B: Backend> {
    /// The checkpoint's files.
    tensors: &'env Tensors,
    /// The model's dtype: weights are rounded to it as transformers' `from_pretrained(dtype=…)` does, and held in it.
    dtype: Dtype,
    engine: &'env Engine<B>,
    scope: &'scope Scope<'scope, 'env>,
    /// From so many announced elements on, they are read ahead.
    ahead_from: usize,
    ahead: Mutex<Option<Receiver<Ready>>>,
    /// Told how many of the announced elements have been taken.
    progress: Option<Progress<'env>>,
    taken: AtomicUsize,
    announced: AtomicUsize,
}

/// Something read ahead.
type Ready = (Read, Result<HostTensor, CheckpointError>);

impl<'scope, 'env, B: Backend> Loader<'scope, 'env, B> {
    pub fn new(
        tensors: &'env Tensors,
        dtype: Dtype,
        engine: &'env Engine<B>,
        scope: &'scope Scope<'scope, 'env>,
        ahead_from: usize,
        progress: Option<Progress<'env>>,
    ) -> Loader<'scope, 'env, B> {
        let (taken, announced) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Loader { tensors, dtype, engine, scope, ahead_from, ahead: Mutex::new(None), progress, taken, announced }
    }

    fn ahead(&self) -> MutexGuard<'_, Option<Receiver<Ready>>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `weight` goes up as bf16 and becomes f32 on the device.
    fn goes_up_as_bf16(&self, weight: Weight) -> bool {
        let stored = self.tensors.entry(weight).map(|entry| entry.dtype);
        (self.dtype, stored.ok()) == (Dtype::F32, Some(Dtype::Bf16)) && self.engine.widen_bf16.is_some()
    }

    /// The dtype in which `weight` leaves the host.
    fn host_dtype(&self, weight: Weight) -> Dtype {
        if self.goes_up_as_bf16(weight) { Dtype::Bf16 } else { self.dtype }
    }

    fn take<const D: usize>(&self, read: &Read) -> Result<Tensor<B, D>, WeightError> {
        let mut ahead = self.ahead();
        let ready = ahead.as_ref().and_then(|ahead| ahead.recv().ok());
        let host = match ready {
            Some((ahead, host)) if ahead == *read => host?,
            // Not what was announced, or nothing was: what lies ready is of no use from here on.
            _ => {
                ahead.take();
                let rows = read.rows.clone().map_or(Rows::All, Rows::Range);
                self.tensors.read(read.weight, rows, self.host_dtype(read.weight))?
            }
        };
        drop(ahead);
        let taken = self.taken.fetch_add(host.values.len(), Ordering::Relaxed) + host.values.len();
        let announced = self.announced.load(Ordering::Relaxed);
        if let Some(progress) = self.progress {
            (progress.0)(taken.min(announced), announced);
        }
        Ok(self.put(read.weight, host))
    }

    fn put<const D: usize>(&self, weight: Weight, host: HostTensor) -> Tensor<B, D> {
        match self.engine.widen_bf16 {
            Some(widen) if self.goes_up_as_bf16(weight) => {
                Tensor::from_primitive(widen(to_data(host), &self.engine.device))
            }
            _ => upload(host, self.dtype, &self.engine.device),
        }
    }
}

impl<B: Backend> Weights<B> for Loader<'_, '_, B> {
    fn announce(&self, upcoming: Vec<Read>) {
        let shape = |read: &Read| self.tensors.entry(read.weight).map(|entry| entry.shape.to_vec()).unwrap_or_default();
        let elements = |read: &Read| match &read.rows {
            Some(rows) => rows.len() * shape(read).get(1).copied().unwrap_or(1),
            None => shape(read).iter().product(),
        };
        let announced = upcoming.iter().map(elements).sum();
        self.announced.store(announced, Ordering::Relaxed);
        if announced < self.ahead_from {
            return;
        }
        let (sender, receiver) = sync_channel(AHEAD);
        let tensors = self.tensors;
        let upcoming: Vec<(Read, Dtype)> =
            upcoming.into_iter().map(|r| (r.clone(), self.host_dtype(r.weight))).collect();
        self.scope.spawn(move || {
            for (read, dtype) in upcoming {
                let host = tensors.read(read.weight, read.rows.clone().map_or(Rows::All, Rows::Range), dtype);
                // Nobody listens any more: the run has ended.
                if sender.send((read, host)).is_err() {
                    return;
                }
            }
        });
        *self.ahead() = Some(receiver);
    }

    fn vector(&self, weight: Weight) -> Result<Tensor<B, 1>, WeightError> {
        self.take(&Read { weight, rows: None })
    }

    fn rows(&self, weight: Weight, rows: Range<usize>) -> Result<Tensor<B, 2>, WeightError> {
        self.take(&Read { weight, rows: Some(rows) })
    }

    fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError> {
        let host = self.tensors.read(weight, Rows::List(indices), self.host_dtype(weight))?;
        Ok(self.put(weight, host))
    }
}
