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

/// Is told how far a judgement is, which asks for many runs.
pub trait Watch: Sync + fmt::Debug {
    /// What follows is for this. Parts of it are told as they begin, `work` in all, in any unit.
    fn begins(&self, what: &str, work: usize);
    /// A part of that begins, and those before it are over.
    fn part(&self, work: usize);
    /// Of the run that goes on, so many weights of so many have been used.
    fn runs(&self, taken: usize, all: usize);
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
