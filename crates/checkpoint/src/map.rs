//! The one unsafe block of the crate: a file as bytes, without reading it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

/// The file's bytes, paged in by the operating system when touched.
pub(crate) fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    // SAFETY: a map of a file is sound as long as nobody changes the file while it is mapped, which no program can
    // ensure. Checkpoints are written once, under a temporary name, and then renamed (by this crate and by hf-hub), so
    // a file under its final name does not change; one that is cut off by hand ends this process with SIGBUS.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
