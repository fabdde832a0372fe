//! An engine that is not Loupe's, as a run: started with the prompt, waited for, its numbers judged.
//!
//! In `<output>/<its name>/` lie `command.json` (the command as it was started), what the engine printed (`printed.txt`,
//! `errors.log`), its dump (`<name>`, with or without an ending) and its verdict.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use loupe_config::{DumpFormat, EngineRun, Input, Matrix, Piece, Placeholder};
use loupe_report::{Written, is_report};
use loupe_spec::{echo, echo_path};
use miette::{Result, bail, miette};
use serde_json::{Value, json};

use crate::documents::{EXPORT, TOKENS, path_value, question, read};
use crate::files::{io_error, remove};
use crate::process::{self, End, Ended};
use crate::rows::{CheckRun, Outcome, Row};

/// What an engine is asked for.
const DUMP: &str = "dump";

/// Beside the dump, what was run: that the folder is an earlier comparison's, and may be cleared.
const COMMAND: &str = "command.json";
const PRINTED: &str = "printed.txt";
const ERRORS: &str = "errors.log";

/// Endings of what an engine writes beside its dump.
const LOGS: [&str; 5] = ["log", "txt", "out", "err", "md"];

/// What fills the placeholders, each made when the first engine asks for it.
pub struct Filling<'a> {
    matrix: &'a Matrix,
    loupe: &'a Path,
    output: &'a Path,
    model: Option<String>,
    token_ids: Option<Vec<usize>>,
}

impl<'a> Filling<'a> {
    /// Of `matrix`, with `loupe` for what it takes to make them, below `output`.
    pub fn new(matrix: &'a Matrix, loupe: &'a Path, output: &'a Path) -> Filling<'a> {
        Filling { matrix, loupe, output, model: None, token_ids: None }
    }

    /// What stands for `placeholder` in the command of an engine whose dump is `dump`.
    fn value(&mut self, placeholder: Placeholder, dump: &Path) -> Result<String> {
        match placeholder {
            Placeholder::Output => text(dump),
            Placeholder::Prompt => match &self.matrix.input {
                Some(Input::Prompt(prompt)) => Ok(prompt.clone()),
                _ => bail!("a command asks for {{prompt}}, and the matrix has none"),
            },
            Placeholder::Model => self.model(),
            Placeholder::TokenIds => {
                Ok(self.token_ids()?.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }

    /// The checkpoint's folder; a built-in one is exported first. A hub's id stays as it is.
    fn model(&mut self) -> Result<String> {
        if let Some(model) = &self.model {
            return Ok(model.clone());
        }
        let id = match (&self.matrix.model, &self.matrix.reference) {
            (Some(model), _) => model.id.clone(),
            (None, Some(report)) => saved(report)?.model.id,
            (None, None) => bail!("a command asks for {{model}}, and the matrix has none"),
        };
        let model = match id.strip_prefix("builtin:") {
            Some(name) => text(&self.export(&id, name)?)?,
            None if Path::new(&id).is_dir() => text(&absolute(Path::new(&id))?)?,
            None => id,
        };
        self.model = Some(model.clone());
        Ok(model)
    }

    fn export(&self, id: &str, name: &str) -> Result<PathBuf> {
        let (folder, prefix) = (self.output.join(format!("builtin-{name}")), self.output.join(EXPORT));
        // What an earlier comparison exported; `export` writes over nothing, and refuses what anybody else put there.
        if process::with_ending(&prefix, process::CONFIG).is_file() {
            for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
                remove(&folder.join(file))?;
            }
        }
        let config = json!({"check": "export", "model": id, "output": path_value(&folder)?});
        self.run(&config, &prefix, "export the model")?;
        absolute(&folder)
    }

    /// The prompt's ids: the matrix's, the saved report's, or what the checkpoint's tokenizer makes of the prompt.
    fn token_ids(&mut self) -> Result<Vec<usize>> {
        if let Some(ids) = &self.token_ids {
            return Ok(ids.clone());
        }
        let ids = match (&self.matrix.input, &self.matrix.reference) {
            (Some(Input::TokenIds(ids)), _) => ids.clone(),
            (Some(Input::Prompt(_)), _) => self.encoded()?,
            (None, Some(report)) => saved(report)?.token_ids,
            (None, None) => bail!("a command asks for {{token_ids}}, and the matrix has no prompt"),
        };
        self.token_ids = Some(ids.clone());
        Ok(ids)
    }

    fn encoded(&self) -> Result<Vec<usize>> {
        let prefix = self.output.join(TOKENS);
        let mut config = question(self.matrix);
        config.insert("check".to_string(), "embed".into());
        config.insert("output".to_string(), path_value(&prefix)?);
        self.run(&config.into(), &prefix, "turn the prompt into token ids")?;
        read(&Written::of(&prefix).json).map(|report| report.token_ids).map_err(|why| miette!("{why}"))
    }

    /// Runs `loupe` for something that an engine needs.
    fn run(&self, config: &Value, prefix: &Path, what: &str) -> Result<()> {
        let ended = process::loupe(self.loupe, config, prefix, self.matrix.time_limit)?;
        match ended.end {
            End::Exited(0) => Ok(()),
            _ => bail!("loupe could not {what} for an engine: {}", ended.how_and_what()),
        }
    }
}

/// The saved report whose model and tokens are those of the matrix.
fn saved(path: &Path) -> Result<loupe_report::Report> {
    read(&Written::named_by(path).json).map_err(|why| miette!("\"reference\" is no report of Loupe: {why}"))
}

fn text(path: &Path) -> Result<String> {
    Ok(path_value(path)?.as_str().unwrap_or_default().to_string())
}

/// An engine may run in another folder.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(io_error("find", path))
}

/// The folder `own` of a run.
pub fn folder(output: &Path, own: &str) -> PathBuf {
    output.join(own)
}

/// Starts the engine and finds its numbers, which nobody has judged yet.
pub fn run(run: &EngineRun, own: String, output: &Path, filling: &mut Filling<'_>) -> Result<Row> {
    let folder = absolute(&folder(output, &own))?;
    clear(&folder, &own)?;
    fs::create_dir_all(&folder).map_err(io_error("make the folder", &folder))?;
    let dump = folder.join(&own);
    let mut words = Vec::new();
    for argument in &run.command {
        let mut word = String::new();
        for piece in argument {
            match piece {
                Piece::Text(text) => word += text,
                Piece::Placeholder(placeholder) => word += &filling.value(*placeholder, &dump)?,
            }
        }
        words.push(word);
    }
    let command = folder.join(COMMAND);
    fs::write(&command, format!("{:#}\n", json!(words))).map_err(io_error("write", &command))?;

    let printed = folder.join(PRINTED);
    let mut check_run = CheckRun {
        check: DUMP.to_string(),
        report: dump.clone(),
        outcome: Outcome::Ran,
        findings: Vec::new(),
        seconds: None,
        verdict: None,
    };
    let (program, arguments) = words.split_first().map(|(first, rest)| (first.clone(), rest)).unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(arguments);
    match process::run(&mut command, &printed, &folder.join(ERRORS), filling.matrix.time_limit)? {
        Err(error) => check_run.outcome = Outcome::Failed(format!("cannot run {program}: {error}")),
        Ok(ended) => {
            check_run.seconds = Some(ended.seconds);
            match found(&ended, run.format, &dump, &printed) {
                Ok(path) => check_run.report = path,
                Err(outcome) => check_run.outcome = outcome,
            }
        }
    }
    let name = echo(&run.name);
    Ok(Row { name, folder: own, backend: String::new(), device: None, elsewhere: false, check_runs: vec![check_run] })
}

/// Where the numbers of an engine that ended so are, or why there are none.
fn found(ended: &Ended, format: DumpFormat, dump: &Path, printed: &Path) -> Result<PathBuf, Outcome> {
    let log = printed.with_file_name(ERRORS);
    let all_said = ended.said.as_ref().map_or(String::new(), |_| format!("; all that it said: {}", log.display()));
    // What it wrote before it ended so is not judged: it may be a part.
    let left = if dumps(dump).is_empty() { "" } else { "; the dump that it left is not judged" };
    let said = || format!("{}{left}{all_said}", ended.how_and_what());
    match ended.end {
        End::Exited(0) => {}
        End::Exited(_) => return Err(Outcome::Failed(said())),
        End::Killed => return Err(Outcome::Crashed(said())),
        End::Hung => return Err(Outcome::Hung(format!("{} (\"time_limit_s\" allows it more)", said()))),
    }
    if format == DumpFormat::Auto {
        let mut left = dumps(dump);
        // A log beside a dump is none.
        let is_log = |path: &PathBuf| path.extension().is_some_and(|ending| LOGS.iter().any(|log| ending == *log));
        if left.len() > 1 && !left.iter().all(is_log) {
            left.retain(|path| !is_log(path));
        }
        // A report of Loupe's is two files, of which one speaks for both.
        if let Some(json) = left.iter().find(|path| is_report(path)).cloned() {
            left.retain(|path| *path == json || *path != Written::named_by(&json).safetensors);
        }
        match left.as_slice() {
            [] => {}
            [one] => return Ok(one.clone()),
            several => {
                let names: Vec<_> =
                    several.iter().filter_map(|path| path.file_name()).map(|n| n.to_string_lossy()).collect();
                let folder = dump.parent().unwrap_or(dump).display();
                let why = format!("it left {} in {folder}: expected one of them", names.join(", "));
                return Err(Outcome::Failed(why));
            }
        }
    }
    let some = fs::metadata(printed).is_ok_and(|printed| printed.len() > 0);
    some.then(|| printed.to_path_buf()).ok_or_else(|| {
        let what = match format {
            DumpFormat::Auto => format!("left nothing at {{output}} ({}) and printed nothing", dump.display()),
            DumpFormat::Printed => "printed nothing".to_string(),
        };
        Outcome::Failed(format!("it ended well, {what}{all_said}"))
    })
}

/// `dump`, and `dump` with any ending: an engine may be called as one of the files beside it.
fn dumps(dump: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (dump.parent(), dump.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let is_dump = |entry: &fs::DirEntry| {
        let found = entry.file_name();
        if [COMMAND, PRINTED, ERRORS].iter().any(|own| found == *own) {
            return false;
        }
        let rest = found.to_str().and_then(|found| found.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(std::io::Result::ok);
    let mut dumps: Vec<PathBuf> = entries.filter(is_dump).map(|entry| entry.path()).collect();
    dumps.sort();
    dumps
}

/// Removes an earlier comparison's dump, so that one which is there afterwards is of this.
fn clear(folder: &Path, name: &str) -> Result<()> {
    let dumps = dumps(&folder.join(name));
    if let Some(foreign) = dumps.first().filter(|_| !folder.join(COMMAND).is_file()) {
        bail!(
            help = "move it, or name another output",
            "{} is there already, and no earlier comparison made it: no {COMMAND} lies beside it",
            echo_path(foreign)
        );
    }
    for dump in &dumps {
        if dump.is_dir() && !dump.is_symlink() {
            fs::remove_dir_all(dump).map_err(io_error("remove", dump))?;
        } else {
            remove(dump)?;
        }
    }
    Ok(())
}
