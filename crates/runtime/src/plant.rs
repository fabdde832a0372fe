//! The config key `mistakes`: the one place where the catalogue meets the model. Parameters may be given other values by
//! the same key.

use burn::tensor::backend::Backend;
use loupe_mistakes::PlantError;
pub use loupe_mistakes::{edit_prompt as plant_in_prompt, edit_tokens as plant_in_tokens};
use loupe_model::Formulas;
use loupe_spec::{Edit, Graph, Mistake};
use serde_json::Value;

use crate::RuntimeError;

/// The mistakes that can be planted.
pub fn mistakes() -> &'static [Mistake] {
    loupe_mistakes::ALL
}

/// What `names` say of the model of `graph`: mistakes (`silu`, `silu@3`, `norm_eps@layers.3.input_layernorm`), and parameters
/// with another value (`attn_scale=0.25`, sites as for mistakes).
///
/// # Errors
/// A name that cannot be planted, or two of which only one would be: they give one operation, or one number, two meanings.
pub fn edits(names: &[String], graph: &Graph) -> Result<Vec<Edit>, RuntimeError> {
    Ok(loupe_mistakes::parse_all(names, graph)?)
}

/// Makes `document`, the config.json of `graph`, say `edits`.
///
/// # Errors
/// A mistake that no config.json can say.
pub fn plant_in_config(edits: &[Edit], graph: &Graph, document: &mut Value) -> Result<(), RuntimeError> {
    let keys = loupe_mistakes::config_with(edits, graph)?.keys_changed(graph.config());
    if let Some(document) = document.as_object_mut() {
        document.extend(keys.into_iter().map(|(key, value)| (key.to_string(), value)));
    }
    Ok(())
}

/// A model with mistakes.
pub struct Planted<B: Backend> {
    /// Its values, as the mistakes change them.
    pub graph: Graph,
    /// Wrong formulas at some of them.
    pub formulas: Formulas<B>,
}

impl<B: Backend> Planted<B> {
    /// The model of `graph` with `edits`.
    pub fn new(edits: &[Edit], graph: &Graph) -> Planted<B> {
        Planted { graph: graph.edited(edits), formulas: loupe_mistakes::formulas(edits) }
    }
}

impl From<PlantError> for RuntimeError {
    fn from(error: PlantError) -> RuntimeError {
        RuntimeError::Mistake(error.to_string())
    }
}
