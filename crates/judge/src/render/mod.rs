//! Verdicts for people: what is wrong and what to do first, the numbers after it, what was not looked at last.

mod answer;
mod headline;
mod notes;
mod part;
mod short;
mod table;
mod tolerated;

use std::path::Path;

use loupe_spec::echo;

pub use answer::{answer, coordinates, number};
pub use headline::headline;
pub use notes::{Inputs, inputs, notes};
pub use part::{Line, Part};
pub use short::{first, short, with_first};
pub use table::{AllLayers, over_layers};
pub use tolerated::{SHARES, Shares, shares, tolerated};

use crate::verdict::{Verdict, Verdicts};

/// More candidates than this, and what is right takes a line.
const MANY: usize = 3;

/// Everything that is said of `verdicts`; `json` is the file that holds them, where one does.
pub fn text(verdicts: &Verdicts, json: Option<&Path>) -> String {
    let all = &verdicts.verdicts;
    let in_a_line = |verdict: &Verdict| all.len() > MANY && verdict.exit_code == 0;
    let answer = |verdict| if in_a_line(verdict) { one_line(verdict) } else { answer::text(verdict, all.len() > 1) };
    // What takes a line stands together.
    let mut out = String::new();
    for verdict in all {
        if !out.is_empty() && !in_a_line(verdict) {
            out.push('\n');
        }
        out += &answer(verdict);
    }
    out += &table::tables(verdicts);
    for verdict in all.iter().filter(|verdict| !in_a_line(verdict)) {
        let title = (all.len() > 1).then(|| echo(&verdict.candidate.path));
        out += &tolerated::text(verdict, title.as_deref());
        out += &notes::text(verdict, title.as_deref(), json);
    }
    out
}

/// Of one candidate in a line: its path, its answer, how much was judged.
pub fn one_line(verdict: &Verdict) -> String {
    let coverage = &verdict.coverage;
    format!(
        "{}: {}; {} of {} stages\n",
        echo(&verdict.candidate.path),
        headline::headline(verdict),
        coverage.probes,
        coverage.of
    )
}
