//! `"stimulus": true`: inputs that show what the judged one hides, designed, verified and written as files.
//!
//! An engine has no dial for a score gain, so a stimulus is what every engine can load: a checkpoint of which
//! config.json or some weights differ, and token ids. `ingredient.rs` has the changes, what each aims at, and the recipes; `variant.rs`
//! makes checkpoints of them; `measure.rs` runs right and mistaken model on one and says what moves; `cover.rs`
//! chooses few that show all; `write.rs` writes them.

#![forbid(unsafe_code)]

mod cover;
mod error;
mod ingredient;
mod measure;
mod reach;
mod target;
mod variant;
mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_config::Compare;
use loupe_judge::{Shown, Stimulus, Unseen, Verdict, Why};
use loupe_spec::{Precision, Probe};

use cover::{Chosen, Cover, cover};
pub use error::StimulusError;
use measure::Bench;
use reach::is_cheap;
use target::{Target, What};
use variant::Base;
pub use write::refuse_taken;

/// A candidate that was judged.
pub struct Asked<'a> {
    /// How.
    pub compare: &'a Compare,
    /// Its model.
    pub checkpoint: &'a Checkpoint,
    /// The weights.
    pub tensors: &'a Tensors,
    /// The prompt that it was judged over.
    pub token_ids: &'a [usize],
    /// What it recorded.
    pub recorded: BTreeSet<Probe>,
    /// Where the folders of its stimuli go, where those are asked for.
    pub folder: Option<PathBuf>,
    /// Is told how far it is.
    pub watch: Option<&'a dyn loupe_runtime::Watch>,
}

/// The folder for the stimuli of a run whose output is `prefix`.
pub fn folder(prefix: &Path) -> PathBuf {
    let mut folder = prefix.as_os_str().to_os_string();
    folder.push("-stimulus");
    folder.into()
}

/// Designs stimuli for what `verdict` could not tell, writes them where a folder is given, and says so in it. Without a
/// folder only mistakes that explain the run alike are told apart, on a model where that takes a moment. `precision` is the
/// precision that the verdict takes the candidate to have computed in.
///
/// # Errors
/// A checkpoint that cannot be read, a stage that cannot be recomputed, or a folder that cannot be written to.
pub fn add(asked: &Asked<'_>, precision: Precision, verdict: &mut Verdict) -> Result<(), StimulusError> {
    let targets = match &asked.folder {
        Some(_) => Target::of(verdict),
        None if is_cheap(asked.checkpoint.graph(), asked.token_ids.len()) => Target::ties(verdict),
        None => Vec::new(),
    };
    if targets.is_empty() && asked.folder.is_none() {
        return Ok(());
    }
    let bench = Bench {
        base: Base::measure(asked.checkpoint, asked.tensors, asked.token_ids, asked.watch)?,
        recorded: &asked.recorded,
        precision,
        targets: &targets,
    };
    let Cover { chosen, here, closest } = cover(&bench)?;
    for Chosen { variant, found } in &chosen {
        let folder = asked.folder.as_ref().map(|folder| folder.join(&variant.name));
        let weights = folder
            .as_ref()
            .map(|folder| write::folder(folder, variant, asked.checkpoint, asked.compare))
            .transpose()?;
        let mut stimulus = Stimulus {
            name: variant.name.clone(),
            folder: folder.map(|folder| folder.display().to_string()),
            token_ids: variant.token_ids.clone(),
            changed: variant.changed.iter().cloned().chain(weights).collect(),
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
    for (at, found) in &here {
        if let (What::Tie([one, other]), false) = (&targets[*at].what, asked.recorded.contains(&found.probe)) {
            verdict.notes.push(format!("{} would tell {one} from {other} on this input: record it", found.probe));
        }
    }
    let hidden = verdict.unseen.iter_mut().filter(|unseen| unseen.sites.is_none() && asked.folder.is_some());
    for unseen in hidden {
        let shows = |stimulus: &&Stimulus| stimulus.shows.iter().any(|shown| shown.id == unseen.id);
        unseen.told_by = verdict.stimuli.iter().find(shows).map(|stimulus| stimulus.name.clone());
        if unseen.told_by.is_none() {
            let at = targets.iter().position(|target| target.what == What::Hidden(unseen.id.clone()));
            let here = at.and_then(|at| here.get(&at).map(|found| found.probe));
            let most = at.and_then(|at| closest.get(&at).copied());
            unseen.no_stimulus = Some(reason(unseen, here, most, asked));
        }
    }
    Ok(())
}

/// Why no stimulus is needed (`here`: where the judged input shows it), or that none was found (`most`: the most that
/// one moves it), and what to do.
fn reason(unseen: &Unseen, here: Option<Probe>, most: Option<f64>, asked: &Asked<'_>) -> String {
    if let Some(here) = here {
        let recorded = asked.recorded.contains(&here);
        let how = if recorded { "it would stand out at" } else { "record" };
        return format!("this input can show it: {how} {here}");
    }
    let own = loupe_runtime::mistakes().iter().filter(|mistake| mistake.id == unseen.id);
    let mut stages = asked.checkpoint.graph().probes();
    let first = stages.find(|probe| own.clone().any(|mistake| (mistake.at)(*probe)));
    match (unseen.why, first.filter(|first| !asked.recorded.contains(first))) {
        (Why::NotRecorded, Some(first)) => format!("record {first}: nothing that was recorded depends on it"),
        (Why::BelowTheNoise, Some(first)) => {
            format!("record {first} and what it is computed from: so small a change shows nowhere else")
        }
        _ => {
            let most = most.map(|most| format!(" by more than {most:.1} times the noise")).unwrap_or_default();
            format!("none tried moves anything{most}; hidden when: {}", unseen.hidden_when)
        }
    }
}
