//! The catalogue of mistakes: each a named replacement of an entry of [`loupe_model::Operations`], with what it is,
//! where it was seen, where it first shows and when it cannot be seen.
//!
//! Nothing depends on this crate but loupe-engine, which offers the config key `mistakes`: model, checks and judge know
//! no mistake.

mod catalogue;
mod embed;
mod export;
mod faults;
mod lookup;
mod mask;
mod mlp;
mod norm;
mod rope;
mod scores;
mod tokens;
mod wiring;

use burn::tensor::backend::Backend;
use loupe_model::{Operations, Table};
use loupe_spec::{Config, Graph, Probe, Stage, echo, hint, nearest};
pub(crate) use loupe_spec::{Formula, Mistake, MistakeKind};

pub use catalogue::ALL;
pub use export::edit_config;
pub use tokens::{edit_prompt, edit_tokens};

/// A mistake that can be planted.
pub(crate) trait Plant {
    const ABOUT: Mistake;
    /// Replaces what it replaces.
    fn plant<B: Backend>(operations: &mut Operations<B>, config: &Config);
}

/// The line of `$file` (a path from the root of the repository) that holds `$text`. The compiler reads the file: where
/// it no longer holds the text, or holds it twice, the build fails, so that a verdict never points to the wrong line.
macro_rules! right {
    ($file:literal, $text:literal) => {
        const {
            match loupe_spec::Code::find($file, include_str!(concat!("../../../", $file)), $text) {
                Ok(code) => code,
                Err(loupe_spec::NoLine::Absent) => panic!("this text does not stand in this file"),
                Err(loupe_spec::NoLine::Ambiguous) => panic!("this text stands in this file more than once"),
            }
        }
    };
}
pub(crate) use right;

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
}

/// Plants `text` in `table`: `rope_interleaved` everywhere, `rope_interleaved@3` in layer 3,
/// `norm_without_one@layers.3.input_layernorm` at one probe.
///
/// # Errors
/// An unknown id, or a site that the mistake does not change.
pub fn plant<B: Backend>(text: &str, graph: &Graph, table: &mut Table<B>) -> Result<(), PlantError> {
    let (name, site) = text.split_once('@').map_or((text, None), |(name, site)| (name, Some(site)));
    let mistake = known(name)?;
    let chosen: Vec<Probe> =
        graph.probes().filter(|probe| (mistake.at)(*probe) && site.is_none_or(|site| probe.is_at(site))).collect();
    if chosen.is_empty() {
        let touched = graph.probes().find(|probe| (mistake.at)(*probe));
        let example = touched.map_or_else(|| name.to_string(), |probe| format!("{name}@{probe}"));
        let site = site.unwrap_or_default().to_string();
        return Err(PlantError::Site { name: name.to_string(), site, example });
    }
    table.edit(|probe| chosen.contains(&probe), |operations| catalogue::plant(mistake, operations, graph.config()));
    Ok(())
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

/// Whether `probe` is one of `stages` in any layer.
pub(crate) fn in_stages(probe: Probe, stages: &[Stage]) -> bool {
    matches!(probe, Probe::Layer(_, stage) if stages.contains(&stage))
}

/// Whether `probe` is one of the two norms between a branch and the residual.
pub(crate) fn is_post_norm(probe: Probe) -> bool {
    in_stages(probe, &[Stage::PostAttentionLayernorm, Stage::PostFeedforwardLayernorm])
}
