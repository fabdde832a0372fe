//! What the hub says of a file before any of it is fetched.

use std::fs;
use std::path::Path;

use loupe_spec::echo;
use ureq::http::{HeaderMap, Uri};

use super::client::{Client, LOG_IN, Trouble, named, text};
use super::content_hash::{ContentHash, is_commit};

/// A file at one commit.
#[derive(Debug)]
pub(super) struct Announced {
    /// 40 digits of hex: it becomes a folder's name.
    pub commit: String,
    pub hash: ContentHash,
    /// In bytes; `None` where the hub does not say.
    pub size: Option<u64>,
}

const COMMIT: &str = "x-repo-commit";
/// Of the file itself, where the answer only leads to where it is.
const LINKED_HASH: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";

impl Announced {
    /// Asks the hub at `address`.
    ///
    /// Source: huggingface_hub's `get_hf_file_metadata`. It follows redirects within the hub and reads the answer that leads elsewhere.
    /// So does this, where that answer says of the file what it leads to; a hub that has moved altogether is followed.
    pub fn ask(client: &Client, address: &Uri) -> Result<Announced, Trouble> {
        let says = |headers: &HeaderMap, leaves: bool| {
            let linked = text(headers, LINKED_HASH).is_some() && (leaves || text(headers, LINKED_SIZE).is_some());
            linked && text(headers, COMMIT).is_some()
        };
        let response = client.head(address, says)?;
        let headers = response.headers();
        let wrong = |what: String| Trouble::Final(format!("{} {what}", named(address)));
        let (Some(commit), Some(hash)) = (text(headers, COMMIT), hash_of(headers)) else {
            let kind = text(headers, "content-type").unwrap_or("nothing said of its type");
            return Err(wrong(format!(
                "does not answer as a hub does: without X-Repo-Commit or ETag, {} in their place. If this network has a \
                 login page, {LOG_IN}; else HF_ENDPOINT or a proxy leads to the wrong place",
                echo(kind)
            )));
        };
        if !is_commit(commit) {
            return Err(wrong(format!("says \"{}\" for the commit, expected 40 digits of hex", echo(commit))));
        }
        let hash = ContentHash::from_etag(hash).ok_or_else(|| {
            wrong(format!(
                "says \"{}\" for the file's hash (ETag), expected 40 or 64 digits of hex, by which what comes is verified",
                echo(hash)
            ))
        })?;
        let own_size = || text(headers, "content-length").filter(|_| response.status().is_success());
        let size = text(headers, LINKED_SIZE).or_else(own_size).and_then(|size| size.trim().parse().ok());
        Ok(Announced { commit: commit.into(), hash, size })
    }

    /// Whether `blob` is this file. Its size says so, of a file that has its name only when it is whole; without a size, its hash.
    pub fn is(&self, blob: &Path) -> bool {
        match self.size {
            Some(size) => fs::metadata(blob).is_ok_and(|found| found.len() == size),
            None => self.hash.of_file(blob).is_ok_and(|found| found == self.hash),
        }
    }
}

fn hash_of(headers: &HeaderMap) -> Option<&str> {
    text(headers, LINKED_HASH).or_else(|| text(headers, "etag"))
}
