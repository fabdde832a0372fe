//! The cache that Hugging Face's tools share, as they lay it out.
//!
//! `models--org--name/` holds `blobs/HASH`, the files; `snapshots/COMMIT/NAME`, links to them; and `refs/BRANCH`, texts that
//! say which commit a branch or tag was when it was last asked for. `.locks/models--org--name/HASH.lock`, beside it, is locked
//! by whoever fetches a blob.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use loupe_files::NewFile;

use super::content_hash::{ContentHash, is_commit};
use super::{HubSettings, is_revision};

/// One model's part of the cache.
#[derive(Debug)]
pub(super) struct ModelCache {
    /// The folder of all models.
    root: PathBuf,
    /// `models--org--name`.
    name: String,
    repo: CacheRepo,
}

impl ModelCache {
    pub fn new(id: &str, settings: &HubSettings) -> ModelCache {
        let (root, repo) = (settings.cache.clone(), Repo::new(id.into(), RepoType::Model));
        ModelCache { name: repo.folder_name(), repo: Cache::new(root.clone()).repo(repo), root }
    }

    pub fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// The folder of the files at `commit`.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    pub fn blob(&self, hash: &ContentHash) -> PathBuf {
        self.folder().join("blobs").join(hash.hex())
    }

    /// The commit that `revision` was when it was last asked for; `None` where the cache does not know one.
    pub fn commit_of(&self, revision: &str) -> Option<String> {
        if !is_revision(revision) {
            return None;
        }
        let recorded =
            loupe_files::read(&self.ref_to(revision), 100).ok().and_then(|text| String::from_utf8(text).ok());
        recorded.map(|commit| commit.trim().to_string()).filter(|commit| is_commit(commit))
    }

    /// Records that `revision` is `commit` now. A commit is always itself.
    pub fn set_commit_of(&self, revision: &str, commit: &str) -> io::Result<()> {
        if revision == commit || self.commit_of(revision).is_some_and(|known| known == commit) {
            return Ok(());
        }
        let path = self.ref_to(revision);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        NewFile::write(folder, |out: &mut dyn Write| out.write_all(commit.as_bytes()))?.rename(&path)
    }

    fn ref_to(&self, revision: &str) -> PathBuf {
        self.folder().join("refs").join(revision)
    }

    /// Waits until nobody else fetches the blob `hash`; `waits` is called if somebody does. The lock is the one that
    /// huggingface_hub takes, and lasts as long as the file. `None` where files cannot be locked, or where the file system says that
    /// they are and others do not notice.
    pub fn lock(&self, hash: &ContentHash, waits: impl FnOnce()) -> io::Result<Option<File>> {
        let folder = self.root.join(".locks").join(&self.name);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.lock", hash.hex()));
        let lock = File::create(&path)?;
        if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
            waits();
        }
        let held = lock.lock().is_ok();
        let is_noticed = matches!(File::open(&path)?.try_lock(), Err(fs::TryLockError::WouldBlock));
        Ok((held && is_noticed).then_some(lock))
    }

    /// Gives the blob its name in a snapshot, unless it has it. Where links are refused (Windows) the blob itself moves there.
    pub fn link(&self, hash: &ContentHash, pointer: &Path) -> io::Result<()> {
        if pointer.exists() {
            return Ok(());
        }
        // A link to what somebody has deleted is in the way.
        if pointer.is_symlink() {
            fs::remove_file(pointer)?;
        }
        // From snapshots/COMMIT, relative: a cache may be moved.
        let blob: PathBuf = ["..", "..", "blobs", hash.hex()].iter().collect();
        #[cfg(unix)]
        let linked = std::os::unix::fs::symlink(&blob, pointer);
        #[cfg(windows)]
        let linked = std::os::windows::fs::symlink_file(&blob, pointer);
        linked.or_else(|_| fs::rename(self.blob(hash), pointer))
    }
}
