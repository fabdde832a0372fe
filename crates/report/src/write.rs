//! Writing a report so that a killed run leaves no half file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use loupe_spec::HostTensor;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::read::agree;
use crate::{Report, ReportError, header};

/// The two files of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `<prefix>.json`
    pub json: PathBuf,
    /// `<prefix>.safetensors`
    pub safetensors: PathBuf,
}

impl Written {
    /// The files that a report with this prefix has. The endings are appended: `out/v1.2` has `out/v1.2.json`.
    pub fn of(prefix: &Path) -> Written {
        let with = |ending: &str| {
            let mut path = OsString::from(prefix);
            path.push(ending);
            PathBuf::from(path)
        };
        Written { json: with(".json"), safetensors: with(".safetensors") }
    }
}

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
    let folder = folder_of(prefix);
    fs::create_dir_all(folder).map_err(ReportError::io("make the folder", folder))?;

    let tensors = temporary(folder, &written.safetensors, |to| {
        to.write_all(&header)?;
        data.iter().try_for_each(|tensor| to.write_all(&tensor.values.le_bytes()))
    })?;
    let json = temporary(folder, &written.json, |to| {
        serde_json::to_writer_pretty(&mut *to, report)?;
        to.write_all(b"\n")
    })?;
    // Between the two renames an earlier run's JSON must not stand beside this run's tensors.
    match fs::remove_file(&written.json) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(ReportError::io("replace", &written.json)(error));
        }
        _ => {}
    }
    rename(tensors, &written.safetensors)?;
    rename(json, &written.json)?;
    Ok(written)
}

/// Writes `value` as `<prefix>.json`, whole or not at all: a verdict, or whatever else goes beside reports.
///
/// # Errors
/// What the system refuses.
pub fn write_json(prefix: &Path, value: &impl Serialize) -> Result<PathBuf, ReportError> {
    let target = Written::of(prefix).json;
    let folder = folder_of(prefix);
    fs::create_dir_all(folder).map_err(ReportError::io("make the folder", folder))?;
    let json = temporary(folder, &target, |to| {
        serde_json::to_writer_pretty(&mut *to, value)?;
        to.write_all(b"\n")
    })?;
    rename(json, &target)?;
    Ok(target)
}

fn folder_of(prefix: &Path) -> &Path {
    match prefix.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A whole file under a temporary name in `folder`, to become `target`. Dropped, it is deleted.
fn temporary(
    folder: &Path,
    target: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<NamedTempFile, ReportError> {
    let make = || {
        // Opened by hand: tempfile's own files are for their owner's eyes only, and a report is to be shared.
        let temporary = tempfile::Builder::new().prefix(".loupe-").make_in(folder, |path| File::create_new(path))?;
        let mut buffered = BufWriter::new(temporary.as_file());
        fill(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        Ok(temporary)
    };
    make().map_err(ReportError::io("write", target))
}

fn rename(temporary: NamedTempFile, target: &Path) -> Result<(), ReportError> {
    temporary
        .persist(target)
        .map(drop)
        .map_err(|error| ReportError::io("rename a temporary file to", target)(error.error))
}
