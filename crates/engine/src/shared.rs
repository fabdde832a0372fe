//! Several replays of the same stages that read each weight once between them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use loupe_model::{Read, WeightError, Weights};
use loupe_spec::Weight;

/// Matrices held at a time, of at most a chunk's size each: how far one replay may run ahead of the slowest.
const MOST_HELD: usize = 6;
/// A replay that is ahead waits so long for the others, and then reads for itself: one of them may have stopped.
const PATIENCE: Duration = Duration::from_secs(2);

type Key = (Weight, Range<usize>);

/// Hands what one of `readers` replays read to the others.
pub(crate) struct Shared<B: Backend> {
    readers: usize,
    held: Mutex<HashMap<Key, Held<B>>>,
    changed: Condvar,
}

struct Held<B: Backend> {
    /// `None` while it is being read.
    matrix: Option<Tensor<B, 2>>,
    /// How many replays have yet to take it.
    waiting: usize,
}

impl<B: Backend> Shared<B> {
    pub fn new(readers: usize) -> Shared<B> {
        Shared { readers, held: Mutex::new(HashMap::new()), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Held<B>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The matrix of `key`: another replay's, or read now and kept for the others.
    fn get(
        &self,
        key: Key,
        read: impl FnOnce() -> Result<Tensor<B, 2>, WeightError>,
    ) -> Result<Tensor<B, 2>, WeightError> {
        let blocked = |held: &mut HashMap<Key, Held<B>>| match held.get(&key) {
            Some(own) => own.matrix.is_none(),
            None => held.len() >= MOST_HELD,
        };
        let (mut held, late) =
            self.changed.wait_timeout_while(self.lock(), PATIENCE, blocked).unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(&key)
            && let Some(matrix) = own.matrix.clone()
        {
            own.waiting -= 1;
            if own.waiting == 0 {
                held.remove(&key);
                self.changed.notify_all();
            }
            return Ok(matrix);
        }
        if late.timed_out() {
            drop(held);
            return read();
        }
        held.insert(key.clone(), Held { matrix: None, waiting: self.readers - 1 });
        drop(held);
        let matrix = read();
        let mut held = self.lock();
        match (&matrix, held.get_mut(&key)) {
            (Ok(matrix), Some(own)) if own.waiting > 0 => own.matrix = Some(matrix.clone()),
            _ => {
                held.remove(&key);
            }
        }
        self.changed.notify_all();
        matrix
    }
}

/// One replay's source of weights: `own`, and for matrices what it shares with the others.
pub(crate) struct Sharing<'a, B: Backend, W: Weights<B>> {
    pub own: W,
    pub shared: &'a Shared<B>,
}

impl<B: Backend, W: Weights<B>> Weights<B> for Sharing<'_, B, W> {
    fn announce(&self, upcoming: Vec<Read>) {
        self.own.announce(upcoming);
    }

    fn vector(&self, weight: Weight) -> Result<Tensor<B, 1>, WeightError> {
        self.own.vector(weight)
    }

    fn rows(&self, weight: Weight, rows: Range<usize>) -> Result<Tensor<B, 2>, WeightError> {
        self.shared.get((weight, rows.clone()), || self.own.rows(weight, rows))
    }

    fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError> {
        self.own.gather(weight, indices)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use loupe_backends::{Engine, Task, dispatch, referee};
    use loupe_spec::{LayerWeight, Weight};

    use super::*;

    /// Counts what it is asked for.
    struct Counted<'a, B: Backend> {
        reads: &'a AtomicUsize,
        device: &'a B::Device,
    }

    impl<B: Backend> Weights<B> for Counted<'_, B> {
        fn vector(&self, _: Weight) -> Result<Tensor<B, 1>, WeightError> {
            Err("no vector".into())
        }

        fn rows(&self, weight: Weight, rows: Range<usize>) -> Result<Tensor<B, 2>, WeightError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if weight == Weight::Norm {
                Err("no such matrix".into())
            } else {
                Ok(Tensor::ones([rows.len(), 2], self.device))
            }
        }

        fn gather(&self, _: Weight, _: &[usize]) -> Result<Tensor<B, 2>, WeightError> {
            Err("no rows".into())
        }
    }

    /// Three replays that each ask for every one of `asked`; how often anything was read.
    struct Three<'a>(&'a [(Weight, Range<usize>)]);

    impl Task for Three<'_> {
        type Output = usize;

        fn run<B: Backend>(self, engine: Engine<B>) -> usize {
            let (reads, shared) = (AtomicUsize::new(0), Shared::<B>::new(3));
            let one = || {
                let weights = Sharing { own: Counted { reads: &reads, device: &engine.device }, shared: &shared };
                for (weight, rows) in self.0 {
                    let _ = weights.rows(*weight, rows.clone());
                }
            };
            std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(one))));
            reads.load(Ordering::Relaxed)
        }
    }

    fn matrix(layer: usize) -> (Weight, Range<usize>) {
        (Weight::Layer(layer, LayerWeight::QProj), 0..3)
    }

    #[test]
    fn three_replays_read_a_matrix_once_however_often_they_ask() {
        let asked: Vec<_> = (0..20).flat_map(|layer| [matrix(layer), matrix(layer)]).collect();
        let started = Instant::now();
        assert_eq!(dispatch(&referee(), Three(&asked)).unwrap(), asked.len());
        assert!(started.elapsed() < PATIENCE, "someone waited in vain");
    }

    #[test]
    fn what_cannot_be_read_stops_nobody() {
        let reads = dispatch(&referee(), Three(&[(Weight::Norm, 0..1), matrix(0)])).unwrap();
        assert_eq!(reads, 4);
    }
}
