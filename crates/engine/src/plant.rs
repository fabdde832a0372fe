//! The config key `mistakes`: the one place where the catalogue meets the model. Parameters may be given other values by
//! the same key.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::backend::Backend;
use loupe_backends::{Engine, Task, on_referee};
use loupe_model::{Operations, Table};
use loupe_spec::{Config, Graph, Mistake, Parameter, Probe, echo, hint, nearest};
use serde_json::Value;

use crate::EngineError;

/// The mistakes that can be planted.
pub fn mistakes() -> &'static [Mistake] {
    loupe_mistakes::ALL
}

/// Whether `names` can be planted together in the model of `graph`.
///
/// # Errors
/// A name that cannot be planted, or two of which only the later would be: they give one operation, or one number, two
/// meanings.
pub fn plantable(names: &[String], graph: &Graph) -> Result<(), EngineError> {
    if names.len() < 2 {
        return Ok(());
    }
    let after =
        |names: &[&String]| names.iter().fold(SOME_IDS.to_vec(), |ids, name| plant_in_tokens(&[name.to_string()], ids));
    let of_tokens: BTreeSet<&String> = names.iter().filter(|name| after(&[*name]) != SOME_IDS).collect();
    for (one, other) in of_tokens.iter().flat_map(|one| of_tokens.iter().map(move |other| (*one, *other))) {
        if after(&[one, other]) != after(&[other, one]) {
            return Err(contradiction(one, other, "the token ids"));
        }
    }
    on_referee(Apart { names, graph })?
}

/// Token ids that tell one order of edits from another: each is different.
const SOME_IDS: [usize; 3] = [0, 1, 2];

struct Apart<'a> {
    names: &'a [String],
    graph: &'a Graph,
}

impl Task for Apart<'_> {
    type Output = Result<(), EngineError>;

    fn run<B: Backend>(self, _engine: Engine<B>) -> Self::Output {
        let right = Table::<B>::gemma2(self.graph);
        let probes: Vec<Probe> = self.graph.probes().collect();
        // Who changed an entry of a probe's operations, and to what.
        let mut taken: BTreeMap<(Probe, &str), (&String, Operations<B>)> = BTreeMap::new();
        for name in self.names {
            let own = table::<B>(std::slice::from_ref(name), self.graph)?;
            for probe in &probes {
                let (Some(own), Some(right)) = (own.at(*probe), right.at(*probe)) else { continue };
                for entry in own.changed_from(right) {
                    let (other, theirs) = taken.entry((*probe, entry)).or_insert_with(|| (name, own.clone()));
                    if own.changed_from(theirs).contains(&entry) {
                        return Err(contradiction(other, name, &format!("{entry} at {probe}")));
                    }
                }
            }
        }
        Ok(())
    }
}

fn contradiction(one: &str, other: &str, what: &str) -> EngineError {
    EngineError::Mistake(format!(
        "\"{one}\" and \"{other}\" contradict each other: both change {what}, and only one of them would be planted; \
         leave one out, or write where each is made (id@LAYER or id@PROBE)"
    ))
}

/// Makes `document`, a config.json, say the named mistakes.
///
/// # Errors
/// A mistake that no config.json can say, or that does not exist.
pub fn plant_in_config(mistakes: &[String], config: &Config, document: &mut Value) -> Result<(), EngineError> {
    for name in mistakes {
        loupe_mistakes::known(name).map_err(mistake_error)?;
        if !loupe_mistakes::edit_config(name, config, document) {
            let reason = "cannot be exported: no config.json makes a right engine do it; plant it in a check instead";
            return Err(EngineError::Mistake(format!("\"{name}\" {reason}")));
        }
    }
    Ok(())
}

/// What an engine with mistakes `names` tokenizes in the place of `prompt`.
pub fn plant_in_prompt(names: &[String], prompt: &str) -> String {
    names.iter().fold(prompt.to_string(), |text, name| loupe_mistakes::edit_prompt(name, &text).unwrap_or(text))
}

/// The token ids that an engine with mistakes `names` runs in the place of `ids`.
pub fn plant_in_tokens(names: &[String], ids: Vec<usize>) -> Vec<usize> {
    names.iter().fold(ids, |ids, name| loupe_mistakes::edit_tokens(name, &ids).unwrap_or(ids))
}

/// Gemma 2's table with what `planted` names: mistakes (`silu`, `silu@3`, `norm_eps@layers.3.input_layernorm`), and
/// parameters with another value (`attn_scale=0.25`, sites as for mistakes).
pub fn table<B: Backend>(planted: &[String], graph: &Graph) -> Result<Table<B>, EngineError> {
    let mut table = Table::gemma2(graph);
    for name in planted {
        match name.split_once('=') {
            Some((parameter, value)) => set(parameter, value, graph, &mut table)?,
            None => loupe_mistakes::plant(name, graph, &mut table).map_err(mistake_error)?,
        }
    }
    Ok(table)
}

/// `parameter` = `value`, which may have a site after it.
fn set<B: Backend>(parameter: &str, value: &str, graph: &Graph, table: &mut Table<B>) -> Result<(), EngineError> {
    let (value, site) = value.split_once('@').map_or((value, None), |(value, site)| (value, Some(site)));
    let known = Parameter::named(parameter).ok_or_else(|| {
        let near = hint(nearest(parameter, Parameter::ALL.iter().map(|parameter| parameter.name())));
        EngineError::Mistake(format!("no parameter is called \"{}\"{near}", echo(parameter)))
    })?;
    let number: f64 = value.parse().map_err(|_| {
        let found = echo(value);
        EngineError::Mistake(format!("{parameter}={found}: expected a number (inf turns a cap off), found \"{found}\""))
    })?;
    let chosen = |probe: Probe| known.is_at(probe) && site.is_none_or(|site| probe.is_at(site));
    if !graph.probes().any(chosen) {
        let example = graph.probes().find(|probe| known.is_at(*probe));
        let example = example.map(|probe| format!(", for example {parameter}={value}@{probe}")).unwrap_or_default();
        let site = echo(site.unwrap_or_default());
        return Err(EngineError::Mistake(format!(
            "parameter {parameter} does not touch \"{site}\"; write a layer's number or a probe that it stands in{example}"
        )));
    }
    table.edit(chosen, |operations| operations.constants.set(known, number));
    Ok(())
}

fn mistake_error(error: loupe_mistakes::PlantError) -> EngineError {
    EngineError::Mistake(error.to_string())
}
