//! One `loupe` process: started, waited for, killed when its time is over.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use miette::Result;
use serde_json::Value;

use crate::io_error;

/// How often a running process is looked at: little beside what any check takes.
const LOOK: Duration = Duration::from_millis(5);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With an exit code.
    Exited(i32),
    /// By a signal.
    Killed,
    /// It was still running at its time limit.
    Hung,
}

/// A process that has ended.
pub struct Ended {
    pub end: End,
    /// What it printed.
    pub stdout: String,
    /// Its last words, in one line.
    pub said: Option<String>,
    /// How it ended, in words: `exit status: 101`.
    pub how: String,
    pub seconds: f64,
}

/// Runs `loupe` on `config`. Beside the report that it may write to `prefix` stay its config, with which it can be run
/// again by hand, its text and its errors: `<prefix>.config.json`, `.txt` and `.log`.
///
/// Text and errors go to files and not through pipes: nothing waits for a grandchild that holds a pipe open.
pub fn loupe(program: &Path, config: &Value, prefix: &Path, limit: Duration) -> Result<Ended> {
    let config_path = with_ending(prefix, ".config.json");
    if let Some(folder) = prefix.parent() {
        fs::create_dir_all(folder).map_err(io_error("make the folder", folder))?;
    }
    fs::write(&config_path, format!("{config:#}\n")).map_err(io_error("write", &config_path))?;
    let (text, log) = (with_ending(prefix, ".txt"), with_ending(prefix, ".log"));
    let create = |path: &Path| File::create(path).map_err(io_error("write", path));
    let mut command = Command::new(program);
    command.arg(&config_path).stdin(Stdio::null()).stdout(create(&text)?).stderr(create(&log)?);

    let started = Instant::now();
    let mut child = command.spawn().map_err(io_error("run", program))?;
    let (end, how) = wait(&mut child, started, limit).map_err(io_error("wait for", program))?;
    let seconds = started.elapsed().as_secs_f64();
    let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let stdout = read(&text).map_err(io_error("read", &text))?;
    let stderr = read(&log).map_err(io_error("read", &log))?;
    Ok(Ended { end, stdout, said: last_words(&stderr), how, seconds })
}

/// Waits for the end of `child`, which is made to come at the limit, and says it in words too.
fn wait(child: &mut Child, started: Instant, limit: Duration) -> std::io::Result<(End, String)> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status.code().map_or(End::Killed, End::Exited), status.to_string()));
        }
        if started.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok((End::Hung, format!("still running after {} s", limit.as_secs_f64())));
        }
        std::thread::sleep(LOOK);
    }
}

/// The path with `ending` appended: `v1.2` has `v1.2.log`.
pub fn with_ending(prefix: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(prefix);
    path.push(ending);
    path.into()
}

/// What a program said last, in one line: the whole message of a rendered error, which may be wrapped over several,
/// or else the last line. `None`: nothing.
pub fn last_words(stderr: &str) -> Option<String> {
    let mut lines = stderr.lines().map(str::trim).skip_while(|line| !line.starts_with("× "));
    if let Some(first) = lines.next() {
        let more = lines.map_while(|line| line.strip_prefix("│ "));
        return Some([first.trim_start_matches("× ")].into_iter().chain(more).collect::<Vec<_>>().join(" "));
    }
    let said = |line: &&str| !line.is_empty() && !line.starts_with("note: ");
    stderr.lines().map(str::trim).rfind(said).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_whole_of_a_wrapped_error() {
        let wrapped = "  × backend cuda is not available here: no driver;\n  │ looked for libcuda.so.1\n  help: none\n";
        let whole = "backend cuda is not available here: no driver; looked for libcuda.so.1";
        assert_eq!(last_words(wrapped).as_deref(), Some(whole));
    }

    #[test]
    fn last_words_of_a_panic_are_its_message() {
        let panic = "\nthread 'main' panicked at src/main.rs:1:1:\nno adapter\nnote: run with `RUST_BACKTRACE=1`\n\n";
        assert_eq!(last_words(panic).as_deref(), Some("no adapter"));
        assert_eq!(last_words("\n"), None);
    }
}
