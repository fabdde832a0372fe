//! The config key `mistakes`: the one place where the catalogue meets the model.

use burn::tensor::backend::Backend;
use loupe_model::Table;
use loupe_spec::{Config, Mistake};
use serde_json::Value;

use crate::EngineError;

/// The mistakes that can be planted; none in a program built without them.
pub fn mistakes() -> &'static [Mistake] {
    #[cfg(feature = "mistakes")]
    return loupe_mistakes::ALL;
    #[cfg(not(feature = "mistakes"))]
    return &[];
}

/// Makes `document`, a config.json, say the named mistakes.
///
/// # Errors
/// A mistake that no config.json can say, or that does not exist.
pub fn plant_in_config(mistakes: &[String], config: &Config, document: &mut Value) -> Result<(), EngineError> {
    for name in mistakes {
        #[cfg(feature = "mistakes")]
        let said = {
            loupe_mistakes::known(name).map_err(|error| EngineError::Mistake(error.to_string()))?;
            loupe_mistakes::edit_config(name, config, document)
        };
        #[cfg(not(feature = "mistakes"))]
        let said = {
            let _ = (config, &*document, name);
            false
        };
        if !said {
            let reason = "cannot be exported: no config.json makes a right engine do it; plant it in a check instead";
            return Err(EngineError::Mistake(format!("\"{name}\" {reason}")));
        }
    }
    Ok(())
}

/// Gemma 2's table with the named mistakes planted.
#[cfg(feature = "mistakes")]
pub fn table<B: Backend>(mistakes: &[String], config: &Config) -> Result<Table<B>, EngineError> {
    let mut table = Table::gemma2(config);
    for mistake in mistakes {
        loupe_mistakes::plant(mistake, config, &mut table).map_err(|e| EngineError::Mistake(e.to_string()))?;
    }
    Ok(table)
}

/// Gemma 2's table; this program has no mistakes to plant.
#[cfg(not(feature = "mistakes"))]
pub fn table<B: Backend>(mistakes: &[String], config: &Config) -> Result<Table<B>, EngineError> {
    match mistakes.first() {
        None => Ok(Table::gemma2(config)),
        Some(first) => Err(EngineError::Mistake(format!(
            "\"{first}\" cannot be planted: this loupe was built without the feature \"mistakes\""
        ))),
    }
}
