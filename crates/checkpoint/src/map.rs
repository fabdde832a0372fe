//! The unsafe blocks of the crate: a file as bytes without reading it, and giving its pages back.
#![allow(unsafe_code)]

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::Mmap;

/// The pages of a mapped file.
#[derive(Clone, Debug)]
pub(crate) struct Pages(Arc<Mmap>);

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The file's bytes, paged in by the operating system when touched.
pub(crate) fn map(path: &Path) -> io::Result<(Bytes, Pages)> {
    let file = loupe_files::open(path)?;
    // SAFETY: a map of a file is sound as long as nobody changes the file while it is mapped, which no program can
    // ensure. Checkpoints are written once, under a temporary name, and then renamed (by this crate and by Hugging Face's), so
    // a file under its final name does not change; one that is cut off by hand ends this process with SIGBUS.
    let pages = Pages(Arc::new(unsafe { Mmap::map(&file)? }));
    Ok((Bytes::from_owner(pages.clone()), pages))
}

impl Pages {
    /// Takes the pages that `part` of the file lies in out of this process. They stay in the system's page cache, and
    /// touching them again brings them back: a forward pass over 5 GB of weights keeps none of them resident.
    pub fn release(&self, part: &[u8]) {
        #[cfg(unix)]
        {
            let start = (part.as_ptr() as usize).wrapping_sub(self.0.as_ptr() as usize);
            if start < self.0.len() && part.len() <= self.0.len() - start {
                // SAFETY: the map is of a file and read-only, so dropped pages read the same when they come back.
                // Advice that is not taken costs memory, not correctness.
                let _ = unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, part.len()) };
            }
        }
    }
}
