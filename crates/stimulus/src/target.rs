//! What the judged input could not tell.

use loupe_judge::{NamedMistake, Verdict, Why};
use loupe_spec::Mistake;

use crate::ingredient::Ingredient;

/// Something that the judged input could not tell.
pub struct Target {
    pub what: What,
    /// Each has to be told: right code (`None`) or one way of a mistake, from another.
    pub pairs: Vec<(Option<&'static Mistake>, &'static Mistake)>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The id of a mistake that could not be seen.
    Hidden(String),
    /// The ids of two mistakes that explain the judged run alike.
    Tie([String; 2]),
}

impl Target {
    /// What `verdict` leaves open. What was not recorded is asked of a recording, not of another input.
    pub fn of(verdict: &Verdict) -> Vec<Target> {
        let hidden =
            verdict.unseen.iter().filter(|unseen| unseen.sites.is_none() && unseen.why != Why::NotRecorded).map(
                |unseen| Target {
                    what: What::Hidden(unseen.id.clone()),
                    pairs: called(&unseen.id).into_iter().map(|mistake| (None, mistake)).collect(),
                },
            );
        hidden.filter(|target| !target.pairs.is_empty()).chain(Target::ties(verdict)).collect()
    }

    /// The mistakes of which `verdict` names one and cannot exclude the other.
    pub fn ties(verdict: &Verdict) -> Vec<Target> {
        let tie = |named: &NamedMistake, other: &String| {
            let own = called(&named.id).into_iter().find(|mistake| mistake.variant == named.variant.as_deref());
            Target {
                what: What::Tie([named.id.clone(), other.clone()]),
                pairs: called(other).into_iter().map(|mistake| (own, mistake)).collect(),
            }
        };
        let of = |named: &NamedMistake| named.alternatives.iter().map(|other| tie(named, other)).collect::<Vec<_>>();
        verdict.mistakes.iter().flat_map(of).filter(|target| !target.pairs.is_empty()).collect()
    }

    /// Every mistake in it.
    pub fn mistakes(&self) -> impl Iterator<Item = &'static Mistake> + '_ {
        self.pairs.iter().flat_map(|(one, other)| one.iter().copied().chain([*other]))
    }

    /// Whether `ingredient` may help to tell it.
    pub fn is_aim_of(&self, ingredient: Ingredient) -> bool {
        self.mistakes().any(|mistake| ingredient.aims_at(mistake))
    }
}

/// Every way of the mistake `id`.
fn called(id: &str) -> Vec<&'static Mistake> {
    loupe_runtime::mistakes().iter().filter(|mistake| mistake.id == id).collect()
}
