//! The kinds of files, and how Loupe reads each.

use std::fmt::Display;
use std::path::Path;

use loupe_candidate::{Names, Source};
use loupe_checkpoint::{Checkpoint, RowSelection};
use loupe_judge::Verdicts;
use loupe_spec::{Dtype, Policy};
use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::mutate::Inside;

/// A kind of file.
#[derive(Debug)]
pub struct Kind {
    /// Its folder of seeds, and its target of cargo-fuzz.
    pub name: &'static str,
    /// What the file is called where it is read.
    pub(crate) file: &'static str,
    /// Right files that have to be beside it.
    pub(crate) beside: &'static [(&'static str, &'static [u8])],
    /// Where a mutation finds more than the format's checks.
    pub(crate) inside: Inside,
    pub(crate) read: fn(&Path) -> Result<(), String>,
}

const CONFIG: (&str, &[u8]) = ("config.json", include_bytes!("../corpus/config_json/mini.json"));
const WEIGHTS: (&str, &[u8]) = ("model.safetensors", include_bytes!("../corpus/weights/mini.safetensors"));

/// All of them.
pub const KINDS: &[Kind] = &[
    Kind { name: "config", file: "config.json", beside: &[], inside: Inside::Json, read: config },
    Kind { name: "config_json", file: "config.json", beside: &[WEIGHTS], inside: Inside::Json, read: checkpoint },
    Kind { name: "weights", file: "model.safetensors", beside: &[CONFIG], inside: Inside::Header, read: checkpoint },
    Kind {
        name: "index",
        file: "model.safetensors.index.json",
        beside: &[
            ("config.json", include_bytes!("../../../tests/fixtures/sharded/config.json")),
            (
                "model-00001-of-00003.safetensors",
                include_bytes!("../../../tests/fixtures/sharded/model-00001-of-00003.safetensors"),
            ),
            (
                "model-00002-of-00003.safetensors",
                include_bytes!("../../../tests/fixtures/sharded/model-00002-of-00003.safetensors"),
            ),
            (
                "model-00003-of-00003.safetensors",
                include_bytes!("../../../tests/fixtures/sharded/model-00003-of-00003.safetensors"),
            ),
        ],
        inside: Inside::Json,
        read: checkpoint,
    },
    Kind { name: "tokenizer", file: "tokenizer.json", beside: &[CONFIG], inside: Inside::Json, read: tokenizer },
    Kind {
        name: "report",
        file: "report.json",
        beside: &[("report.safetensors", include_bytes!("../beside/report.safetensors"))],
        inside: Inside::Json,
        read: report,
    },
    Kind { name: "verdict", file: "verdict.json", beside: &[], inside: Inside::Json, read: verdict },
    Kind { name: "dump", file: "a.safetensors", beside: &[], inside: Inside::Header, read: candidate },
    Kind { name: "npy", file: "l_out-0.npy", beside: &[], inside: Inside::Bytes, read: candidate },
    Kind { name: "npz", file: "a.npz", beside: &[], inside: Inside::Zip, read: candidate },
    Kind { name: "pt", file: "a.pt", beside: &[], inside: Inside::Zip, read: candidate },
    Kind { name: "json", file: "a.json", beside: &[("beside.bin", &[0; 24])], inside: Inside::Json, read: candidate },
    Kind { name: "log", file: "a.log", beside: &[], inside: Inside::Bytes, read: candidate },
    Kind { name: "bin", file: "l_out-0.bin", beside: &[], inside: Inside::Bytes, read: candidate },
];

fn text(error: impl Display) -> String {
    error.to_string()
}

/// One config of `loupe`, or one of a matrix. Of a refused one all that a person sees is made: the lines it is in, and what points at
/// the place.
fn config(path: &Path) -> Result<(), String> {
    loupe_config::read(path).map(|_| ()).map_err(|error| {
        let mut shown = String::new();
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
        // Writing to a String cannot fail.
        let _ = handler.with_width(120).render_report(&mut shown, &error);
        shown
    })
}

/// The checkpoint of this folder: all its tensors, in one type and another.
fn checkpoint(path: &Path) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let checkpoint = Checkpoint::open(&folder.to_string_lossy(), None).map_err(text)?;
    let tensors = checkpoint.tensors().map_err(text)?;
    tensors.id();
    for weight in checkpoint.graph().weights() {
        for dtype in [Dtype::F32, Dtype::F64] {
            tensors.read(weight, RowSelection::All, dtype).map_err(text)?;
        }
    }
    Ok(())
}

/// Token ids of two prompts, and their pieces.
fn tokenizer(path: &Path) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let checkpoint = Checkpoint::open(&folder.to_string_lossy(), None).map_err(text)?;
    for prompt in ["The color", "a\u{301} \u{1F600} 12\n\0\u{FB01} ab"] {
        let ids = checkpoint.encode(prompt).map_err(text)?;
        checkpoint.pieces(&ids);
    }
    Ok(())
}

fn report(path: &Path) -> Result<(), String> {
    let (_, tensors) = loupe_report::read(path).map_err(text)?;
    tensors.names().iter().try_for_each(|name| tensors.get(name).map(|_| ())).map_err(text)
}

/// A saved verdict: judged by others' tolerances, said, and as a page.
fn verdict(path: &Path) -> Result<(), String> {
    let json = std::fs::read(path).map_err(text)?;
    let mut verdicts = Verdicts::from_json(&json).map_err(text)?;
    verdicts.verdicts.iter_mut().for_each(|verdict| verdict.tolerate(&Policy::NAMED));
    loupe_judge::text(&verdicts, Some(path));
    loupe_page::page(&verdicts).map(|_| ()).map_err(text)
}

/// A candidate: its names with their meanings, and every tensor.
fn candidate(path: &Path) -> Result<(), String> {
    let source = Source::open(path).map_err(text)?;
    let names = source.names();
    Names::of(&names, &[], Some(2)).line();
    source.unread();
    // A text has names of which there are some values alone.
    let mut whole = names.iter().filter(|name| source.shape(name).is_some());
    whole.try_for_each(|name| source.get(name).map(|_| ())).map_err(text)
}
