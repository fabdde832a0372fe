//! Running `loupe`: traces, and the judge on many candidates at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loupe_judge::Verdict;
use loupe_spec::Dtype;
use miette::{Result, bail, miette};
use serde_json::{Map, Value, json};

use loupe_matrix::process::{self, End};

/// One trace of a tiny checkpoint takes milliseconds; the first of wgpu on a machine compiles its kernels.
const TRACE_LIMIT: Duration = Duration::from_secs(120);
/// For one candidate; a batch has as many times more.
const JUDGE_LIMIT: Duration = Duration::from_secs(60);
/// Candidates of one judging process.
const BATCH: usize = 8;

/// Where traces are run and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    pub model: String,
    pub backend: String,
    pub dtype: Dtype,
    pub token_ids: Vec<usize>,
}

/// The `loupe` to run.
pub struct Runner {
    pub program: PathBuf,
}

impl Runner {
    /// Traces a forward pass with `mistakes` planted, into the report `prefix`.
    pub fn trace(&self, run: &Run, mistakes: &[String], prefix: &Path) -> Result<()> {
        let mut config = json!({
            "check": "trace", "model": run.model, "backend": run.backend, "dtype": run.dtype.name(),
            "token_ids": run.token_ids, "output": text(prefix)?,
        });
        if !mistakes.is_empty() {
            config["mistakes"] = mistakes.into();
        }
        let ended = process::loupe(&self.program, &config, prefix, TRACE_LIMIT)?;
        match (ended.end, ended.said) {
            (End::Exited(0 | 1), _) => Ok(()),
            (_, said) => bail!("trace {} {mistakes:?}: {}", prefix.display(), said.unwrap_or(ended.how)),
        }
    }

    /// The judge's verdict on each of `candidates`, in their order; an error for each that it does not judge. `keys`
    /// are added to the compare config.
    pub fn judge(&self, candidates: &[PathBuf], keys: &Map<String, Value>, folder: &Path) -> Vec<Result<Verdict>> {
        let batches: Vec<(usize, &[PathBuf])> = candidates.chunks(BATCH).enumerate().collect();
        let judged = pool(&batches, |(number, batch)| {
            let mut verdicts = self.compare(batch, keys, &folder.join(format!("verdict-{number}"))).unwrap_or_default();
            let mut of = |(at, path): (usize, &PathBuf)| match verdicts.remove(path) {
                Some(verdict) => Ok(verdict),
                // One that cannot be judged ends the process for all: each once more, alone.
                None => self
                    .compare(std::slice::from_ref(path), keys, &folder.join(format!("verdict-{number}-{at}")))?
                    .remove(path)
                    .ok_or_else(|| miette!("{}: no verdict", path.display())),
            };
            batch.iter().enumerate().map(&mut of).collect::<Vec<_>>()
        });
        judged.into_iter().flatten().collect()
    }

    fn compare(
        &self,
        batch: &[PathBuf],
        keys: &Map<String, Value>,
        prefix: &Path,
    ) -> Result<HashMap<PathBuf, Verdict>> {
        let mut config = Map::new();
        config.insert("check".to_string(), "compare".into());
        let candidates = batch.iter().map(|path| text(path)).collect::<Result<Vec<&str>>>()?;
        config.insert("candidates".to_string(), candidates.into());
        config.insert("format".to_string(), "json".into());
        config.insert("output".to_string(), text(prefix)?.into());
        config.extend(keys.clone());
        let limit = JUDGE_LIMIT.saturating_mul(u32::try_from(batch.len()).unwrap_or(1));
        let (ended, read) = loupe_matrix::verdicts(&self.program, &config.into(), prefix, limit)?;
        let said = ended.said.unwrap_or(ended.how);
        let verdicts = read.map_err(|why| miette!("compare {}: {said} ({why})", prefix.display()))?;
        Ok(verdicts.into_iter().map(|verdict| (PathBuf::from(&verdict.candidate.path), verdict)).collect())
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| miette!("{} is no UTF-8, which JSON is", path.display()))
}

/// `work` on each of `jobs`, on every core; the results in the order of the jobs.
pub fn pool<T: Sync, R: Send>(jobs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { break };
                    let result = work(job);
                    // A panic elsewhere leaves the list whole.
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::pool;

    #[test]
    fn results_keep_the_order_of_the_jobs() {
        let jobs: Vec<usize> = (0..100).collect();
        assert_eq!(pool(&jobs, |job| job * 2), jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
    }
}
