//! `cargo xtask fixtures 2b DIR`: what a real checkpoint's size asks of the program, tried without downloading one.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use miette::{Result, miette};

/// gemma-2-2b-it's own config.json.
const GEMMA_2B: &str = include_str!("gemma-2-2b.json");
/// As many files as Google's own upload has.
const SHARDS: usize = 2;
const SEED: u64 = 2;

/// Writes a checkpoint of gemma-2-2b's shape with random bf16 weights to `folder`, which must not hold one already, and says
/// how it is used.
///
/// # Errors
/// A folder that holds a checkpoint, or that cannot be written to.
pub fn gemma_2b(folder: &Path) -> Result<String> {
    // Draws on a terminal only.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    loupe_checkpoint::write_random(GEMMA_2B, folder, SHARDS, SEED, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .map_err(|error| miette!("{error}"))?;
    bar.finish_and_clear();
    let model = folder.display();
    Ok(format!(
        "written: {model}, with gemma-2-2b's shape and random weights; it has no tokenizer, so name token ids:\n  \
         {{\"check\": \"embed\", \"model\": \"{model}\", \"token_ids\": [2, 651, 2881, 576, 573, 8203, 603]}}\n"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use loupe_spec::{Config, Graph};

    #[test]
    fn the_shape_has_as_many_parameters_as_gemma_2_2b() {
        let graph = Graph::of(&Config::from_json(GEMMA_2B).unwrap());
        let parameters: usize = graph.weights().map(|w| graph.weight_shape(w).iter().product::<usize>()).sum();
        assert_eq!(parameters, 2_614_341_888);
    }

    #[test]
    fn a_folder_with_a_checkpoint_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "mine").unwrap();
        let error = gemma_2b(folder.path()).unwrap_err().to_string();
        assert!(error.contains("already holds config.json"), "{error}");
        assert_eq!(std::fs::read_to_string(folder.path().join("config.json")).unwrap(), "mine");
    }
}
