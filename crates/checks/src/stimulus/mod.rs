//! `"stimulus": true`: inputs that show what the judged one hides, designed, verified and written as files.
//!
//! An engine has no dial for a score gain, so a stimulus is what every engine can load: a checkpoint of which
//! config.json or some weights differ, and token ids. `part.rs` has the changes and what each aims at, `variant.rs`
//! makes checkpoints of them, `measure.rs` runs right and mistaken model on one and says what moves, `cover.rs`
//! chooses few that show all, `write.rs` writes them.

mod cover;
mod measure;
mod part;
mod variant;
mod write;

use std::collections::BTreeSet;
use std::path::PathBuf;

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_compare::{Shown, Stimulus, Verdict};
use loupe_config::Compare;
use loupe_spec::Probe;

use crate::CheckError;
use cover::{Chosen, Cover, cover};
use measure::{Bench, Target, What};
use variant::Base;

/// A candidate that was judged.
pub(crate) struct Asked<'a> {
    pub compare: &'a Compare,
    pub checkpoint: &'a Checkpoint,
    pub tensors: &'a Tensors,
    /// The prompt that it was judged over.
    pub token_ids: &'a [usize],
    pub recorded: BTreeSet<Probe>,
    /// Where the folders of its stimuli go.
    pub folder: PathBuf,
}

/// Designs stimuli for what `verdict` could not tell, writes them, and says so in it.
pub(crate) fn add(asked: &Asked<'_>, verdict: &mut Verdict) -> Result<(), CheckError> {
    let targets = Target::of(verdict);
    let bench = Bench {
        base: Base::measure(asked.checkpoint, asked.tensors, asked.token_ids)?,
        recorded: &asked.recorded,
        storage: verdict.candidate.dtype,
        detail: verdict.detail.clone(),
        targets: &targets,
    };
    let Cover { chosen, here, closest } = cover(&bench)?;
    for Chosen { variant, found } in &chosen {
        let folder = asked.folder.join(&variant.name);
        let weights = write::folder(&folder, variant, asked)?;
        let mut stimulus = Stimulus {
            name: variant.name.clone(),
            folder: folder.display().to_string(),
            token_ids: variant.token_ids.clone(),
            changed: variant.changed.iter().cloned().chain([weights]).collect(),
            shows: Vec::new(),
            tells_apart: Vec::new(),
        };
        for (at, found) in found {
            match &targets[*at].what {
                What::Hidden(id) => stimulus.shows.push(Shown {
                    id: id.clone(),
                    probe: found.probe,
                    times_noise: Some(found.times_noise).filter(|times| times.is_finite()),
                    recorded: asked.recorded.contains(&found.probe),
                    verified: found.verified,
                }),
                What::Tie(pair) => stimulus.tells_apart.push(pair.clone()),
            }
        }
        verdict.stimuli.push(stimulus);
    }
    for unseen in &mut verdict.unseen {
        let shows = |stimulus: &&Stimulus| stimulus.shows.iter().any(|shown| shown.id == unseen.id);
        unseen.told_by = verdict.stimuli.iter().find(shows).map(|stimulus| stimulus.name.clone());
        if unseen.told_by.is_none() {
            let at = targets.iter().position(|target| target.what == What::Hidden(unseen.id.clone()));
            let here = at.and_then(|at| here.get(&at));
            unseen.no_stimulus = Some(match (here, at.and_then(|at| closest.get(&at))) {
                (Some(here), _) if asked.recorded.contains(&here.probe) => {
                    format!("on this very input it would show at {}", here.probe)
                }
                (Some(here), _) => format!("this input shows it where {} is recorded", here.probe),
                (None, Some(most)) => format!(
                    "none tried moves anything by more than {most:.1} times the noise; it is hidden where {}",
                    unseen.hidden_when
                ),
                (None, None) => format!("none tried moves anything; it is hidden where {}", unseen.hidden_when),
            });
        }
    }
    Ok(())
}
