//! What is judged.

use std::collections::BTreeMap;

use loupe_spec::{Arithmetic, Dtype, HostTensor, Probe, Trace, Values, echo};

use crate::Statistic;
use crate::layout::Layout;

/// Which tokens a candidate's tensors have a row for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Each tensor for every token.
    #[default]
    All,
    /// Those with fewer rows for these, in ascending order: a decode step's single row, or the tail of a prefill.
    Positions(Vec<usize>),
}

impl Rows {
    /// The positions, for a prompt of `tokens`.
    pub fn positions(&self, tokens: usize) -> Vec<usize> {
        match self {
            Rows::All => (0..tokens).collect(),
            Rows::Positions(positions) => positions.clone(),
        }
    }
}

/// Some values of a probe point, as a log prints them. They are compared, and nothing is computed from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fragment {
    /// Where each stands in the whole tensor, a row for every token, in ascending order.
    pub places: Vec<usize>,
    /// The values, as many.
    pub values: Vec<f64>,
    /// What one more in the last digit of each would be, as it was printed.
    pub units: Vec<f64>,
    /// What is said of all values together.
    pub statistics: Vec<Statistic>,
}

impl Fragment {
    /// How far it is from `tensor`, which is of `probe`, in the Euclidean norm; `None` where it is of another size.
    pub fn distance(&self, probe: Probe, tensor: &HostTensor) -> Option<f64> {
        let (values, layout) = (tensor.values.to_f64(), Layout::of(probe, &tensor.shape));
        let of_values = self.places.iter().zip(&self.values).map(|(place, value)| Some(value - values.get(*place)?));
        let of_statistics = self.statistics.iter().map(|one| Some(one.value - one.of(&values, &layout)));
        let squares = of_values.chain(of_statistics).map(|off| off.map(|off| off * off));
        squares.sum::<Option<f64>>().map(f64::sqrt)
    }
}

/// A candidate's tensors under probe names.
#[derive(Clone, Debug, Default)]
pub struct Aligned {
    /// The tensors, each with a row for every token or for those of `rows`. `token_ids` are the prompt's, all of them.
    pub trace: Trace,
    /// Which tokens those rows are.
    pub rows: Rows,
    /// Some values of other probe points.
    pub fragments: BTreeMap<Probe, Fragment>,
    /// Names that are no probe's, with what they are where that is known.
    pub ignored: Vec<String>,
    /// How many of those names no program is known to use.
    pub unknown: usize,
    /// Tensors with another number of heads or another width than the model's, a sentence each.
    pub misshapen: Vec<String>,
    /// Tensors that are packed in a way that cannot be read, a sentence each with what would make them comparable.
    pub not_comparable: Vec<String>,
    /// Whose names they are, and how the tensors were read, a sentence each.
    pub remarks: Vec<String>,
}

/// Someone's tensors, ready to be judged.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its file.
    pub path: String,
    /// The backend, as its report names it.
    pub backend: Option<String>,
    /// The check that made it.
    pub check: Option<String>,
    /// What its report or the config says that it was computed in.
    pub declared: Option<Dtype>,
    /// What the config says that it loses beside its storage.
    pub arithmetic: Option<Arithmetic>,
    /// Its report says that f32 was f32 in matrix products.
    pub strict: bool,
    /// Its tensors.
    pub aligned: Aligned,
}

impl Candidate {
    /// The values of fragments as f32 tensors of no shape: what they say of its precision.
    pub(crate) fn fragments_as_tensors(&self) -> Trace {
        let tensor = |(probe, fragment): (&Probe, &Fragment)| {
            let values = Values::F64(fragment.values.clone()).to_dtype(Dtype::F32);
            (*probe, HostTensor { shape: vec![fragment.values.len()], values })
        };
        // A statistic is no value that anything is stored in.
        self.aligned.fragments.iter().filter(|(_, fragment)| !fragment.places.is_empty()).map(tensor).collect()
    }
}

/// So many names a message shows.
pub const MOST_NAMES: usize = 5;

/// The first of `names`, and how many more there are.
pub fn found(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(MOST_NAMES).map(|name| format!("\"{}\"", echo(name))).collect();
    match names.len().saturating_sub(MOST_NAMES) {
        0 if shown.is_empty() => "token_ids alone".to_string(),
        0 => shown.join(", "),
        more => {
            shown.push(format!("and {more} more"));
            shown.join(", ")
        }
    }
}
