//! One process: its wall time and its peak anonymous memory.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use miette::{Result, bail};

use super::OUTPUT;
use loupe_matrix::io_error;
use loupe_matrix::process::last_words;

/// How often a process is looked at. What it holds for less than this may be missed; it is short beside a layer.
const LOOK: Duration = Duration::from_millis(1);

/// What a process took.
#[derive(Clone, Debug)]
pub struct Measured {
    pub seconds: f64,
    /// The largest `RssAnon` of /proc/PID/status that was seen: memory that is no page of a mapped file. `None` where the
    /// system has no such file.
    pub anonymous: Option<u64>,
    /// What it printed.
    pub stdout: String,
}

/// Runs `program`, whose output and errors go to files.
pub fn process(program: &Path, arguments: &[impl AsRef<OsStr>], environment: &[(String, String)]) -> Result<Measured> {
    let [text, log] = ["stdout", "stderr"].map(|name| Path::new(OUTPUT).join(name));
    let create = |path: &Path| File::create(path).map_err(io_error("write", path));
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().map(|(k, v)| (k, v))).stdin(Stdio::null());
    command.stdout(create(&text)?).stderr(create(&log)?);
    let started = Instant::now();
    let mut child = command.spawn().map_err(io_error("run", program))?;
    let mut anonymous = None;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(io_error("wait for", program))? {
            break status;
        }
        anonymous = anonymous.max(rss_anon(child.id()));
        std::thread::sleep(LOOK);
    };
    let seconds = started.elapsed().as_secs_f64();
    let read = |path: &Path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !status.success() {
        let stderr = read(&log).map_err(io_error("read", &log))?;
        bail!("{}", last_words(&stderr).unwrap_or_else(|| format!("it ended with {status}")));
    }
    Ok(Measured { seconds, anonymous, stdout: read(&text).map_err(io_error("read", &text))? })
}

fn rss_anon(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The run of median time, with the largest memory of all.
pub fn median(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let anonymous = runs.iter().filter_map(|run| run.anonymous).max();
    let middle = runs.swap_remove(runs.len() / 2);
    Measured { anonymous, ..middle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_has_the_largest_memory_seen() {
        let run = |seconds, anonymous| Measured { seconds, anonymous: Some(anonymous), stdout: String::new() };
        let median = median(vec![run(3.0, 1), run(1.0, 9), run(2.0, 5)]);
        assert_eq!((median.seconds, median.anonymous), (2.0, Some(9)));
    }
}
