//! What the hub says the bytes of a file are, and what they are.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::hash::hex;

/// The hash by which the hub knows the content of a file. It is the file's `ETag`, and its name among the cache's blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContentHash {
    /// Of the bytes: files in large file storage (LFS, Xet).
    Sha256(String),
    /// Of git's blob, which is `blob `, the length in decimal, a zero byte, and the bytes: every other file.
    GitSha1(String),
}

impl ContentHash {
    /// From an `ETag` or `X-Linked-Etag`: 40 or 64 digits of lower-case hex in quotes, weak or not. `None` for everything
    /// else: the text becomes the name of a file.
    pub fn from_etag(etag: &str) -> Option<ContentHash> {
        let etag = etag.trim();
        let hex = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
        match hex.len() {
            _ if !is_hex(hex) => None,
            64 => Some(ContentHash::Sha256(hex.into())),
            40 => Some(ContentHash::GitSha1(hex.into())),
            _ => None,
        }
    }

    pub fn hex(&self) -> &str {
        match self {
            ContentHash::Sha256(hex) | ContentHash::GitSha1(hex) => hex,
        }
    }

    /// The hash of the file at `path`, of the kind that this one is.
    pub fn of_file(&self, path: &Path) -> io::Result<ContentHash> {
        let mut file = loupe_files::open(path)?;
        match self {
            ContentHash::Sha256(_) => Ok(ContentHash::Sha256(hash(Sha256::new(), &mut file)?)),
            ContentHash::GitSha1(_) => {
                let header = format!("blob {}\0", file.metadata()?.len());
                Ok(ContentHash::GitSha1(hash(Sha1::new_with_prefix(header), &mut file)?))
            }
        }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentHash::Sha256(hex) => write!(f, "SHA-256 {hex}"),
            ContentHash::GitSha1(hex) => write!(f, "git's SHA-1 {hex}"),
        }
    }
}

/// Whether `text` is the name of a commit: 40 digits of lower-case hex.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hash(mut hasher: impl Digest, file: &mut File) -> io::Result<String> {
    let mut part = vec![0; 1 << 20];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(part.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `printf abc | sha256sum` and `printf abc | git hash-object --stdin`.
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const GIT: &str = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";

    #[test]
    fn is_that_of_sha256sum_and_of_git() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        std::fs::write(&path, b"abc").unwrap();
        for etag in [format!("\"{SHA256}\""), format!("W/\"{SHA256}\""), SHA256.to_string(), format!("\"{GIT}\"")] {
            let said = ContentHash::from_etag(&etag).unwrap();
            assert_eq!(said.of_file(&path).unwrap(), said, "{etag}");
        }
    }

    #[test]
    fn only_what_looks_like_a_hash_is_one() {
        let long = "a".repeat(65);
        for etag in
            ["", "\"\"", "../../../../../x", "5d41402abc4b2a76b9719d911017c592-2", &SHA256.to_uppercase(), &long]
        {
            assert_eq!(ContentHash::from_etag(etag), None, "{etag}");
        }
        assert!(is_commit(GIT));
        for text in ["../../../..", "main", SHA256, "", &GIT[1..]] {
            assert!(!is_commit(text), "{text}");
        }
    }
}
