//! `explain`: what a name in a verdict means, or a probe point's.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use loupe_checkpoint::Checkpoint;
use loupe_runtime::mistakes;
use loupe_spec::{Arithmetic, Edit, Graph, Mistake, MistakeKind, Parameter, Probe, What, nearest};
use serde_json::{Value, json};

use crate::CheckError;

/// The text, and what it says as a document. Without `id`, every name; probe points in the document alone.
pub(crate) fn run(id: Option<&str>) -> Result<(String, Value), CheckError> {
    // Which stages there are is the same in every checkpoint.
    let checkpoint = Checkpoint::open("builtin:tiny", None)?;
    let graph = checkpoint.graph();
    match id {
        None => {
            let probes: Vec<Value> = one_layer(graph).into_iter().map(|probe| probe_document(probe, graph)).collect();
            let document = json!({ "mistakes": documents(mistakes().iter(), graph), "probes": probes });
            Ok((catalogue(graph), document))
        }
        Some(id) => one(id, graph),
    }
}

fn one(id: &str, graph: &Graph) -> Result<(String, Value), CheckError> {
    let ways: Vec<&'static Mistake> =
        mistakes().iter().filter(|mistake| mistake.id == id || mistake.name() == id).collect();
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
    if let Some(probe) = one_layer(graph).into_iter().find(|probe| is_called(*probe, id)) {
        return Ok((probe_text(probe, graph), json!({ "probes": [probe_document(probe, graph)] })));
    }
    let arithmetics = Arithmetic::ALL.into_iter().map(Arithmetic::name);
    let all = mistakes().iter().map(|mistake| mistake.id).chain(arithmetics);
    let all = all.chain(Parameter::ALL.into_iter().map(Parameter::name));
    let known: Vec<&str> = all.chain(Probe::each().map(Probe::path)).collect();
    let nearest = nearest(id, known).map(str::to_string);
    Err(CheckError::NoEntry { id: id.to_string(), nearest })
}

/// The probe points, those of a layer once.
fn one_layer(graph: &Graph) -> Vec<Probe> {
    graph.probes().filter(|probe| probe.layer().unwrap_or(0) == 0).collect()
}

/// Whether `name` is the probe's of any layer, of `{l}`, or without one.
fn is_called(probe: Probe, name: &str) -> bool {
    let named = Probe::named(name).is_some_and(|named| named.pattern() == probe.pattern());
    named || name == probe.pattern() || name == probe.path()
}

fn probe_text(probe: Probe, graph: &Graph) -> String {
    let mut out = format!("{}: {}\n", probe.pattern(), probe.meaning().replace('`', ""));
    let mistakes = mistakes().iter().filter(|mistake| (mistake.at)(probe)).map(Mistake::name);
    for (label, text) in [
        ("shape", format!("[{}]", axes(probe).join(", "))),
        ("from", inputs(probe, graph).join(", ")),
        ("weight", weight(probe, graph).unwrap_or_default()),
        ("transformers", probe.in_transformers().replace('`', "")),
        ("mistakes", mistakes.collect::<Vec<_>>().join(", ")),
    ] {
        if !text.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {label:<12} {text}");
        }
    }
    out
}

fn probe_document(probe: Probe, graph: &Graph) -> Value {
    json!({
        "name": probe.pattern(),
        "shape": axes(probe),
        "inputs": inputs(probe, graph),
        "weight": weight(probe, graph),
        "what": probe.meaning(),
        "transformers": probe.in_transformers(),
    })
}

/// The letters of docs/probes.md.
fn axes(probe: Probe) -> Vec<String> {
    probe.axes().iter().map(|axis| format!("{axis:?}")).collect()
}

/// What it is computed from in any layer: the first layer's input comes from the embedding, each other's from the layer before.
fn inputs(probe: Probe, graph: &Graph) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for node in graph.nodes().iter().filter(|node| node.probe.pattern() == probe.pattern()) {
        for input in &node.inputs {
            let name = match input.layer() {
                Some(_) if node.probe.layer().is_none() => format!("layers.{{last}}.{}", input.path()),
                Some(layer) if Some(layer) != node.probe.layer() => format!("layers.{{l - 1}}.{}", input.path()),
                _ => input.pattern(),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn weight(probe: Probe, graph: &Graph) -> Option<String> {
    graph.weight(probe).map(|weight| weight.to_string().replace("layers.0.", "layers.{l}."))
}

/// The number that `mistake` puts in the place of another, if that is all it does.
fn number(mistake: &'static Mistake, graph: &Graph) -> Option<Value> {
    let edited = graph.edited(&[Edit::everywhere(What::Mistake(mistake), graph)]);
    let (right, wrong) = graph.nodes().iter().zip(edited.nodes()).find(|(right, wrong)| right.op != wrong.op)?;
    let parameter = Parameter::ALL.into_iter().find(|parameter| parameter.is_at(right.probe))?;
    let same = right.op.with(wrong.op.number().unwrap_or(f64::INFINITY)) == wrong.op;
    same.then(|| json!({ "parameter": parameter.name(), "right": right.op.number(), "wrong": wrong.op.number() }))
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

fn documents(all: impl Iterator<Item = &'static Mistake>, graph: &Graph) -> Vec<Value> {
    all.map(|mistake| {
        json!({
            "id": mistake.id,
            "variant": mistake.variant,
            "sentence": mistake.what,
            "formula": mistake.formula,
            "right": mistake.right.to_string(),
            "kind": kind(mistake.kind).split(':').next(),
            "stages": stages(mistake, graph),
            "number": number(mistake, graph),
            "hidden_when": mistake.hidden_when,
            "seen_in": mistake.seen_in,
        })
    })
    .collect()
}
