//! Files that are there whole or not at all: written under a temporary name, and renamed when they are whole.
//!
//! A temporary file goes away with the value that holds it, and on the signals that end a program. Where a program is
//! killed it stays; the next one that writes to the same folder takes it away. It is known by its name, and that nobody
//! holds it by its lock.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempPath;

/// What temporary names begin with, and how many letters follow.
const PREFIX: &str = ".loupe-";
const LETTERS: usize = 6;

/// The temporary files of this program that are there now.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn open_files() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A whole file that has no name yet. Dropped, it is deleted.
pub struct NewFile {
    path: Option<TempPath>,
    /// Locked while it is there.
    file: File,
}

impl NewFile {
    /// Writes a file in `folder`: `fill` writes its content.
    ///
    /// # Errors
    /// What the system or `fill` says.
    pub fn write(folder: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<NewFile> {
        sweep(folder);
        let new = NewFile::empty(folder)?;
        let mut buffered = BufWriter::with_capacity(1 << 20, &new.file);
        fill(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        Ok(new)
    }

    fn empty(folder: &Path) -> io::Result<NewFile> {
        loop {
            // Opened by hand: tempfile's own files are for their owner's eyes only, and these are to be shared.
            let named = tempfile::Builder::new()
                .prefix(PREFIX)
                .rand_bytes(LETTERS)
                .make_in(folder, |path| File::create_new(path))?;
            let (file, path) = named.into_parts();
            open_files().insert(path.to_path_buf());
            let new = NewFile { path: Some(path), file };
            // A file system without locks has nothing to say; there, what a killed program left behind stays.
            let _ = new.file.lock();
            // Somebody may have swept it away before it was locked.
            if new.path.as_ref().is_some_and(|path| path.exists()) {
                return Ok(new);
            }
        }
    }

    /// Makes sure that the content is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its name. A file of that name is replaced.
    ///
    /// # Errors
    /// What the system says; the file is deleted then.
    pub fn rename(mut self, target: &Path) -> io::Result<()> {
        let Some(path) = self.path.take() else { return Ok(()) };
        let own = path.to_path_buf();
        let renamed = path.persist(target).map_err(|error| error.error);
        open_files().remove(&own);
        renamed
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let own = path.to_path_buf();
            drop(path);
            open_files().remove(&own);
        }
    }
}

/// Deletes what killed programs left behind in `folder`. What cannot be deleted does no harm.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_ours = name.strip_prefix(PREFIX).is_some_and(|letters| {
            letters.len() == LETTERS && letters.bytes().all(|letter| letter.is_ascii_alphanumeric())
        });
        let is_file = || fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        if is_ours && is_file() && !open_files().contains(&path) {
            // Deleted while it is locked: whoever has just made it waits, and makes another.
            if let Ok(file) = File::options().write(true).open(&path)
                && file.try_lock().is_ok()
            {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// As long as this is there, no other program's [`hold`] of the same folder returns.
#[derive(Debug)]
pub struct Held(#[allow(dead_code)] Option<File>);

/// Waits until nobody else holds `folder`. Files that belong together are renamed while it is held, so that they are of
/// one run. Where folders cannot be locked (Windows, some network file systems) nothing is held.
pub fn hold(folder: &Path) -> Held {
    let folder = File::open(folder).ok();
    Held(folder.filter(|folder| folder.lock().is_ok()))
}

/// Deletes the temporary files of this program when a signal ends it: Ctrl-C, or a polite kill.
///
/// # Errors
/// What the system says.
pub fn clean_up_on_signals() -> io::Result<()> {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGINT, SIGTERM};
        // Not SIGHUP: nohup has it ignored, and a handler would end that.
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        std::thread::Builder::new().name("signals".to_string()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Held to the end: nobody makes another.
                let open = open_files();
                for path in open.iter() {
                    let _ = fs::remove_file(path);
                }
                // Ends as if nobody had listened, so that a shell sees which signal it was.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let failed = NewFile::write(folder.path(), |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.err().unwrap().to_string(), "disk full");
        drop(NewFile::write(folder.path(), |out| out.write_all(b"whole")).unwrap());
        assert!(names(folder.path()).is_empty());
        NewFile::write(folder.path(), |out| out.write_all(b"whole")).unwrap().rename(&folder.path().join("a")).unwrap();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["a"]);
    }

    /// The test starts itself as another program, which a signal ends while it writes: SIGTERM leaves nothing, what SIGKILL
    /// leaves the next program takes away.
    #[cfg(unix)]
    #[test]
    fn a_signal_leaves_nothing_for_long_and_is_seen_from_outside() {
        use signal_hook::consts::{SIGKILL, SIGTERM};
        use std::os::unix::process::ExitStatusExt;
        const FOLDER: &str = "LOUPE_FILES_TEST_FOLDER";
        const SIGNAL: &str = "LOUPE_FILES_TEST_SIGNAL";
        if let (Some(folder), Ok(signal)) = (std::env::var_os(FOLDER), std::env::var(SIGNAL)) {
            let signal = signal.parse().unwrap();
            clean_up_on_signals().unwrap();
            let whole = NewFile::write(Path::new(&folder), |out| out.write_all(b"whole")).unwrap();
            let other = NewFile::write(Path::new(&folder), |out| {
                out.write_all(b"half")?;
                signal_hook::low_level::raise(signal)?;
                // The signal is answered in another thread.
                loop {
                    std::thread::park();
                }
            });
            drop((whole, other));
        }
        for (signal, left) in [(SIGTERM, 0), (SIGKILL, 2)] {
            let folder = tempfile::tempdir().unwrap();
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "whole::tests::a_signal_leaves_nothing_for_long_and_is_seen_from_outside"])
                .env(FOLDER, folder.path())
                .env(SIGNAL, signal.to_string())
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert_eq!(status.signal(), Some(signal), "{status}");
            assert_eq!(names(folder.path()).len(), left, "{signal}: {:?}", names(folder.path()));
            NewFile::write(folder.path(), |_| Ok(())).unwrap().rename(&folder.path().join("a")).unwrap();
            assert_eq!(names(folder.path()), ["a"], "{signal}");
        }
    }

    #[test]
    fn what_a_killed_program_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".loupe-aB3dE6", ".loupe-held00", ".loupe-notes.txt", ".loupe-", "other"] {
            fs::write(at(name), b"").unwrap();
        }
        fs::create_dir(at(".loupe-folder")).unwrap();
        // Locks are of an open file, not of a process.
        let held = File::options().write(true).open(at(".loupe-held00")).unwrap();
        held.lock().unwrap();
        let mine = NewFile::write(folder.path(), |_| Ok(())).unwrap();
        let second = NewFile::write(folder.path(), |_| Ok(())).unwrap();
        let left: Vec<String> = names(folder.path());
        for kept in [".loupe-held00", ".loupe-notes.txt", ".loupe-", "other", ".loupe-folder"] {
            assert!(left.iter().any(|name| name == kept), "{kept}: {left:?}");
        }
        assert_eq!(left.len(), 7, "{left:?}");
        drop((mine, second));
        assert_eq!(names(folder.path()).len(), 5);
    }
}
