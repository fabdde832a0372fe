//! How far a run is.

use std::fmt;

use loupe_model::Read;

/// Is told how many of a run's weights have been used, and of how many.
#[derive(Clone, Copy)]
pub struct Progress<'a>(pub &'a (dyn Fn(usize, usize) + Sync));

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// How much of a list of reads has been taken.
pub(crate) struct Taken<'a> {
    progress: Option<Progress<'a>>,
    taken: usize,
    total: usize,
}

impl<'a> Taken<'a> {
    /// Nothing yet of `reads`; `progress` is told.
    pub fn of(reads: &[Read], progress: Option<Progress<'a>>) -> Taken<'a> {
        Taken { progress, taken: 0, total: reads.iter().map(Read::elements).sum() }
    }

    /// The elements of all of them.
    pub fn total(&self) -> usize {
        self.total
    }

    /// One more has been taken.
    pub fn add(&mut self, read: &Read) {
        self.taken += read.elements();
        if let Some(progress) = self.progress {
            (progress.0)(self.taken, self.total);
        }
    }
}
