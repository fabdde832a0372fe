//! The config key `mistakes`: the one place where the catalogue meets the model.

use burn::tensor::backend::Backend;
use loupe_model::Table;
use loupe_spec::{Config, Mistake};

use crate::EngineError;

/// The mistakes that can be planted; none in a program built without them.
pub fn mistakes() -> &'static [Mistake] {
    #[cfg(feature = "mistakes")]
    return loupe_mistakes::ALL;
    #[cfg(not(feature = "mistakes"))]
    return &[];
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
