//! Which mistake made an engine run other tokens than the prompt's.

use loupe_checkpoint::Checkpoint;
use loupe_config::Input;
use loupe_runtime::{mistakes, plant_in_prompt, plant_in_tokens};
use loupe_spec::{Edit, Mistake, Probe, What};

/// The mistake of the prompt that turns `asked` into `own`, where one does.
pub fn token_mistake(
    own: &[usize],
    asked: &[usize],
    input: &Input,
    checkpoint: &Checkpoint,
) -> Option<&'static Mistake> {
    let of_the_prompt = mistakes().iter().filter(|mistake| (mistake.at)(Probe::TOKEN_IDS));
    let makes = |mistake: &&'static Mistake| {
        let edits = [Edit::everywhere(What::Mistake(mistake), checkpoint.graph())];
        let encoded = match input {
            Input::Prompt(prompt) => checkpoint.encode(&plant_in_prompt(&edits, prompt)).ok(),
            Input::TokenIds(_) => None,
        };
        plant_in_tokens(&edits, encoded.unwrap_or_else(|| asked.to_vec())) == own
    };
    of_the_prompt.into_iter().find(makes)
}
