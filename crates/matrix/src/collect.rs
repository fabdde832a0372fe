//! From a matrix to rows: runs each check on each backend, and the engines, and takes in the reports made elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use loupe_checkpoint::files_of;
use loupe_config::{BACKENDS, BackendRun, Matrix, MatrixCheck, MatrixRun};
use loupe_files::{is_inside, is_one_of};
use loupe_report::{Written, files_read, is_report};
use loupe_spec::{echo, echo_path};
use miette::{Result, bail, miette};
use serde_json::{Map, Value};

use crate::documents::{EXPORT, TOKENS, VERDICT, path_value, read};
use crate::engine::{self, Filling};
use crate::files::remove;
use crate::process;
use crate::progress;
use crate::rows::{CheckRun, Outcome, Row, apart, name, run_name};

/// Backends that must be there: the matrix's and those of `LOUPE_REQUIRE`, with who says so.
pub fn required(matrix: &Matrix) -> Result<Vec<(String, &'static str)>> {
    let mut required: Vec<_> = matrix.require.iter().map(|backend| (backend.clone(), "\"require\"")).collect();
    required.extend(required_by_environment()?.into_iter().map(|backend| (backend, "LOUPE_REQUIRE")));
    Ok(required)
}

/// Backends that `LOUPE_REQUIRE` names.
pub fn required_by_environment() -> Result<Vec<String>> {
    let named = std::env::var("LOUPE_REQUIRE").unwrap_or_default();
    let named: Vec<&str> = named.split(',').map(str::trim).filter(|backend| !backend.is_empty()).collect();
    if let Some(unknown) = named.iter().find(|backend| !BACKENDS.contains(backend)) {
        bail!("LOUPE_REQUIRE names \"{unknown}\", expected a comma between some of {}", BACKENDS.join(", "));
    }
    Ok(named.into_iter().map(str::to_string).collect())
}

/// Of those, why each that is not there is not.
pub fn missing(required: &[(String, &'static str)], rows: &[Row]) -> Vec<String> {
    let sentence = |(backend, by): &(String, &'static str)| {
        let mut of_it = rows.iter().filter(|row| row.backend == *backend).peekable();
        if of_it.peek().is_none() {
            return Some(format!("{backend} is required by {by}, and no run or report is of it"));
        }
        of_it.all(Row::absent).then(|| format!("{backend} is required by {by} and absent"))
    };
    required.iter().filter_map(sentence).collect()
}

/// The names of the runs and those of the checks: a run's reports go to a folder of its name, a file for each check.
fn names(matrix: &Matrix) -> (Vec<String>, Vec<String>) {
    let mut names: Vec<String> = matrix.runs.iter().map(run_name).collect();
    apart(names.iter_mut());
    let mut checks: Vec<String> = matrix.checks.iter().map(|check| check.check.name().to_string()).collect();
    apart(checks.iter_mut());
    (names, checks)
}

/// Refuses an `output` below which something would be written that is read: the matrix in `path`, or a report made
/// elsewhere.
pub fn refuse_overwriting(path: &Path, matrix: &Matrix, output: &Path) -> Result<()> {
    let (names, checks) = names(matrix);
    let named = || matrix.runs.iter().zip(&names);
    let backends = named().filter(|(run, _)| matches!(run, MatrixRun::Backend(_)));
    let reports = backends.flat_map(|(_, name)| checks.iter().map(move |check| output.join(name).join(check)));
    let prefixes =
        reports.chain([output.to_path_buf(), output.join(VERDICT), output.join(TOKENS), output.join(EXPORT)]);
    let written = prefixes.flat_map(|prefix| {
        let Written { json, safetensors, html, doppler: _ } = Written::of(&prefix);
        [json, safetensors, html]
            .into_iter()
            .chain(process::ENDINGS.map(|ending| process::with_ending(&prefix, ending)))
    });
    let saved = matrix.reports.iter().chain(&matrix.reference).flat_map(|path| files_read(path));
    let model = matrix.model.iter().flat_map(|model| files_of(&model.id, model.revision.as_deref()));
    let read: Vec<PathBuf> = saved.chain(model).chain([path.to_path_buf()]).collect();
    for target in written.chain([".junit.xml", ".md"].map(|ending| process::with_ending(output, ending))) {
        if let Some(file) = is_one_of(&target, &read) {
            let (output, file) = (echo_path(output), echo_path(file));
            bail!("\"output\": \"{output}\" would overwrite {file}, which is read; name another output");
        }
    }
    for (run, name) in named() {
        let folder = engine::folder(output, name);
        let inside = read.iter().find(|file| matches!(run, MatrixRun::Engine(_)) && is_inside(file, &folder));
        if let Some(file) = inside {
            let (folder, file) = (echo_path(&folder), echo_path(file));
            bail!(
                "{folder} is cleared for the run \"{name}\", and {file}, which is read, lies in it; name another output"
            );
        }
    }
    Ok(())
}

/// Runs every check on every backend and every engine, one process after another: each uses all cores.
pub fn runs(matrix: &Matrix, loupe: &Path, output: &Path) -> Result<Vec<Row>> {
    let (names, checks) = names(matrix);
    let check_runs = |run: &MatrixRun| if matches!(run, MatrixRun::Engine(_)) { 1 } else { checks.len() };
    let bar = progress::bar(matrix.runs.iter().map(check_runs).sum());
    let mut filling = Filling::new(matrix, loupe, output);
    let mut rows = Vec::new();
    for (run, name) in matrix.runs.iter().zip(names) {
        let run = match run {
            MatrixRun::Backend(run) => run,
            MatrixRun::Engine(run) => {
                bar.set_message(name.clone());
                rows.push(engine::run(run, name, output, &mut filling)?);
                bar.inc(1);
                continue;
            }
        };
        let folder = output.join(&name);
        let mut row = Row {
            folder: name.clone(),
            name,
            backend: run.backend.clone(),
            device: None,
            elsewhere: false,
            check_runs: Vec::new(),
        };
        for (check, check_name) in matrix.checks.iter().zip(&checks) {
            bar.set_message(format!("{} {check_name}", row.name));
            let prefix = folder.join(check_name);
            forget(&prefix)?;
            let skip = row.check_runs.first().is_some_and(|first| first.outcome.ends_run());
            let (outcome, seconds) = match skip {
                true => (Outcome::Skipped, None),
                false => spawn(run, check, loupe, &prefix, matrix.time_limit)?,
            };
            let (device, check_run) = check_run(check_name, prefix, outcome, seconds);
            row.device = row.device.or(device);
            row.check_runs.push(check_run);
            bar.inc(1);
        }
        rows.push(row);
    }
    bar.finish_and_clear();
    Ok(rows)
}

/// Removes the report of an earlier comparison: one that is there afterwards is of this.
fn forget(prefix: &Path) -> Result<()> {
    let Written { json, safetensors, .. } = Written::of(prefix);
    remove(&json)?;
    remove(&safetensors)
}

fn spawn(
    run: &BackendRun,
    check: &MatrixCheck,
    loupe: &Path,
    prefix: &Path,
    limit: Duration,
) -> Result<(Outcome, Option<f64>)> {
    let mut config: Map<String, Value> = check.document.clone();
    config.extend(run.document.clone());
    config.insert("output".to_string(), path_value(prefix)?);
    let ended = process::loupe(loupe, &Value::Object(config), prefix, limit)?;
    Ok((Outcome::of(&ended), Some(ended.seconds)))
}

/// What a process leaves, and the device that its report names.
fn check_run(check: &str, prefix: PathBuf, outcome: Outcome, seconds: Option<f64>) -> (Option<String>, CheckRun) {
    let check = check.to_string();
    let mut check_run = CheckRun { check, report: prefix, outcome, findings: Vec::new(), seconds, verdict: None };
    if !check_run.ran() {
        return (None, check_run);
    }
    match read(&Written::of(&check_run.report).json) {
        Ok(report) => {
            check_run.findings = report.findings.iter().map(|finding| echo(finding)).collect();
            (Some(echo(&report.backend.device)), check_run)
        }
        Err(why) => {
            check_run.outcome = Outcome::Failed(format!("it ended well but left no report: {why}"));
            (None, check_run)
        }
    }
}

/// The reports made elsewhere, those of one backend in one row. A dump without a report's JSON is a row of its own.
pub fn elsewhere(paths: &[PathBuf]) -> Result<Vec<Row>> {
    let missing: Vec<String> = paths.iter().filter(|path| !there(path)).map(|path| echo_path(path)).collect();
    if !missing.is_empty() {
        bail!(
            help =
                "each of \"reports\" is the path of a report's .json, or of a .safetensors that another engine wrote",
            "no such report:\n{}",
            missing.join("\n")
        );
    }
    let mut rows: Vec<Row> = Vec::new();
    for path in paths {
        let mut row = introduce(path)?;
        let same = |known: &&mut Row| known.name == row.name && known.device == row.device;
        match rows.iter_mut().find(same).filter(|known| known.device.is_some()) {
            Some(known) => known.check_runs.append(&mut row.check_runs),
            None => rows.push(row),
        }
    }
    for row in &mut rows {
        apart(row.check_runs.iter_mut().map(|check_run| &mut check_run.check));
    }
    Ok(rows)
}

/// Whether a path, which may be a report's prefix, leads to a file.
fn there(path: &Path) -> bool {
    path.is_file() || Written::of(path).json.is_file()
}

/// A row of the one report at `path`, by what its JSON says of it, or else by its name.
fn introduce(path: &Path) -> Result<Row> {
    let json = Written::named_by(path).json;
    let stem = echo(&json.file_stem().unwrap_or_default().to_string_lossy());
    let mut check_run = CheckRun {
        check: stem.clone(),
        report: path.to_path_buf(),
        outcome: Outcome::Ran,
        findings: Vec::new(),
        seconds: None,
        verdict: None,
    };
    if path.extension().is_some_and(|ending| ending == "safetensors") && !is_report(&json) {
        let (backend, folder) = (String::new(), String::new());
        return Ok(Row { name: stem, folder, backend, device: None, elsewhere: true, check_runs: vec![check_run] });
    }
    let report = read(&json).map_err(|why| miette!("not a report of Loupe: {why}"))?;
    if let Some(check) = report.config.get("check").and_then(Value::as_str) {
        check_run.check = echo(check);
    }
    check_run.findings = report.findings.iter().map(|finding| echo(finding)).collect();
    let backend = echo(&report.backend.name);
    let name = name(&backend, report.dtype, &report.precision, None);
    let (device, folder) = (Some(echo(&report.backend.device)), String::new());
    Ok(Row { name, folder, backend, device, elsewhere: true, check_runs: vec![check_run] })
}
