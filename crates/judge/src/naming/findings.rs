//! What the search for mistakes found.

use std::collections::BTreeSet;

use loupe_spec::{Mistake, MistakeKind, Probe};

use crate::finding::{FittedParameter, NamedMistake};
use crate::picture::Regression;
use crate::verdict::Unseen;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Mistakes, in order of their first stage.
    pub named: Vec<NamedMistake>,
    /// The kinds of the named mistakes, in the order in which they were found.
    pub kinds: Vec<MistakeKind>,
    /// Parameters with a wrong value that is no mistake of the catalogue.
    pub fitted: Vec<FittedParameter>,
    /// Failing stages that nothing explains.
    pub unnamed: Vec<Probe>,
    /// For a page: by which values of a stage something was named.
    pub regressions: Vec<(Probe, Regression)>,
    /// Mistakes that these recordings cannot show, anywhere or at some sites, and those that were not tried.
    pub unseen: Vec<Unseen>,
}

impl Findings {
    /// Takes the sites of named mistakes off the list of the unseen ones. A mistake that could be seen nowhere is taken off whole.
    pub fn forget_the_named(&mut self) {
        for unseen in &mut self.unseen {
            let Some(named) = self.named.iter().find(|named| named.id == unseen.id) else { continue };
            let is_named = |site: &String| named.sites.iter().any(|probe| probe.is_at(site));
            let sites = unseen.sites.take().unwrap_or_default();
            unseen.sites = Some(sites.into_iter().filter(|site| !is_named(site)).collect());
        }
        self.unseen.retain(|unseen| unseen.sites.as_ref().is_none_or(|sites| !sites.is_empty()));
    }

    /// Adds a mistake made at `sites`, which first shows at `first`. If it was named before, the sites are added to those.
    pub fn name(
        &mut self,
        mistake: &Mistake,
        first: Option<Probe>,
        sites: &BTreeSet<Probe>,
        alternatives: Vec<String>,
        evidence: String,
    ) {
        let probe = first.or(sites.first().copied()).unwrap_or(Probe::TOKEN_IDS);
        if let Some(known) = self.named.iter_mut().find(|known| known.id == mistake.id) {
            return known.also_at(probe, sites);
        }
        self.kinds.push(mistake.kind);
        self.named.push(NamedMistake::of(mistake, probe, sites, alternatives, evidence));
    }
}
