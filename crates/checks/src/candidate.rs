//! A candidate's files: Loupe's report, or a safetensors file that another engine wrote.

use std::path::Path;

use loupe_report::{Report, TensorFile, Written, is_report, read, read_safetensors};

use crate::CheckError;

pub(crate) struct Loaded {
    pub path: String,
    pub report: Option<Report>,
    pub file: TensorFile,
}

/// Opens the candidate that `path` names: a dump, or a report by its prefix or by either of its files.
///
/// # Errors
/// What is there is neither, or is broken.
pub(crate) fn load(path: &Path) -> Result<Loaded, CheckError> {
    let shown = path.display().to_string();
    let json = Written::named_by(path).json;
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    // A report's prefix may have dots in it, and there may be a folder of the same name.
    if !is_report(&json) {
        if ending == "safetensors" {
            return Ok(Loaded { path: shown, report: None, file: read_safetensors(path)? });
        }
        if ending != "json" && path.exists() {
            let (is, advice) = other(path, &ending);
            return Err(CheckError::NoDump { path: shown, is, advice });
        }
    }
    let (report, file) = read(path)?;
    Ok(Loaded { path: shown, report: Some(report), file })
}

/// What a path that is no candidate is, and what makes a candidate of it.
fn other(path: &Path, ending: &str) -> (&'static str, &'static str) {
    const RECORDED: &str = "write the values that the engine computed";
    if path.is_dir() {
        return ("a folder", "name one file; a folder of .npy files becomes one with safetensors.numpy.save_file");
    }
    match ending {
        "npz" => {
            ("a file of numpy's", "safetensors.numpy.save_file(dict(numpy.load(\"dump.npz\")), \"dump.safetensors\")")
        }
        "npy" => (
            "one array of numpy's",
            "safetensors.numpy.save_file({\"norm\": numpy.load(\"norm.npy\")}, \"dump.safetensors\")",
        ),
        "pt" | "pth" | "ckpt" => {
            ("a file of torch's", "safetensors.torch.save_file(torch.load(\"dump.pt\"), \"dump.safetensors\")")
        }
        "gguf" | "ggml" => ("weights, which are what an engine starts from", RECORDED),
        "log" | "txt" | "csv" => ("a text", RECORDED),
        _ => ("a file of another kind", RECORDED),
    }
}
