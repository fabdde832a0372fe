//! `weights`: tensors of the checkpoint, as stored and as the backend gives them back.

use std::path::Path;
use std::time::Instant;

use loupe_checkpoint::{Checkpoint, Tensors, sha256_hex};
use loupe_config::{Common, ModelRef, Proj, Target};
use loupe_report::{TensorSummary, read_safetensors};
use loupe_runtime::{Spec, round_trip};
use loupe_spec::{Graph, HostTensor, Weight, echo_path};
use serde_json::json;

use crate::done::{Done, Kept, model_of};
use crate::next_config::next_config;
use crate::{CheckError, blocks, text};

pub(crate) fn run(
    model: &ModelRef,
    target: &Target,
    against: Option<&Path>,
    common: &Common,
) -> Result<Done, CheckError> {
    let started = Instant::now();
    let checkpoint = Checkpoint::open(&model.id, model.revision.as_deref())?;
    let layers = checkpoint.config().num_hidden_layers;
    if let Target::LayerProj { layer, .. } = target
        && *layer >= layers
    {
        return Err(CheckError::Layer { layer: *layer, layers });
    }
    let chosen = chosen(target, checkpoint.graph())?;
    let tensors = checkpoint.tensors()?;
    let opened = started.elapsed().as_secs_f64();
    let (back, info) = round_trip(&Spec::of(common), &tensors, &chosen)?;
    let returned = started.elapsed().as_secs_f64() - opened;

    let mut out = text::header(&checkpoint, Some(tensors.id()), common, Some(&info));
    let mut findings = Vec::new();
    let kept = Kept::of(chosen.iter().zip(back).map(|(weight, value)| (format!("weights.{weight}"), value)).collect());
    for ((weight, (_, value)), (_, summary)) in chosen.iter().zip(&kept.tensors).zip(&kept.summaries) {
        describe(&mut out, &tensors, *weight, value, summary, &mut findings)?;
        if let Some(path) = against {
            compare(&mut out, path, *weight, value, &mut findings)?;
        }
    }
    let config = checkpoint.config();
    let rope = json!({"pos": 6, "dim": config.head_dim, "theta": config.rope_theta});
    Ok(Done {
        text: out,
        findings,
        next: Some(next_config("rope", model, None, common, rope)),
        model: model_of(&checkpoint, Some(tensors.id())),
        token_ids: Vec::new(),
        info,
        kept,
        timings: vec![("open".into(), opened), ("run".into(), returned)],
    })
}

/// The tensors that `proj` or `tensor` names.
fn chosen(target: &Target, graph: &Graph) -> Result<Vec<Weight>, CheckError> {
    let (layer, proj) = match target {
        Target::Tensor(name) => return Ok(vec![name.parse()?]),
        Target::LayerProj { layer, proj } => (*layer, *proj),
    };
    let projection = format!("{}_proj", proj.name());
    let is_meant = |weight: &Weight| match proj {
        Proj::All => true,
        Proj::Norms => weight.is_norm(),
        _ => weight.path().split('.').next_back() == Some(&projection),
    };
    Ok(graph.weights().filter(|weight| weight.layer() == Some(layer) && is_meant(weight)).collect())
}

fn describe(
    out: &mut String,
    tensors: &Tensors,
    weight: Weight,
    back: &HostTensor,
    summary: &TensorSummary,
    findings: &mut Vec<String>,
) -> Result<(), CheckError> {
    let entry = tensors.entry(weight)?;
    text::section(out, entry.name);
    text::field(out, "shape", &format!("{:?}", entry.shape));
    text::field(out, "dtype, file", &format!("{}, {}", entry.dtype, echo_path(entry.file)));
    let width = entry.shape.last().copied().unwrap_or(0);
    let rows = if entry.shape.len() == 2 { entry.shape[0] } else { 1 };
    text::row(out, "[0, :8]", &back.row(0), 8, 6);
    if entry.shape.len() == 2 {
        let column: Vec<f64> = (0..rows.min(8)).map(|row| back.values.get(row * width)).collect();
        text::row(out, "[:8, 0]", &column, 8, 6);
    }
    if width > 100 {
        text::row(out, "[0, 100]", &[back.values.get(100)], 1, 6);
    } else {
        text::field(out, "[0, 100]", &format!("    (rows have {width} values)"));
    }
    text::field(out, "statistics", &summary.to_string());

    let (held, (on_disk, as_stored)) = rayon::join(
        || sha256_hex(&back.values.le_bytes()),
        || (sha256_hex(entry.bytes), sha256_hex(&back.values.to_dtype(entry.dtype).le_bytes())),
    );
    text::field(out, "sha256 on disk", &on_disk);
    text::field(out, &format!("sha256 back, as {}", back.values.dtype()), &held);
    let kept =
        if as_stored == on_disk { "the backend holds the file's values exactly" } else { "rounded by the dtype" };
    text::field(out, &format!("sha256 back, as {}", entry.dtype), &format!("{as_stored} ({kept})"));

    repeated(out, weight, back, None, findings);
    Ok(())
}

/// Says which blocks of `tensor` repeat; `file` is where it came from, when that is not the checkpoint.
fn repeated(out: &mut String, weight: Weight, tensor: &HostTensor, file: Option<&Path>, findings: &mut Vec<String>) {
    let place = file.map(|path| format!(" in {}", echo_path(path))).unwrap_or_default();
    let width = tensor.shape.last().copied().unwrap_or(1).max(1);
    let runs: Vec<_> = blocks::SIZES.iter().filter_map(|size| blocks::longest_run(tensor, *size)).collect();
    if runs.is_empty() {
        text::field(out, "repeated blocks", &format!("none of 32 or 256 values{place}"));
    }
    for run in runs {
        let (row, column) = (run.start / width, run.start % width);
        let what =
            format!("{} equal blocks of {} values in a row, from [{row}, {column}]{place}", run.length, run.size);
        text::field(out, "repeated blocks", &what);
        findings.push(format!("{weight}: {what}: the mark of a dequantiser that does not advance"));
    }
}

/// Holds `back` against the tensor of the same name (with or without `weights.`) in another file.
fn compare(
    out: &mut String,
    path: &Path,
    weight: Weight,
    back: &HostTensor,
    findings: &mut Vec<String>,
) -> Result<(), CheckError> {
    let file = read_safetensors(path)?;
    let names = [weight.to_string(), format!("weights.{weight}")];
    let Some(name) = names.iter().find(|name| file.contains(name)) else {
        let reason = format!("holds neither \"{}\" nor \"{}\"", names[0], names[1]);
        return Err(CheckError::Against { path: path.display().to_string(), reason });
    };
    let other = file.get(name)?;
    repeated(out, weight, &other, Some(path), findings);
    if other.shape != back.shape {
        findings.push(format!("{weight}: shape {:?} here, {:?} in {}", back.shape, other.shape, echo_path(path)));
        return Ok(());
    }
    let differs = |at: &usize| back.values.get(*at) != other.values.get(*at);
    let count = (0..back.values.len()).filter(differs).count();
    match (0..back.values.len()).find(differs) {
        None => text::field(out, "against", &format!("equal in {}", echo_path(path))),
        Some(first) => {
            let largest =
                (0..back.values.len()).map(|at| (back.values.get(at) - other.values.get(at)).abs()).fold(0.0, f64::max);
            let what = format!(
                "{count} of {} values differ from {}, the first at index {first} ({} here, {} there), by {largest:e} at most",
                back.values.len(),
                echo_path(path),
                back.values.get(first),
                other.values.get(first),
            );
            text::field(out, "against", &what);
            findings.push(format!("{weight}: {what}"));
        }
    }
    Ok(())
}
