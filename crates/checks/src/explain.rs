//! `explain`: what a name in a verdict means.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use loupe_checkpoint::Checkpoint;
use loupe_engine::mistakes;
use loupe_spec::{Arithmetic, Graph, Mistake, MistakeKind, Parameter, Probe, nearest};
use serde_json::{Value, json};

use crate::CheckError;

/// The text, and what it says as a document. Without `id`, every name.
pub(crate) fn run(id: Option<&str>) -> Result<(String, Value), CheckError> {
    // Which stages there are is the same in every checkpoint.
    let checkpoint = Checkpoint::open("builtin:tiny", None)?;
    let graph = checkpoint.graph();
    match id {
        None => Ok((catalogue(graph), json!({ "mistakes": documents(mistakes().iter(), graph) }))),
        Some(id) => one(id, graph),
    }
}

fn one(id: &str, graph: &Graph) -> Result<(String, Value), CheckError> {
    let ways: Vec<&Mistake> = mistakes().iter().filter(|mistake| mistake.id == id || mistake.name() == id).collect();
    if !ways.is_empty() {
        let mut texts: Vec<String> = ways.iter().map(|mistake| mistake_text(mistake, graph)).collect();
        // rope_theta is both.
        texts.extend(Parameter::named(id).map(number_text));
        return Ok((texts.join("\n"), json!({ "mistakes": documents(ways.into_iter(), graph) })));
    }
    if let Some(arithmetic) = Arithmetic::ALL.into_iter().find(|arithmetic| arithmetic.name() == id) {
        let what = arithmetic.what();
        return Ok((
            format!("{id}: {what}. No mistake, but a precision: the verdict allows for its rounding.\n"),
            json!({ "arithmetic": id, "what": what }),
        ));
    }
    if let Some(parameter) = Parameter::named(id) {
        return Ok((number_text(parameter), json!({ "parameter": id, "formula": parameter.formula() })));
    }
    let arithmetics = Arithmetic::ALL.into_iter().map(Arithmetic::name);
    let all = mistakes().iter().map(|mistake| mistake.id).chain(arithmetics);
    let known: Vec<&str> = all.chain(Parameter::ALL.into_iter().map(Parameter::name)).collect();
    let nearest = nearest(id, known).map(str::to_string);
    Err(CheckError::NoEntry { id: id.to_string(), nearest })
}

fn number_text(parameter: Parameter) -> String {
    format!("{}: a number that Loupe can estimate, in {}\n", parameter.name(), parameter.formula())
}

/// Every mistake in a line, in the order of the forward pass.
fn catalogue(graph: &Graph) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["mistake", "shows first at", "what it does"]);
    for mistake in mistakes() {
        let first = stages(mistake, graph).into_iter().next().unwrap_or_default();
        table.add_row([mistake.name(), first, mistake.what.to_string()]);
    }
    let names = |names: Vec<&str>| names.join(", ");
    format!(
        "{table}\n\n{{\"check\": \"explain\", \"id\": \"{}\"}} shows the details of one.\n\
         Numbers that Loupe can estimate: {}.\nPrecisions, which are no mistakes: {}.\n",
        mistakes().first().map_or("", |mistake| mistake.id),
        names(Parameter::ALL.map(Parameter::name).to_vec()),
        names(Arithmetic::ALL.map(Arithmetic::name).to_vec())
    )
}

fn mistake_text(mistake: &Mistake, graph: &Graph) -> String {
    let mut out = format!("{}: {}\n", mistake.name(), mistake.what);
    let mut line = |label: &str, text: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {label:<11} {text}");
    };
    line("right", mistake.formula.right);
    line("wrong", mistake.formula.wrong);
    line("reference", &mistake.right.to_string());
    line("kind", kind(mistake.kind));
    line("shows at", &stages(mistake, graph).join(", "));
    line("hides when", mistake.hidden_when);
    line("seen in", mistake.seen_in);
    out
}

fn kind(kind: MistakeKind) -> &'static str {
    match kind {
        MistakeKind::Architectural => "architectural: something else is computed",
        MistakeKind::DtypePolicy => {
            "numeric: the formula is right, a cast stands in another place than in transformers"
        }
        MistakeKind::BackendFault => "backend_fault: the formula is right, what ran it is not",
    }
}

/// The stages that `mistake` changes, in computing order, without their layers' numbers.
fn stages(mistake: &Mistake, graph: &Graph) -> Vec<String> {
    Probe::patterns(graph.probes().filter(|probe| (mistake.at)(*probe)))
}

fn documents<'a>(all: impl Iterator<Item = &'a Mistake>, graph: &Graph) -> Vec<Value> {
    all.map(|mistake| {
        json!({
            "id": mistake.id,
            "variant": mistake.variant,
            "sentence": mistake.what,
            "formula": mistake.formula,
            "right": mistake.right.to_string(),
            "kind": kind(mistake.kind).split(':').next(),
            "stages": stages(mistake, graph),
            "hidden_when": mistake.hidden_when,
            "seen_in": mistake.seen_in,
        })
    })
    .collect()
}
