//! transformers, asked the same.

use std::path::Path;

use miette::Result;

use super::cases::Case;
use super::measure::{self, Measured};
use super::settings::{Run, Settings};
use super::{Bench, Row};

/// What the peers need, in one line; prints the versions and whether torch sees a GPU.
const LOOK: &str =
    "import torch, transformers; print(torch.__version__, transformers.__version__, torch.cuda.is_available())";
const SCRIPTS: &str = "crates/bench/peer";

/// The Python that runs the peers.
pub struct Peers {
    python: Option<String>,
    gpu: bool,
    /// Versions of torch and transformers.
    pub versions: String,
}

impl Peers {
    /// Looks for Python, torch and transformers, and says what is missing.
    pub fn look(settings: &Settings, skipped: &mut Vec<String>) -> Peers {
        let mut none = |why: &str| {
            skipped.push(format!("the peers: {why}"));
            Peers { python: None, gpu: false, versions: String::new() }
        };
        let Some(python) = &settings.python else { return none("\"python\" is null") };
        if settings.model.as_deref().is_some_and(|model| !Path::new(model).is_dir()) {
            return none("transformers reads a folder, and the model is none");
        }
        match measure::process(Path::new(python), &["-c", LOOK], &[]) {
            Err(why) => none(&format!("{python} cannot run them: {why}")),
            Ok(said) => {
                let gpu = said.stdout.trim_end().ends_with("True");
                let versions = said.stdout.split_whitespace().take(2).collect::<Vec<_>>();
                let versions = format!("torch {}", versions.join(", transformers "));
                Peers { python: Some(python.clone()), gpu, versions }
            }
        }
    }

    /// The peer of `case` on the device of `run`: as Loupe's flex f32 for every run on the CPU, and measured once.
    pub fn time(
        &self,
        bench: &Bench,
        case: &Case,
        run: &Run,
        rows: &[Row],
        skipped: &mut Vec<String>,
    ) -> Result<Option<Measured>> {
        let Some(python) = &self.python else { return Ok(None) };
        let (device, dtype) = match (run.on_gpu(), run.dtype.name()) {
            (false, _) => ("cpu", "float32"),
            (true, _) if !self.gpu => {
                skipped.push(format!("the peer of {} on {run}: torch sees no GPU", case.check));
                return Ok(None);
            }
            (true, "bf16") => ("cuda", "bfloat16"),
            (true, "f16") => ("cuda", "float16"),
            (true, _) => ("cuda", "float32"),
        };
        let same = |row: &&Row| {
            row.case.check == case.check
                && row.run.on_gpu() == run.on_gpu()
                && (!run.on_gpu() || row.run.dtype == run.dtype)
        };
        if let Some(row) = rows.iter().find(same) {
            return Ok(row.peer.clone());
        }
        let script = format!("{SCRIPTS}/{}.py", case.check.replace('-', "_"));
        let arguments = [script.as_str(), &bench.model, device, dtype];
        let once = || measure::process(Path::new(python), &arguments, &[]);
        match (0..bench.settings.repeats).map(|_| once()).collect::<Result<Vec<_>>>() {
            Ok(runs) => Ok(Some(measure::median(runs))),
            Err(why) => {
                skipped.push(format!("the peer of {} on {run}: {why}", case.check));
                Ok(None)
            }
        }
    }
}
