//! Fetching one file into the cache: what came is verified before it has its name, and stays if the rest did not come.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use loupe_spec::{echo, echo_path};
use ureq::http::{Response, Uri};
use ureq::{Body, ResponseExt};

use super::announced::Announced;
use super::cache::ModelCache;
use super::client::{Client, Trouble, named, text};
use super::content_hash::{ContentHash, is_commit};
use super::settings::HubSettings;

/// A file in the cache.
pub(super) struct Fetched {
    pub path: PathBuf,
    pub commit: String,
}

/// A file whose size the hub does not say is no larger than this: JSON.
const LARGEST_UNANNOUNCED: u64 = 1 << 26;
/// A try that brought so many bytes has not failed, however it ended.
const PROGRESS: u64 = 1 << 20;

/// Fetches `file` of the model `id` at `revision` into the cache, unless it is there.
///
/// `reached` says, and is told, whether the hub has answered in this run.
pub(super) fn fetch(
    id: &str,
    revision: &str,
    file: &str,
    settings: &HubSettings,
    reached: &AtomicBool,
) -> Result<Fetched, Trouble> {
    let download = Download { client: Client::new(settings)?, settings, bar: bar(file, settings) };
    let address = download.client.address(id, revision, file)?;
    let announced = download.patiently(|_| {
        let announced = Announced::ask(&download.client, &address);
        // Nobody answers where there is no network: that is said at once.
        if reached.load(Ordering::Relaxed) { announced.map_err(Trouble::of_one_that_was_there) } else { announced }
    })?;
    reached.store(true, Ordering::Relaxed);
    let Announced { commit, hash, .. } = &announced;
    if is_commit(revision) && commit != revision {
        return Err(Trouble::Final(format!("asked for the commit {revision}, the hub answered with {commit}")));
    }
    let cache = ModelCache::new(id, settings);
    let path = cache.snapshot(commit).join(file);
    if !path.exists() {
        let blob = cache.blob(hash);
        for folder in [&path, &blob].into_iter().filter_map(|path| path.parent()) {
            fs::create_dir_all(folder).map_err(|error| could_not("create", folder, &error))?;
        }
        let waits = || download.bar.set_message(format!("{file}: another program fetches it"));
        let held = cache.lock(hash, waits).map_err(|error| could_not("lock", &blob, &error))?;
        if !announced.is(&blob) {
            download.blob(&address, &announced, &blob, held.is_some())?;
        }
        cache.link(hash, &path).map_err(|error| could_not("create", &path, &error))?;
    }
    cache.set_commit_of(revision, commit).map_err(|error| could_not("write", &cache.folder().join("refs"), &error))?;
    Ok(Fetched { path, commit: commit.clone() })
}

struct Download<'a> {
    client: Client<'a>,
    settings: &'a HubSettings,
    bar: ProgressBar,
}

impl Download<'_> {
    /// Tries again what may be better in a while. `attempt` may say of the number of times that nothing came of it that it is
    /// another.
    fn patiently<T>(&self, mut attempt: impl FnMut(&mut u32) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let patience = &self.settings.patience;
        let mut failed = 0;
        loop {
            failed += 1;
            let (what, wait) = match attempt(&mut failed) {
                Err(Trouble::Passing(what, wait)) => (what, wait),
                other => return other,
            };
            let wait = wait.unwrap_or_else(|| patience.pause_after(failed));
            if wait > patience.longest_pause {
                return Err(Trouble::Final(format!("{what}, and wants to be asked again in {} s", wait.as_secs())));
            }
            if failed >= patience.tries {
                return Err(Trouble::Final(format!("{what}; asked {failed} times")));
            }
            self.bar.set_message(format!("{what}: again in {:.0} s", wait.as_secs_f64()));
            std::thread::sleep(wait);
        }
    }

    /// Fetches what was announced to `blob`, by way of `blob.incomplete`, which the next run goes on with if this one ends. Where
    /// nobody else can be locked out there is a name of its own, and no going on.
    fn blob(&self, address: &Uri, announced: &Announced, blob: &Path, alone: bool) -> Result<(), Trouble> {
        if alone {
            return self.blob_by_way_of(&blob.with_extension("incomplete"), address, announced, blob);
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let own = blob.with_extension(format!("{:x}-{now:x}.incomplete", std::process::id()));
        let done = self.blob_by_way_of(&own, address, announced, blob);
        // It is there still if that failed.
        let _ = fs::remove_file(&own);
        done
    }

    fn blob_by_way_of(
        &self,
        incomplete: &Path,
        address: &Uri,
        announced: &Announced,
        blob: &Path,
    ) -> Result<(), Trouble> {
        let resumed = fs::metadata(incomplete).is_ok_and(|found| found.len() > 0);
        self.parts(address, announced, incomplete)?;
        let mut found = self.hash(announced, incomplete)?;
        if resumed && found != announced.hash {
            // What an earlier run, or another tool, left there was not the beginning of this file.
            fs::remove_file(incomplete).map_err(|error| could_not("remove", incomplete, &error))?;
            self.parts(address, announced, incomplete)?;
            found = self.hash(announced, incomplete)?;
        }
        if found != announced.hash {
            fs::remove_file(incomplete).map_err(|error| could_not("remove", incomplete, &error))?;
            return Err(Trouble::Final(format!(
                "what came has {found}, expected {}: it was changed on the way, or the server is wrong; nothing of it was kept",
                announced.hash
            )));
        }
        fs::rename(incomplete, blob).map_err(|error| could_not("write", blob, &error))?;
        Ok(())
    }

    fn hash(&self, announced: &Announced, incomplete: &Path) -> Result<ContentHash, Trouble> {
        announced.hash.of_file(incomplete).map_err(|error| could_not("read", incomplete, &error))
    }

    /// Asks for what is missing until it is all there.
    fn parts(&self, address: &Uri, announced: &Announced, incomplete: &Path) -> Result<(), Trouble> {
        let file = File::options().create(true).append(true).open(incomplete);
        let mut file = file.map_err(|error| could_not("write", incomplete, &error))?;
        let mut part = Part { download: self, announced, path: incomplete, file: &mut file };
        let mut most = part.length()?;
        self.patiently(|failed| {
            let done = part.fetch(address);
            let there = part.length()?;
            if there >= most.saturating_add(PROGRESS) {
                (most, *failed) = (there, 0);
            }
            // The hub has just announced the file: what it says now passes, too.
            done.map_err(|trouble| match trouble.of_one_that_was_there() {
                Trouble::Status(status) => Trouble::Passing(format!("the file is refused ({status})"), None),
                other => other,
            })
        })?;
        // On the disk before it has its name.
        file.sync_all().map_err(|error| could_not("write", incomplete, &error))
    }
}

/// A file that grows at its end.
struct Part<'a> {
    download: &'a Download<'a>,
    announced: &'a Announced,
    path: &'a Path,
    file: &'a mut File,
}

impl Part<'_> {
    fn length(&self) -> Result<u64, Trouble> {
        self.file.metadata().map(|found| found.len()).map_err(|error| self.could_not_write(&error))
    }

    fn cut(&mut self) -> Result<(), Trouble> {
        // What is written is appended, so it begins there.
        self.file.set_len(0).map_err(|error| self.could_not_write(&error))
    }

    fn could_not_write(&self, error: &io::Error) -> Trouble {
        Trouble::Final(format!("could not write {}: {error}; what has come stays", echo_path(self.path)))
    }

    /// Asks once for what is missing.
    fn fetch(&mut self, address: &Uri) -> Result<(), Trouble> {
        let size = self.announced.size;
        // Of a file whose size is not known, nobody can say what is missing.
        if size.is_none() {
            self.cut()?;
        }
        let start = self.length()?;
        if size == Some(start) {
            return Ok(());
        }
        self.room(size.unwrap_or_default().saturating_sub(start))?;
        let response = match self.download.client.get(address, start) {
            // The part asked for is none to this server.
            Err(Trouble::Status(416)) => {
                self.cut()?;
                return Err(Trouble::Passing("the file cannot be gone on with from where it stopped".into(), None));
            }
            other => other?,
        };
        let Some(begins) = begins_at(&response).filter(|begins| [0, start].contains(begins)) else {
            return Err(Trouble::Passing("another part of the file came than was asked for".into(), None));
        };
        let announces = response.body().content_length().map(|length| length.saturating_add(begins));
        let most = size.unwrap_or(LARGEST_UNANNOUNCED);
        if let Some(all) = announces.filter(|all| size.map_or(*all > most, |size| size != *all)) {
            let kind = text(response.headers(), "content-type").unwrap_or("no type");
            let expected = size.map_or(format!("at most {most}"), |size| size.to_string());
            return Err(Trouble::Final(format!(
                "{all} bytes ({}) would come, expected {expected}: a proxy or a mirror answers with something else",
                echo(kind)
            )));
        }
        // Only now: what is there is not given up for a page of a proxy's.
        if begins != start {
            self.cut()?;
        }
        self.download.bar.set_length(size.or(announces).unwrap_or_default());
        // Of the host that sends the file, which need not be the hub.
        let host = response.get_uri().clone();
        self.copy(&host, response, begins, most)?;
        match size.filter(|size| self.length().is_ok_and(|there| there < *size)) {
            Some(size) => {
                let there = self.length()?;
                Err(Trouble::Passing(format!("{} hung up after {there} of {size} bytes", named(&host)), None))
            }
            None => Ok(()),
        }
    }

    fn copy(&mut self, host: &Uri, response: Response<Body>, start: u64, most: u64) -> Result<(), Trouble> {
        let (least, window) = self.download.settings.patience.slowest;
        let bar = &self.download.bar;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let (mut there, mut since, mut lately) = (start, Instant::now(), 0);
        bar.set_message("");
        loop {
            bar.set_position(there);
            let read = body.read(&mut buffer).map_err(|error| self.download.client.broken_off(host, error))?;
            if read == 0 {
                return Ok(());
            }
            there = there.saturating_add(read as u64);
            if there > most {
                self.cut()?;
                return Err(Trouble::Final(format!("more than the expected {most} bytes came; nothing was kept")));
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            self.file.write_all(bytes).map_err(|error| self.could_not_write(&error))?;
            lately += read as u64;
            if since.elapsed() >= window {
                if lately < least {
                    let what = format!("{} sent {lately} bytes in {:.0?}", named(host), since.elapsed());
                    return Err(Trouble::Passing(what, None));
                }
                (since, lately) = (Instant::now(), 0);
            }
        }
    }

    /// Whether `missing` bytes find room.
    #[cfg(unix)]
    fn room(&self, missing: u64) -> Result<(), Trouble> {
        // Where the system does not say, the disk will.
        let Ok(disk) = rustix::fs::fstatvfs(&*self.file) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if missing <= free {
            return Ok(());
        }
        let (missing, free) = (HumanBytes(missing), HumanBytes(free));
        Err(Trouble::Final(format!("{missing} are missing, and the disk of {} has {free} left", echo_path(self.path))))
    }

    #[cfg(not(unix))]
    fn room(&self, _missing: u64) -> Result<(), Trouble> {
        Ok(())
    }
}

/// The place in the file at which the answer begins: a server that cannot start in the middle starts at 0. `None` where it gives a
/// part and does not say which.
fn begins_at(response: &Response<Body>) -> Option<u64> {
    if response.status() != 206 {
        return Some(0);
    }
    text(response.headers(), "content-range")?.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

fn could_not(doing: &str, path: &Path, error: &io::Error) -> Trouble {
    Trouble::Final(format!("could not {doing} {}: {error}", echo_path(path)))
}

/// What a person sees who waits.
fn bar(file: &str, settings: &HubSettings) -> ProgressBar {
    let target = if settings.progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style =
        ProgressStyle::with_template("{prefix} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} {msg}");
    let bar = ProgressBar::with_draw_target(None, target).with_prefix(echo(file));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_finish(ProgressFinish::AndClear)
}
