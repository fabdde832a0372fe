//! What a candidate is held against: whose model, and its checkpoint.

use loupe_checkpoint::{Checkpoint, Tensors};
use loupe_config::{Compare, ModelRef};
use loupe_report::Report;

use crate::CheckError;

/// Checkpoints stay open from one candidate to the next.
#[derive(Default)]
pub struct References {
    open: Vec<(ModelRef, Checkpoint, Tensors)>,
}

impl References {
    /// The checkpoint of `model` and its tensors.
    pub fn open(&mut self, model: &ModelRef) -> Result<(&Checkpoint, &Tensors), CheckError> {
        let known = self.open.iter().position(|(id, ..)| id == model);
        let at = match known {
            Some(at) => at,
            None => {
                let checkpoint = Checkpoint::open(&model.id, model.revision.as_deref())?;
                let tensors = checkpoint.tensors()?;
                self.open.push((model.clone(), checkpoint, tensors));
                self.open.len() - 1
            }
        };
        let (_, checkpoint, tensors) = &self.open[at];
        Ok((checkpoint, tensors))
    }
}

/// The reference's model: the config's, else the saved reference's, else the candidate's own. Where the first two are
/// given they agree.
pub fn model_of(
    compare: &Compare,
    saved: Option<&Report>,
    report: Option<&Report>,
    path: &str,
) -> Result<ModelRef, CheckError> {
    let named = |report: &Report| ModelRef { id: report.model.id.clone(), revision: report.model.revision.clone() };
    let (config, saved) = (compare.reference.model.clone(), saved.map(named));
    if let (Some(config), Some(saved)) = (&config, &saved)
        && config.id != saved.id
    {
        let [config, report] = [config, saved].map(|model| format!("\"{}\"", model.id));
        return Err(CheckError::OtherReference { what: "model".to_string(), config, report });
    }
    config.or(saved).or(report.map(named)).ok_or_else(|| CheckError::NoModel { path: path.to_string() })
}
