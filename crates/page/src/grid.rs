//! Layers × stages: what each stage's error is, and which stages were not looked at.

use loupe_judge::{Class, StageVerdict, Verdict};
use loupe_spec::{Probe, echo};

use crate::scale;

/// A row for each stage, a column for each layer.
pub struct Grid {
    pub layers: Vec<usize>,
    pub rows: Vec<Row>,
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

/// A stage that was looked at.
pub struct Recorded {
    /// Its number in the verdict.
    pub at: usize,
    /// The whole of it in words, for who does not see colours.
    pub said: String,
    /// The part of its limit, and the error from the token ids on.
    pub local: String,
    pub whole: String,
    /// The steps of their colours.
    pub local_step: usize,
    pub whole_step: usize,
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
        let not_recorded = verdict.coverage.not_recorded.iter().flat_map(|one| {
            let names: Vec<String> = match one.layers.as_slice() {
                [] => vec![one.stage.clone()],
                layers => layers.iter().map(|layer| one.stage.replace("{l}", &layer.to_string())).collect(),
            };
            names.into_iter().map(|name| Entry { probe: Probe::named(&name), name, stage: None })
        });
        let mut entries: Vec<Entry<'_>> = recorded.chain(not_recorded).collect();
        // In computing order; what is no stage of the model keeps its place.
        entries.sort_by_key(|entry| entry.probe);
        let of_layers = verdict.coverage.of_layers;
        let mut rows: Vec<Row> = Vec::new();
        for entry in entries {
            let layer = entry.probe.and_then(Probe::layer);
            let name = match entry.probe.filter(|_| layer.is_some()) {
                Some(probe) => probe.path().to_string(),
                None => echo(&entry.name),
            };
            let width = if layer.is_some() { of_layers } else { 1 };
            let at = rows.iter().position(|row| row.name == name && row.in_layers == layer.is_some());
            let at = at.unwrap_or_else(|| {
                let cells = (0..width).map(|_| Cell::Nothing).collect();
                rows.push(Row { name, cells, in_layers: layer.is_some() });
                rows.len() - 1
            });
            if let Some(cell) = rows[at].cells.get_mut(layer.unwrap_or(0)) {
                *cell = entry.cell();
            }
        }
        Grid { layers: (0..of_layers).collect(), rows }
    }

    /// How many columns a stage outside the layers takes.
    pub fn width(&self) -> usize {
        self.layers.len().max(1)
    }
}

impl Entry<'_> {
    fn cell(self) -> Cell {
        match self.stage {
            Some((at, stage)) => Cell::Recorded(Box::new(Recorded::of(at, stage, ""))),
            None => Cell::NotRecorded { name: self.name },
        }
    }
}

impl Recorded {
    /// Stage number `at` of its verdict; `place` is said behind its name.
    pub fn of(at: usize, stage: &StageVerdict, place: &str) -> Recorded {
        let local = match stage.class {
            Class::Exact => "=".to_string(),
            Class::Fault => "!".to_string(),
            Class::Numeric | Class::Wrong => scale::short(stage.budget_used),
        };
        let class = match stage.class {
            Class::Exact => "exact",
            Class::Fault => "values that are broken",
            Class::Numeric => "within its limit",
            Class::Wrong => "beyond its limit",
        };
        let local_step = match stage.class {
            Class::Exact => 0,
            Class::Fault => 7,
            Class::Numeric => scale::of_limit(stage.budget_used).min(3),
            Class::Wrong => scale::of_limit(stage.budget_used).max(4),
        };
        let (whole, whole_step) = match stage.end_to_end_error {
            Some(error) => (scale::exponent(error), scale::of_error(error)),
            None => (String::new(), 0),
        };
        let used = match stage.class {
            Class::Exact | Class::Fault => String::new(),
            Class::Numeric | Class::Wrong => format!(", {local} of it"),
        };
        let from_ids = if whole.is_empty() { String::new() } else { format!("; from the token ids on {whole}") };
        Recorded {
            said: format!("{}{place}: {class}{used}{from_ids}", echo(&stage.probe)),
            at,
            local,
            whole,
            local_step,
            whole_step,
        }
    }
}
