//! What a comparison is about: a row for each run, and in it a check_run for each check.

use std::path::PathBuf;

use loupe_config::{Device, MatmulPrecision, MatrixRun};
use loupe_judge::{Judgement, Verdict};
use loupe_spec::Dtype;

use crate::exit::worst;
use crate::process::{End, Ended};

/// A backend in one dtype and precision, or an engine.
pub struct Row {
    /// Such as `cuda-f32-tf32`, or what the matrix calls an engine.
    pub name: String,
    /// The folder of what it leaves, in that of the output; empty for what was made elsewhere.
    pub folder: String,
    /// Empty for an engine and for a dump made elsewhere.
    pub backend: String,
    /// By the name that the report has for it.
    pub device: Option<String>,
    /// Whether the reports were made before, and perhaps on another machine.
    pub elsewhere: bool,
    pub check_runs: Vec<CheckRun>,
}

/// A check on that backend.
pub struct CheckRun {
    /// The check's name, numbered where a row has several of one name.
    pub check: String,
    /// The prefix of its report's two files, or the path as the matrix names it.
    pub report: PathBuf,
    pub outcome: Outcome,
    /// What the check itself found wrong, a sentence each.
    pub findings: Vec<String>,
    /// `None` for a report made elsewhere.
    pub seconds: Option<f64>,
    /// What the judge says of the report.
    pub verdict: Option<Verdict>,
}

/// What became of a check's process. The text is the reason, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It left a report.
    Ran,
    /// The backend is not on this machine.
    Absent(String),
    /// It could not run for another reason.
    Failed(String),
    /// It says itself that the backend computes nonsense.
    Broken(String),
    /// It panicked or was killed.
    Crashed(String),
    /// It was still running at the time limit.
    Hung(String),
    /// Not run, after what the run's first check did.
    Skipped,
}

impl Outcome {
    /// Reads off a process how it went.
    pub fn of(ended: &Ended) -> Outcome {
        let said = ended.said.clone().unwrap_or_else(|| ended.how.clone());
        match ended.end {
            End::Exited(0 | 1) => Outcome::Ran,
            End::Exited(5) => Outcome::Absent(said),
            End::Exited(2) => Outcome::Failed(said),
            End::Exited(3) => Outcome::Broken(said),
            End::Exited(_) | End::Killed => Outcome::Crashed(ended.how_and_what()),
            End::Hung => Outcome::Hung(ended.how_and_what()),
        }
    }

    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Ran => "ran",
            Outcome::Absent(_) => "absent",
            Outcome::Failed(_) => "failed",
            Outcome::Broken(_) => "broken",
            Outcome::Crashed(_) => "crashed",
            Outcome::Hung(_) => "hung",
            Outcome::Skipped => "skipped",
        }
    }

    /// Why there is no report.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Ran | Outcome::Skipped => None,
            Outcome::Absent(why)
            | Outcome::Failed(why)
            | Outcome::Broken(why)
            | Outcome::Crashed(why)
            | Outcome::Hung(why) => Some(why),
        }
    }

    /// Whether the run's other checks would only say the same again, after as long a wait.
    pub fn ends_run(&self) -> bool {
        matches!(self, Outcome::Absent(_) | Outcome::Broken(_) | Outcome::Crashed(_) | Outcome::Hung(_))
    }

    fn code(&self) -> u8 {
        match self {
            Outcome::Ran | Outcome::Absent(_) | Outcome::Skipped => 0,
            Outcome::Failed(_) => 2,
            Outcome::Broken(_) | Outcome::Crashed(_) | Outcome::Hung(_) => 3,
        }
    }
}

impl CheckRun {
    /// The exit code of this check_run alone.
    pub fn code(&self) -> u8 {
        let found = if self.findings.is_empty() { 0 } else { 1 };
        worst([self.outcome.code(), found, self.verdict.as_ref().map_or(0, |verdict| verdict.exit_code)])
    }

    /// Whether what the check itself found is the worst about it.
    pub fn finding_decides(&self) -> bool {
        !self.findings.is_empty() && self.verdict.as_ref().is_none_or(|verdict| verdict.exit_code == 0)
    }

    /// Whether its report is the reference's in every bit.
    pub fn exact(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.verdict == Judgement::Exact)
    }

    /// Whether there is a report.
    pub fn ran(&self) -> bool {
        self.outcome == Outcome::Ran
    }
}

impl Row {
    /// The exit code of this row alone.
    pub fn code(&self) -> u8 {
        worst(self.check_runs.iter().map(CheckRun::code))
    }

    /// The check_run that decides about the row: the first of those with its exit code, of which one that did not go as it
    /// should says more than one that did.
    pub fn decisive(&self) -> Option<&CheckRun> {
        let code = self.code();
        let rank = |check_run: &&CheckRun| match &check_run.verdict {
            _ if !check_run.ran() && check_run.outcome != Outcome::Skipped => 0,
            Some(_) if !check_run.exact() => 1,
            _ => 2,
        };
        self.check_runs.iter().filter(|check_run| check_run.code() == code).min_by_key(rank)
    }

    /// Whether the backend is not on this machine.
    pub fn absent(&self) -> bool {
        self.check_runs.iter().any(|check_run| matches!(check_run.outcome, Outcome::Absent(_)))
            && !self.check_runs.iter().any(CheckRun::ran)
    }
}

/// What a run is called.
pub fn run_name(run: &MatrixRun) -> String {
    let run = match run {
        MatrixRun::Backend(run) => run,
        // Not as a file that lies beside its dump.
        MatrixRun::Engine(run) => {
            let own = as_folder(&run.name);
            let is_taken = ["verdict", "command", "printed", "errors"].contains(&own.as_str());
            return if is_taken { format!("{own}-run") } else { own };
        }
    };
    let device = run.device.as_ref().map(Device::to_string);
    let precision = run.precision.name();
    name(&run.backend, run.dtype, precision, device.as_deref())
}

/// `backend-dtype`, then what is not the default.
pub fn name(backend: &str, dtype: Dtype, precision: &str, device: Option<&str>) -> String {
    let precision = (precision != MatmulPrecision::Strict.name()).then_some(precision);
    let parts = [Some(backend), Some(dtype.name()), precision, device];
    as_folder(&parts.into_iter().flatten().collect::<Vec<_>>().join("-"))
}

/// A name that can be a folder's, too.
fn as_folder(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Numbers the names that occur twice: `attn`, `attn-2`.
pub fn apart<'n>(names: impl Iterator<Item = &'n mut String>) {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let mut number = 1;
        let mut numbered = name.clone();
        while seen.contains(&numbered) {
            number += 1;
            numbered = format!("{name}-{number}");
        }
        seen.push(numbered.clone());
        *name = numbered;
    }
}

/// The same for rows, so that a run made here and one made elsewhere can be told apart.
pub fn name_apart(rows: &mut [Row]) {
    apart(rows.iter_mut().map(|row| &mut row.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(end: End, said: Option<&str>) -> Ended {
        Ended { end, stdout: String::new(), said: said.map(str::to_string), how: "it ended".to_string(), seconds: 0.0 }
    }

    #[test]
    fn an_outcome_is_read_off_the_exit_code_and_the_error() {
        let absent = "backend wgpu is not available here: no adapter; looked for Vulkan";
        let cases = [
            (End::Exited(0), None, Outcome::Ran),
            (End::Exited(1), None, Outcome::Ran),
            (End::Exited(5), Some(absent), Outcome::Absent(absent.to_string())),
            (End::Exited(2), Some("no such file"), Outcome::Failed("no such file".to_string())),
            (End::Exited(3), Some("exp is off"), Outcome::Broken("exp is off".to_string())),
            (End::Exited(101), Some("index"), Outcome::Crashed("it ended: index".to_string())),
            (End::Killed, None, Outcome::Crashed("it ended".to_string())),
            (End::Hung, None, Outcome::Hung("it ended".to_string())),
        ];
        for (end, said, expected) in cases {
            assert_eq!(Outcome::of(&ended(end, said)), expected, "{end:?}");
        }
    }

    #[test]
    fn names_leave_out_what_is_the_default_and_are_told_apart() {
        assert_eq!(name("cuda", Dtype::F32, "strict", None), "cuda-f32");
        assert_eq!(name("cuda", Dtype::F32, "tf32", Some("1")), "cuda-f32-tf32-1");
        assert_eq!(name("wgpu", Dtype::F32, "strict", Some("discrete:0")), "wgpu-f32-discrete-0");
        let mut names = ["attn", "trace", "attn", "attn"].map(str::to_string);
        apart(names.iter_mut());
        assert_eq!(names, ["attn", "trace", "attn-2", "attn-3"]);
    }
}
