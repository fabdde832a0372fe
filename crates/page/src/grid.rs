//! Layers × stages: what each stage's error is, and which stages were not looked at.

use std::collections::HashMap;

use loupe_judge::{Class, NotRecorded, StageVerdict, Verdict};
use loupe_spec::{Probe, echo};

use crate::scale;

/// A row for each stage, a column for each layer.
pub struct Grid {
    pub layers: Vec<usize>,
    pub rows: Vec<Row>,
    /// Whether any stage has an error from the token ids on.
    pub has_whole: bool,
}

/// One stage.
pub struct Row {
    /// Without `layers.{l}.`
    pub name: String,
    /// Of a stage outside the layers a single one.
    pub cells: Vec<Cell>,
    pub in_layers: bool,
}

/// One stage in one layer.
pub enum Cell {
    Recorded(Box<Recorded>),
    NotRecorded {
        name: String,
    },
    /// Neither: a dump of other layers' values.
    Nothing,
}

/// The colours' classes in page.css.
const LIMIT: [&str; 8] = ["l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7"];
const ERROR: [&str; 8] = ["e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"];

/// A stage that was looked at.
pub struct Recorded {
    /// Its number in the verdict.
    pub at: usize,
    /// The whole of it in words, for who does not see colours.
    pub said: String,
    /// The part of its limit, and the error from the token ids on.
    pub local: String,
    pub whole: String,
    /// The classes of their colours.
    pub local_colour: &'static str,
    pub whole_colour: &'static str,
}

/// A stage of the grid before it has a place.
struct Entry<'a> {
    probe: Option<Probe>,
    name: String,
    stage: Option<(usize, &'a StageVerdict)>,
}

impl Grid {
    pub fn of(verdict: &Verdict) -> Grid {
        let recorded = verdict.stages.iter().enumerate().map(|(at, stage)| Entry {
            probe: Probe::named(&stage.probe),
            name: stage.probe.clone(),
            stage: Some((at, stage)),
        });
        let not_recorded = verdict.coverage.not_recorded.iter().flat_map(NotRecorded::names);
        let not_recorded = not_recorded.map(|name| Entry { probe: Probe::named(&name), name, stage: None });
        let mut entries: Vec<Entry<'_>> = recorded.chain(not_recorded).collect();
        // In computing order; what is no stage of the model keeps its place.
        entries.sort_by_key(|entry| entry.probe);
        let of_layers = verdict.coverage.of_layers;
        let mut rows: Vec<Row> = Vec::new();
        let mut places: HashMap<(String, bool), usize> = HashMap::new();
        for entry in entries {
            let layer = entry.probe.and_then(Probe::layer);
            let name = match entry.probe.filter(|_| layer.is_some()) {
                Some(probe) => probe.path().to_string(),
                None => echo(&entry.name),
            };
            let width = if layer.is_some() { of_layers } else { 1 };
            let at = *places.entry((name, layer.is_some())).or_insert_with_key(|(name, in_layers)| {
                let cells = (0..width).map(|_| Cell::Nothing).collect();
                rows.push(Row { name: name.clone(), cells, in_layers: *in_layers });
                rows.len() - 1
            });
            if let Some(cell) = rows[at].cells.get_mut(layer.unwrap_or(0)) {
                *cell = entry.cell(verdict);
            }
        }
        let has_whole = verdict.stages.iter().any(|stage| stage.end_to_end_error.is_some());
        Grid { layers: (0..of_layers).collect(), rows, has_whole }
    }

    /// How many columns a stage outside the layers takes.
    pub fn width(&self) -> usize {
        self.layers.len().max(1)
    }
}

impl Entry<'_> {
    fn cell(self, verdict: &Verdict) -> Cell {
        match self.stage {
            Some((at, stage)) => Cell::Recorded(Box::new(Recorded::of(verdict, at, stage, ""))),
            None => Cell::NotRecorded { name: self.name },
        }
    }
}

impl Recorded {
    /// Stage number `at` of `verdict`; `place` is said behind its name.
    pub fn of(verdict: &Verdict, at: usize, stage: &StageVerdict, place: &str) -> Recorded {
        let used = scale::short(stage.budget_used);
        let (local, what, local_colour) = match stage.class {
            Class::Exact => ("=".to_string(), "the reference, as its dtype rounds it".to_string(), LIMIT[0]),
            Class::Fault => ("!".to_string(), "values that are broken".to_string(), LIMIT[7]),
            Class::Numeric => {
                let colour = LIMIT[scale::of_limit(stage.budget_used).min(3)];
                (used.clone(), format!("right, {used} times its limit"), colour)
            }
            Class::Wrong if verdict.calls_right(stage) => {
                (used.clone(), format!("a cast elsewhere, {used} times its limit"), "cast")
            }
            Class::Wrong => {
                let colour = LIMIT[scale::of_limit(stage.budget_used).max(4)];
                (used.clone(), format!("wrong, {used} times its limit"), colour)
            }
        };
        let (whole, from_ids, whole_colour) = match stage.end_to_end_error {
            Some(error) => {
                let whole = scale::exponent(error);
                (whole.clone(), format!("; from the token ids on {whole}"), ERROR[scale::of_error(error)])
            }
            None => ("–".to_string(), String::new(), "empty"),
        };
        let said = format!("{}{place}: {what}{from_ids}", echo(&stage.probe));
        Recorded { at, said, local, whole, local_colour, whole_colour }
    }
}
