//! Writing a report so that a killed run leaves no half file.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use loupe_files::{NewFile, folder_of, hold};
use loupe_spec::HostTensor;
use serde::Serialize;

use crate::read::agree;
use crate::{Report, ReportError, Written, header};

/// Writes `report` and the tensors it summarises as `<prefix>.json` and `<prefix>.safetensors`. Missing folders are
/// made, files of an earlier run replaced.
///
/// Both are written under temporary names in the same folder and renamed when whole, the JSON last: where there is a
/// JSON file, its tensors are there and are its own.
///
/// # Errors
/// What the system refuses, two tensors of one name, or tensors that are not those of `report.tensors`.
pub fn write(prefix: &Path, report: &Report, tensors: &[(String, HostTensor)]) -> Result<Written, ReportError> {
    let written = Written::of(prefix);
    let (header, data) = header::of(tensors)?;
    let held = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice(), tensor.values.dtype()));
    agree(report, held).map_err(|what| ReportError::Disagree { path: written.safetensors.clone(), what })?;
    let folder = folder_made(prefix)?;
    let tensors = temporary(folder, &written.safetensors, |to| {
        to.write_all(&header)?;
        data.iter().try_for_each(|tensor| to.write_all(&tensor.values.le_bytes()))
    })?;
    let json = temporary_json(folder, &written.json, report)?;
    // Another run with this prefix waits: the two files are of one run.
    let _held = hold(folder);
    // Between the two renames an earlier run's JSON must not stand beside this run's tensors.
    remove(&written.json)?;
    rename(tensors, &written.safetensors)?;
    rename(json, &written.json)?;
    Ok(written)
}

/// Writes `value` as `<prefix>.json`, whole or not at all: a verdict, or whatever else goes beside reports.
///
/// # Errors
/// What the system refuses.
pub fn write_json(prefix: &Path, value: &impl Serialize) -> Result<PathBuf, ReportError> {
    write_json_to(Written::of(prefix).json, value)
}

/// Writes `value` as `<prefix>.doppler.json`, whole or not at all.
///
/// # Errors
/// What the system refuses.
pub fn write_doppler(prefix: &Path, value: &impl Serialize) -> Result<PathBuf, ReportError> {
    write_json_to(Written::of(prefix).doppler, value)
}

fn write_json_to(target: PathBuf, value: &impl Serialize) -> Result<PathBuf, ReportError> {
    rename(temporary_json(folder_made(&target)?, &target, value)?, &target)?;
    Ok(target)
}

/// Writes `value` as `<prefix>.json`, and `page`, which shows it, as `<prefix>.html`. Both are whole before either is there, and no
/// page of an earlier run stands beside this run's JSON.
///
/// # Errors
/// What the system refuses.
pub fn write_with_page(prefix: &Path, value: &impl Serialize, page: &str) -> Result<Written, ReportError> {
    let (written, folder) = (Written::of(prefix), folder_made(prefix)?);
    let json = temporary_json(folder, &written.json, value)?;
    let html = temporary(folder, &written.html, |to| to.write_all(page.as_bytes()))?;
    let _held = hold(folder);
    remove(&written.html)?;
    rename(json, &written.json)?;
    rename(html, &written.html)?;
    Ok(written)
}

/// Writes `page` as `<prefix>.html`, whole or not at all.
///
/// # Errors
/// What the system refuses.
pub fn write_html(prefix: &Path, page: &str) -> Result<PathBuf, ReportError> {
    let target = Written::of(prefix).html;
    rename(temporary(folder_made(prefix)?, &target, |to| to.write_all(page.as_bytes()))?, &target)?;
    Ok(target)
}

/// The folder that files with this prefix are in.
fn folder_made(prefix: &Path) -> Result<&Path, ReportError> {
    let folder = folder_of(prefix);
    fs::create_dir_all(folder).map_err(ReportError::io("make the folder", folder))?;
    Ok(folder)
}

fn temporary_json(folder: &Path, target: &Path, value: &impl Serialize) -> Result<NewFile, ReportError> {
    temporary(folder, target, |to| {
        serde_json::to_writer_pretty(&mut *to, value)?;
        to.write_all(b"\n")
    })
}

/// Removes what an earlier run left, which may be nothing.
fn remove(target: &Path) -> Result<(), ReportError> {
    match fs::remove_file(target) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ReportError::io("replace", target)(error)),
        _ => Ok(()),
    }
}

/// A whole file in `folder`, to become `target`.
fn temporary(
    folder: &Path,
    target: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<NewFile, ReportError> {
    NewFile::write(folder, fill).map_err(ReportError::io("write", target))
}

fn rename(temporary: NewFile, target: &Path) -> Result<(), ReportError> {
    temporary.rename(target).map_err(ReportError::io("rename a temporary file to", target))
}
