//! One process, `loupe`'s or an engine's: started, waited for, killed when its time is over.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loupe_spec::echo_path;
use miette::{Result, miette};
use serde_json::Value;
use sysinfo::{Pid, ProcessRefreshKind, RefreshKind, System};

use crate::files::io_error;

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
    /// Which way.
    pub end: End,
    /// What it printed.
    pub stdout: String,
    /// Its last words, in one line.
    pub said: Option<String>,
    /// How it ended, in words: `exit status: 101`.
    pub how: String,
    /// From its start to its end.
    pub seconds: f64,
}

impl Ended {
    /// How it ended, and its last words.
    pub fn how_and_what(&self) -> String {
        match &self.said {
            Some(said) => format!("{}: {said}", self.how),
            None => self.how.clone(),
        }
    }
}

/// The program that `LOUPE_BIN` names, where it names one.
///
/// # Errors
/// It is not there.
pub fn named_loupe() -> Result<Option<PathBuf>> {
    let Some(named) = std::env::var_os("LOUPE_BIN").map(PathBuf::from) else { return Ok(None) };
    // A bare name would be looked up in PATH, and another loupe than the one meant might answer.
    named.canonicalize().map(Some).map_err(|error| miette!("LOUPE_BIN names {}: {error}", echo_path(&named)))
}

/// What stays beside a report that [`loupe`] was asked for.
pub const CONFIG: &str = ".config.json";
const TEXT: &str = ".txt";
const LOG: &str = ".log";
/// All of it.
pub const ENDINGS: [&str; 3] = [CONFIG, TEXT, LOG];

/// Runs `loupe` on `config`. Beside the report that it may write to `prefix` stay its config, with which it can be run
/// again by hand, its text and its errors: `<prefix>.config.json`, `.txt` and `.log`.
pub fn loupe(program: &Path, config: &Value, prefix: &Path, limit: Duration) -> Result<Ended> {
    let config_path = with_ending(prefix, CONFIG);
    if let Some(folder) = prefix.parent() {
        fs::create_dir_all(folder).map_err(io_error("make the folder", folder))?;
    }
    fs::write(&config_path, format!("{config:#}\n")).map_err(io_error("write", &config_path))?;
    let (text, log) = (with_ending(prefix, TEXT), with_ending(prefix, LOG));
    run(Command::new(program).arg(&config_path), &text, &log, limit)?.map_err(io_error("run", program))
}

/// Runs `command` with its text and its errors in two files: nothing waits for a grandchild that holds a pipe open.
/// The inner error is that of a program that could not be started.
pub fn run(
    command: &mut Command,
    text: &Path,
    log: &Path,
    limit: Duration,
) -> Result<std::result::Result<Ended, std::io::Error>> {
    let create = |path: &Path| File::create(path).map_err(io_error("write", path));
    command.stdin(Stdio::null()).stdout(create(text)?).stderr(create(log)?);
    let started = Instant::now();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Err(error)),
    };
    let program = PathBuf::from(command.get_program());
    let (end, how) = wait(&mut child, started, limit).map_err(io_error("wait for", &program))?;
    let seconds = started.elapsed().as_secs_f64();
    let (stdout, stderr) = (tail(text).map_err(io_error("read", text))?, tail(log).map_err(io_error("read", log))?);
    Ok(Ok(Ended { end, stdout, said: last_words(&stderr), how, seconds }))
}

/// More than `loupe` prints of any comparison; an engine may print without end.
const MOST_READ: u64 = 4 << 20;

/// The end of a text, if it is longer than what anybody reads.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_READ)))?;
    let mut bytes = Vec::new();
    file.take(MOST_READ).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Waits for the end of `child`, which is made to come at the limit, and says it in words too.
fn wait(child: &mut Child, started: Instant, limit: Duration) -> std::io::Result<(End, String)> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status.code().map_or(End::Killed, End::Exited), status.to_string()));
        }
        if started.elapsed() >= limit {
            kill(child)?;
            child.wait()?;
            return Ok((End::Hung, format!("still running after {} s", limit.as_secs_f64())));
        }
        std::thread::sleep(LOOK);
    }
}

/// Ends `child` and all that it started: a script's engine would go on for ever.
fn kill(child: &mut Child) -> std::io::Result<()> {
    let processes = RefreshKind::nothing().with_processes(ProcessRefreshKind::nothing().without_tasks());
    let system = System::new_with_specifics(processes);
    let mut ending = vec![Pid::from_u32(child.id())];
    let mut at = 0;
    while let Some(parent) = ending.get(at).copied() {
        ending.extend(system.processes().iter().filter(|(_, p)| p.parent() == Some(parent)).map(|(pid, _)| *pid));
        at += 1;
    }
    child.kill()?;
    for process in ending.iter().skip(1).filter_map(|pid| system.process(*pid)) {
        // One that has ended meanwhile needs no ending.
        let _ = process.kill();
    }
    Ok(())
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
    let lines = || stderr.lines().map(str::trim).filter(said);
    // Node goes on after the error, and ends with its version.
    let error = lines().rfind(|line| line.split(':').next().is_some_and(|kind| kind.ends_with("Error")));
    error.or(lines().next_back()).map(str::to_string)
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
        let node =
            "file:///e.mjs:3\n  x();\n  ^\n\nReferenceError: x is not defined\n    at e.mjs:3:1\n\nNode.js v20.20.2\n";
        assert_eq!(last_words(node).as_deref(), Some("ReferenceError: x is not defined"));
    }
}
