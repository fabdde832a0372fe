//! `loupe.verdict/1`: what the judge says, as data.

use std::borrow::Cow;
use std::collections::BTreeSet;

use loupe_spec::{Dtype, Mistake, Probe, echo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::finding::{FittedParameter, NamedMistake};
use crate::metrics::Metrics;
use crate::number::{number, numbers};
use crate::picture::Picture;
use crate::policy::Tolerated;

/// More layers than any model has.
const MOST_LAYERS: usize = 4096;

/// The format and its version.
pub const SCHEMA: &str = "loupe.verdict/1";

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Every bit is the reference's.
    Exact,
    /// Every difference is rounding.
    Numeric,
    /// The mathematics differs.
    Architectural,
    /// What ran it is broken.
    BackendFault,
    /// Not to be told from what was recorded.
    Inconclusive,
}

impl Judgement {
    /// 0 exact or numeric, 1 architectural, 3 backend fault, 4 inconclusive.
    pub fn exit_code(self) -> u8 {
        match self {
            Judgement::Exact | Judgement::Numeric => 0,
            Judgement::Architectural => 1,
            Judgement::BackendFault => 3,
            Judgement::Inconclusive => 4,
        }
    }

    /// The name in JSON and in text.
    pub fn name(self) -> &'static str {
        match self {
            Judgement::Exact => "exact",
            Judgement::Numeric => "numeric",
            Judgement::Architectural => "architectural",
            Judgement::BackendFault => "backend_fault",
            Judgement::Inconclusive => "inconclusive",
        }
    }
}

/// What one stage turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Bit for bit what the reference computes from the same inputs.
    Exact,
    /// Within the budget.
    Numeric,
    /// Beyond the budget: the stage itself is wrong.
    Wrong,
    /// NaN, infinity or a block of zeros that its inputs do not explain.
    Fault,
}

impl Class {
    /// What speaks for several stages is the gravest of them.
    pub(crate) fn gravity(self) -> u8 {
        match self {
            Class::Exact => 0,
            Class::Numeric => 1,
            Class::Wrong => 2,
            Class::Fault => 3,
        }
    }
}

/// One recorded stage.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StageVerdict {
    /// Its name.
    pub probe: String,
    /// Relative L2 error against the reference stage fed with the candidate's own inputs.
    #[serde(deserialize_with = "number")]
    pub local_error: f64,
    /// Relative L2 error against the reference's own run from the token ids, inherited errors included.
    pub end_to_end_error: Option<f64>,
    /// The local error at which the stage fails: three times what right code loses here.
    #[serde(deserialize_with = "number")]
    pub budget: f64,
    /// `local_error / budget`
    #[serde(deserialize_with = "number")]
    pub budget_used: f64,
    /// What that makes it.
    pub class: Class,
    /// The stages that were recomputed to get here; more than one where the candidate did not record those between.
    pub recomputed: usize,
    /// Everything else that is commonly asked of two tensors, of the stage from the candidate's own inputs.
    pub metrics: Metrics,
    /// The same against the reference's own run from the token ids, inherited errors included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_to_end: Option<Metrics>,
    /// What a page draws of it, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Picture>,
}

/// What the reference's value of a stage was computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// The candidate's own inputs of that stage, all of them recorded.
    OwnInputs,
    /// What was recorded further back.
    Recorded,
    /// Rows that were recorded before it; what attention takes in of the other tokens, from their ids.
    RecordedRows,
    /// The token ids: nothing before the stage was recorded.
    TokenIds,
}

impl Start {
    /// As one says it to whom the candidate belongs.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Start::OwnInputs => "your own inputs",
            Start::Recorded => "what you recorded before this stage",
            Start::RecordedRows => {
                "what you recorded before this stage, and the ids of the tokens that you did not record"
            }
            Start::TokenIds => "the token ids",
        }
    }
}

/// The first stage, in computing order, that is wrong by itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Divergence {
    /// Its name.
    pub probe: String,
    /// The token with the largest error; `None` where it is in no value, but in a statistic.
    pub token: Option<usize>,
    /// The statistic with the largest error, where each value is right or there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistic: Option<String>,
    /// Index of the largest error within the tensor.
    pub coordinate: Vec<usize>,
    /// The candidate's value there, and the reference's from the same inputs.
    #[serde(deserialize_with = "numbers")]
    pub values: [f64; 2],
    /// What the reference computed its value from.
    pub from: Start,
    /// As in the stage.
    #[serde(deserialize_with = "number")]
    pub local_error: f64,
    /// As in the stage.
    #[serde(deserialize_with = "number")]
    pub budget: f64,
}

/// Why a mistake cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Why {
    /// Right and wrong code differ by less than right code differs from itself.
    #[serde(rename = "below the noise")]
    BelowTheNoise,
    /// Right and wrong code compute the same.
    #[serde(rename = "identical here")]
    IdenticalHere,
    /// No recorded stage depends on it.
    #[serde(rename = "not recorded")]
    NotRecorded,
    /// Nothing that it touches is wrong, and looking below the noise would cost a forward pass of a large model; of such a
    /// model the first stages alone are looked at.
    #[serde(rename = "not tried")]
    NotTried,
}

impl Why {
    /// Each, in the order in which a verdict counts them.
    pub(crate) const ALL: [Why; 4] = [Why::BelowTheNoise, Why::IdenticalHere, Why::NotRecorded, Why::NotTried];

    /// What is said of a mistake that cannot be seen for this reason.
    pub fn in_words(self) -> &'static str {
        match self {
            Why::BelowTheNoise => "smaller than rounding in this precision",
            Why::IdenticalHere => "without effect on this input",
            Why::NotRecorded => "not covered by what was recorded",
            Why::NotTried => "not tried in a model of this size",
        }
    }
}

/// A mistake that this input cannot show.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Unseen {
    /// Its id.
    pub id: String,
    /// Why.
    pub why: Why,
    /// When it can be seen.
    pub hidden_when: String,
    /// The layers and probes, as they are written after `id@`, where it could not be seen or was not tried, if it would be seen
    /// elsewhere. Absent: it could be seen nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sites: Option<Vec<String>>,
    /// The stimulus that shows it, where those were asked for and one does.
    pub told_by: Option<String>,
    /// Why none does.
    pub no_stimulus: Option<String>,
}

/// An input that another engine can be given, as files where those are asked for, that shows what the judged one hides.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Stimulus {
    /// What it is made of.
    pub name: String,
    /// Where it is: config.json, weights, tokenizer, token_ids.json and compare.json. `None`: nobody asked for files.
    pub folder: Option<String>,
    /// The prompt.
    pub token_ids: Vec<usize>,
    /// What differs from the judged run's checkpoint and prompt, a sentence each; how the weights came there.
    pub changed: Vec<String>,
    /// The mistakes that it shows.
    pub shows: Vec<Shown>,
    /// The pairs of mistakes, both of which explain the judged run, that it tells apart.
    pub tells_apart: Vec<[String; 2]>,
}

/// A mistake on a stimulus.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// The first stage that it moves by more than ten times the noise.
    #[serde(rename = "where")]
    pub probe: Probe,
    /// How far, in units of the noise; `None` for masks, which have none, and for what was not verified.
    pub times_noise: Option<f64>,
    /// Whether the judged run recorded that stage: if not, this one has to.
    pub recorded: bool,
    /// Whether it was run with the mistake and without. At 2B's size only two layers are.
    pub verified: bool,
}

/// Who was judged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CandidateInfo {
    /// Its file.
    pub path: String,
    /// The backend, as its report names it.
    pub backend: Option<String>,
    /// The check that made it.
    pub check: Option<String>,
    /// What it was computed in.
    pub dtype: Dtype,
    /// Whether that was read off the values because nothing declared it.
    pub dtype_inferred: bool,
    /// With how many decimals its values were printed, where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u32>,
}

/// The answer for one candidate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The format and its version: `loupe.verdict/1`.
    pub schema: Cow<'static, str>,
    /// The answer.
    pub verdict: Judgement,
    /// `tf32`, `dtype_policy:norm_cast_first`, `unnamed`, …
    pub detail: Option<String>,
    /// 0 exact or numeric, 1 architectural, 3 backend fault, 4 inconclusive.
    pub exit_code: u8,
    /// Who.
    pub candidate: CandidateInfo,
    /// What was looked at.
    pub coverage: Coverage,
    /// The first wrong stage.
    pub first_divergence: Option<Divergence>,
    /// Mistakes found.
    pub mistakes: Vec<NamedMistake>,
    /// Numbers with a wrong value, where no mistake explains what fails or what shows below the noise.
    pub fitted: Vec<FittedParameter>,
    /// Failing stages that neither explains, in computing order.
    pub unexplained: Vec<Probe>,
    /// Ids of mistakes that this candidate's recordings cannot show anywhere.
    pub indistinguishable: Vec<String>,
    /// The same with the reason.
    pub unseen: Vec<Unseen>,
    /// Inputs that show those, where they were asked for; and those that tell apart what explains the run alike.
    pub stimuli: Vec<Stimulus>,
    /// Values are broken, and everything after them is right as it would be without them: the recording broke them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recording_suspect: bool,
    /// How many rows its tensors hold, where those are not the prompt's tokens, nothing says which tokens they are, and
    /// stages are unexplained: it may have run another prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_rows: Option<usize>,
    /// What is another thing than was asked for, a sentence each: other tokens, another checkpoint, other shapes.
    pub structure: Vec<String>,
    /// Those and remarks, a sentence each.
    pub notes: Vec<String>,
    /// What to run, record or say now.
    pub next: Option<String>,
    /// What others' tolerances say of the same numbers, where that was asked for. It decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerated: Vec<Tolerated>,
    /// Every recorded stage.
    pub stages: Vec<StageVerdict>,
}

/// The stage's `name` without the layer's number; what is no stage has its own.
pub(crate) fn pattern(name: &str) -> String {
    Probe::named(name).map_or_else(|| name.to_string(), Probe::pattern)
}

impl StageVerdict {
    /// The name without the layer's number, for tables; what is no stage has its own.
    pub fn pattern(&self) -> String {
        pattern(&self.probe)
    }

    /// The layer, of a stage that is in one.
    pub fn layer(&self) -> Option<usize> {
        Probe::named(&self.probe).and_then(Probe::layer)
    }
}

impl Verdict {
    /// The candidate answers another question than was asked: other tokens, by `mistake` if it is known, or another
    /// checkpoint. That is the answer; what was judged stands beside it.
    pub fn different_question(&mut self, notes: Vec<String>, mistake: Option<&Mistake>) {
        let remark = notes.first().and_then(|note| note.split_once(':')).map(|(what, _)| what.to_string());
        if let Some(mistake) = mistake {
            let evidence = "put into the prompt, it gives your token ids".to_string();
            self.mistakes.insert(
                0,
                NamedMistake::of(mistake, Probe::TOKEN_IDS, &BTreeSet::from([Probe::TOKEN_IDS]), Vec::new(), evidence),
            );
        }
        self.structure.splice(0..0, notes.iter().cloned());
        self.notes.splice(0..0, notes);
        if self.exit_code == 0 || self.verdict == Judgement::Inconclusive {
            self.verdict = Judgement::Architectural;
            self.exit_code = self.verdict.exit_code();
            self.detail = remark;
        }
    }
}

/// The answers of one comparison.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Verdicts {
    /// The format and its version: `loupe.verdict/1`.
    pub schema: Cow<'static, str>,
    /// The gravest: 3, then 1, 4, 0.
    pub exit_code: u8,
    /// One a candidate.
    pub verdicts: Vec<Verdict>,
}

/// Why a file is not what the judge wrote.
#[derive(Debug, thiserror::Error)]
pub enum VerdictError {
    /// No JSON, or not with these keys.
    #[error("it is no verdict: {0}")]
    Json(#[from] serde_json::Error),
    /// Of no candidate.
    #[error("it holds no verdict")]
    None,
    /// A model that nobody has made. Pages have a column for each layer.
    #[error("it is of a model with {layers} layers, expected {MOST_LAYERS} at most")]
    Layers {
        /// What it says.
        layers: usize,
    },
    /// Of another version, or of something else.
    #[error("its schema is {}, expected \"{SCHEMA}\"", found.as_deref().map_or("missing".to_string(), |found| format!("\"{}\"", echo(found))))]
    Schema {
        /// What it says.
        found: Option<String>,
    },
}

impl Verdicts {
    /// What was written as JSON.
    ///
    /// # Errors
    /// Another schema, or a JSON without the keys of this one.
    pub fn from_json(json: &[u8]) -> Result<Verdicts, VerdictError> {
        #[derive(Deserialize)]
        struct Version {
            schema: Option<String>,
        }
        // First: what another version calls its keys is not the news.
        match serde_json::from_slice::<Version>(json)?.schema {
            found if found.as_deref() != Some(SCHEMA) => return Err(VerdictError::Schema { found }),
            _ => {}
        }
        let Verdicts { mut verdicts, .. } = serde_json::from_slice(json)?;
        if verdicts.is_empty() {
            return Err(VerdictError::None);
        }
        for verdict in &mut verdicts {
            let layers = verdict.coverage.of_layers;
            if layers > MOST_LAYERS {
                return Err(VerdictError::Layers { layers });
            }
            // What a program ends with is not the file's to say.
            verdict.exit_code = verdict.verdict.exit_code();
        }
        Ok(Verdicts::of(verdicts))
    }

    /// Gathers.
    pub fn of(verdicts: Vec<Verdict>) -> Verdicts {
        let gravest = [3, 1, 4].into_iter().find(|code| verdicts.iter().any(|v| v.exit_code == *code));
        Verdicts { schema: SCHEMA.into(), exit_code: gravest.unwrap_or(0), verdicts }
    }
}
