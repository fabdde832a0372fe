//! From what a config says is to be planted to edits of the graph, wrong formulas, other tokens or another config.json.

use burn::tensor::backend::Backend;
use loupe_model::{Formulas, Wrong};
use loupe_spec::{Change, Config, Edit, Graph, Kind, Mistake, Parameter, Probe, What, echo, hint, nearest};

use crate::catalogue::{self, ALL, How};
use crate::tokens;

/// Why a mistake was not planted.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// No such id.
    #[error("no mistake is called \"{}\"{}", echo(.name), hint(.nearest.as_deref()))]
    Unknown {
        /// As given.
        name: String,
        /// Most like it.
        nearest: Option<String>,
    },
    /// A site that this mistake does not touch.
    #[error(
        "mistake {name} does not touch \"{}\"; write {name}@LAYER or {name}@PROBE with a probe that it changes, for example {example}",
        echo(.site)
    )]
    Site {
        /// The mistake.
        name: String,
        /// As given.
        site: String,
        /// A site that works.
        example: String,
    },
    /// No such number.
    #[error("no parameter is called \"{}\"{}", echo(.name), hint(.nearest.as_deref()))]
    UnknownNumber {
        /// As given.
        name: String,
        /// Most like it.
        nearest: Option<String>,
    },
    /// A value that is no number.
    #[error("{parameter}={}: expected a number (inf turns a cap off), found \"{}\"", echo(.found), echo(.found))]
    NoNumber {
        /// The parameter.
        parameter: &'static str,
        /// As given.
        found: String,
    },
    /// A site in whose formula the number does not stand.
    #[error(
        "parameter {parameter} does not touch \"{}\"; write a layer's number or a probe that it stands in{example}",
        echo(.site)
    )]
    NumberSite {
        /// The parameter.
        parameter: &'static str,
        /// As given.
        site: String,
        /// `, for example …`
        example: String,
    },
    /// Two of which only one would be made.
    #[error(
        "\"{one}\" and \"{other}\" contradict each other: both change {what}, and only one of them would be planted; \
         leave one out, or write where each is made (id@LAYER or id@PROBE)"
    )]
    Contradiction {
        /// As given.
        one: String,
        /// As given.
        other: String,
        /// The value and what of it.
        what: String,
    },
    /// No number in config.json says it.
    #[error("\"{0}\" cannot be exported: no config.json makes a right engine do it; plant it in a check instead")]
    NoConfig(String),
}

/// What `text` says of the model of `graph`: `rope_interleaved` everywhere, `rope_interleaved@3` in layer 3,
/// `norm_without_one@layers.3.input_layernorm` at one probe; `attn_scale=0.25` gives a parameter another value, with sites as for
/// mistakes.
///
/// # Errors
/// An unknown name, no number, or a site that is not changed.
fn parse(text: &str, graph: &Graph) -> Result<Edit, PlantError> {
    let (said, site) = text.split_once('@').map_or((text, None), |(said, site)| (said, Some(site)));
    let what = match said.split_once('=') {
        Some((name, value)) => What::Number(parameter(name)?, number(parameter(name)?, value)?),
        None => What::Mistake(known(said)?),
    };
    let edit = Edit::within(what, graph, |probe| site.is_none_or(|site| probe.is_at(site)));
    if !edit.sites.is_empty() {
        return Ok(edit);
    }
    let (site, example) = (site.unwrap_or_default().to_string(), graph.probes().find(|probe| what.touches(*probe)));
    Err(match what {
        What::Mistake(_) => {
            let example = example.map_or_else(|| said.to_string(), |probe| format!("{said}@{probe}"));
            PlantError::Site { name: said.to_string(), site, example }
        }
        What::Number(parameter, _) => {
            let example = example.map(|probe| format!(", for example {said}@{probe}")).unwrap_or_default();
            PlantError::NumberSite { parameter: parameter.name(), site, example }
        }
    })
}

fn parameter(name: &str) -> Result<Parameter, PlantError> {
    Parameter::named(name).ok_or_else(|| {
        let nearest = nearest(name, Parameter::ALL.iter().map(|parameter| parameter.name())).map(str::to_string);
        PlantError::UnknownNumber { name: name.to_string(), nearest }
    })
}

fn number(parameter: Parameter, value: &str) -> Result<f64, PlantError> {
    let number = value.parse().ok().filter(|number: &f64| !number.is_nan());
    number.ok_or_else(|| PlantError::NoNumber { parameter: parameter.name(), found: value.to_string() })
}

/// The mistake called `name` (an id, or `id--variant`).
///
/// # Errors
/// There is none; the nearest is named.
pub fn known(name: &str) -> Result<&'static Mistake, PlantError> {
    ALL.iter().find(|mistake| mistake.name() == name).ok_or_else(|| {
        let names: Vec<String> = ALL.iter().map(Mistake::name).collect();
        let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_string);
        PlantError::Unknown { name: name.to_string(), nearest }
    })
}

/// What `texts` say together.
///
/// # Errors
/// One that cannot be planted, or two of which only one would be made.
pub fn parse_all(texts: &[String], graph: &Graph) -> Result<Vec<Edit>, PlantError> {
    let edits = texts.iter().map(|text| parse(text, graph)).collect::<Result<Vec<Edit>, _>>()?;
    for (at, (one, edit)) in texts.iter().zip(&edits).enumerate() {
        for (other, earlier) in texts.iter().zip(&edits).take(at) {
            if let Some(what) = contradiction(graph, earlier, edit) {
                return Err(PlantError::Contradiction { one: other.clone(), other: one.clone(), what });
            }
        }
    }
    Ok(edits)
}

/// Token ids that tell one order of edits from another: each is different.
const SOME_IDS: [usize; 3] = [0, 1, 2];

/// What both change, where only one of them would be made: tokens and graph as data, and formulas that data says nothing of.
fn contradiction(graph: &Graph, one: &Edit, other: &Edit) -> Option<String> {
    if one.shared(other).is_empty() {
        return None;
    }
    if let (What::Mistake(first), What::Mistake(second)) = (one.what, other.what) {
        let ids = |edits: [&Edit; 2]| edit_tokens(&edits.map(Edit::clone), SOME_IDS.to_vec());
        if ids([one, other]) != ids([other, one]) {
            return Some("the token ids".to_string());
        }
        let hows = [first, second].map(catalogue::how);
        let one_formula = |site: &Probe| {
            // Of a matrix that is read in two wrong ways, the order matters.
            hows == [Some(How::Instead); 2] || (!hows.contains(&None) && site.kind() == Kind::Linear)
        };
        if let (false, Some(site)) = (one.what == other.what, one.shared(other).iter().find(|site| one_formula(site))) {
            return Some(format!("the formula at {site}"));
        }
    }
    // A formula of an operation that the edit takes away everywhere.
    let lost = |formula: &Edit, edit: &Edit| {
        let What::Mistake(mistake) = formula.what else { return None };
        catalogue::how(mistake)?;
        let edited = graph.edited(std::slice::from_ref(edit));
        let op = |graph: &Graph, site| graph.node(site).map(|node| (Kind::from(node.op), node.op.number().is_none()));
        let is_taken = |site: &Probe| op(&edited, *site) != op(graph, *site);
        let first = formula.sites.first().filter(|_| formula.sites.iter().all(is_taken))?;
        Some(format!("the operation at {first}"))
    };
    lost(one, other).or_else(|| lost(other, one)).or_else(|| graph.contradiction(one, other))
}

/// The wrong formulas of `edits`. Of two that stand in the place of the right one the later does; what is around is outside, and
/// what belongs to other inputs outermost: the others are handed what the right operation is.
pub fn formulas<B: Backend>(edits: &[Edit]) -> Formulas<B> {
    let mut formulas = Formulas::new();
    for edit in Edit::once(edits) {
        let What::Mistake(mistake) = edit.what else { continue };
        let Some(wrong) = catalogue::formula::<B>(mistake) else { continue };
        for site in &edit.sites {
            let own: &mut Vec<Wrong<B>> = formulas.entry(*site).or_default();
            let instead = own.iter().position(|other| matches!(other, Wrong::Instead(_)));
            if let (Wrong::Instead(_), Some(at)) = (wrong, instead) {
                own.remove(at);
            }
            let inside = instead.unwrap_or(own.len());
            own.insert(if mistake.changes.is_empty() { inside } else { 0 }, wrong);
        }
    }
    formulas
}

/// The config.json of `graph` with `edits`, so that a right engine makes them.
///
/// # Errors
/// What no number in config.json says: another rotation, another norm, a mistake in some layers.
pub fn config_with(edits: &[Edit], graph: &Graph) -> Result<Config, PlantError> {
    let refused = |edit: &Edit| PlantError::NoConfig(edit.texts(graph).join(", "));
    let mut config = graph.config().clone();
    for edit in Edit::once(edits) {
        let What::Mistake(Mistake { changes: [Change::Config(change)], .. }) = edit.what else {
            return Err(refused(&edit));
        };
        let mut own = graph.config().clone();
        change(&mut own, graph.config());
        // What it says elsewhere, too, is another mistake.
        if Graph::of(&own).nodes() != graph.edited(std::slice::from_ref(&edit)).nodes() {
            return Err(refused(&edit));
        }
        change(&mut config, graph.config());
    }
    Ok(config)
}

/// What an engine with `edits` tokenizes in the place of `prompt`.
pub fn edit_prompt(edits: &[Edit], prompt: &str) -> String {
    tokens::changes(edits).into_iter().fold(prompt.to_string(), |prompt, change| match change {
        Change::Prompt(edit) => edit(&prompt),
        _ => prompt,
    })
}

/// The token ids that an engine with `edits` runs in the place of `ids`.
pub fn edit_tokens(edits: &[Edit], ids: Vec<usize>) -> Vec<usize> {
    tokens::changes(edits).into_iter().fold(ids, |ids, change| match change {
        Change::Tokens(edit) => edit(&ids),
        _ => ids,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn edits(texts: &[&str]) -> Vec<Edit> {
        let config = Config::from_json(
            r#"{"model_type":"gemma2","vocab_size":8,"hidden_size":6,"intermediate_size":4,"num_hidden_layers":2,
                "num_attention_heads":2,"num_key_value_heads":1,"head_dim":4}"#,
        );
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        parse_all(&texts, &Graph::of(&config.unwrap())).unwrap()
    }

    /// A verdict points to it: where the right code changes, so does what is cited of it.
    #[test]
    fn the_right_line_of_each_mistake_stands_once_in_its_file() {
        let gone: Vec<String> = ALL.iter().filter(|one| one.right.line().is_none()).map(Mistake::name).collect();
        assert!(gone.is_empty(), "the line of right code that these cite is not in its file, or there twice: {gone:?}");
    }

    /// With a site as without, and once however often it is said.
    #[test]
    fn mistakes_of_the_prompt_change_what_is_run() {
        for texts in [&["bos_missing"][..], &["bos_missing@token_ids"], &["bos_missing", "bos_missing"]] {
            assert_eq!(edit_tokens(&edits(texts), vec![2, 5, 7]), [5, 7], "{texts:?}");
        }
        assert_eq!(edit_tokens(&edits(&["bos_twice", "silu"]), vec![2, 5]), [2, 2, 5]);
        assert_eq!(edit_prompt(&edits(&["space_prefix"]), "sky"), " sky");
    }
}
