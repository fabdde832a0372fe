//! Which tokens the rows of a tensor are that has fewer or more of them than the prompt has tokens: one answer for all tensors.

use std::collections::BTreeSet;

use loupe_spec::{ReplayError, Replayer, Trace};

use crate::open::{Held, Open, SHARE_LEFT, predict};
use crate::reading::Reading;

/// The tokens whose rows a reading takes, and where in the tensor the first of them stands.
type Taken = (Vec<usize>, usize);

fn taken(reading: &Reading) -> Taken {
    (reading.layout.rows.clone(), reading.layout.first)
}

/// Finds which tokens the rows are, first of tensors with fewer rows than tokens, then of those with more; readings of other
/// rows go.
///
/// # Errors
/// What the replayer says.
pub fn settle_rows(opens: &mut [Open], start: &Trace, replayer: &dyn Replayer) -> Result<(), ReplayError> {
    let tokens = replayer.tokens();
    settle(opens, start, replayer, |reading| !reading.is_whole(tokens))?;
    settle(opens, start, replayer, |reading| reading.is_whole(tokens) && reading.layout.held > tokens)
}

/// One answer for all tensors whose every reading `is_of`.
fn settle(
    opens: &mut [Open],
    start: &Trace,
    replayer: &dyn Replayer,
    is_of: impl Fn(&Reading) -> bool,
) -> Result<(), ReplayError> {
    let all_of = |open: &Open| open.readings.iter().all(&is_of);
    let concerned: Vec<&Open> = opens.iter().filter(|open| all_of(open)).collect();
    let choices = |open: &&Open| -> BTreeSet<Taken> { open.readings.iter().map(taken).collect() };
    let Some(common) = concerned.iter().map(choices).reduce(|a, b| &a & &b) else { return Ok(()) };
    if common.len() < 2 {
        return Ok(());
    }
    let wanted = concerned.iter().flat_map(|open| open.readings.iter().map(|reading| reading.probe)).collect();
    let predicted = predict(replayer, start, &[], &wanted)?;
    // Logarithms: after a mistake all tokens' rows are unlike, and what came before it decides.
    let left = |rows: &Taken| -> f64 {
        let of = |open: &&Open| {
            let read = open.readings.iter().filter(|reading| taken(reading) == *rows);
            let left =
                read.filter_map(|reading| Some(1.0 - Held::of(open, reading, &predicted, replayer.tokens())?.cosine()));
            left.fold(1.0, f64::min).max(f64::EPSILON).ln()
        };
        concerned.iter().map(of).sum()
    };
    let documented = concerned[0].readings.iter().map(taken).find(|rows| common.contains(rows)).unwrap_or_default();
    let best = common.iter().map(|rows| (left(rows), rows)).min_by(|a, b| a.0.total_cmp(&b.0));
    let chosen = match best {
        Some((least, rows)) if least < left(&documented) + SHARE_LEFT.ln() => rows.clone(),
        _ => documented,
    };
    for open in opens.iter_mut().filter(|open| open.readings.iter().all(&is_of)) {
        if open.readings.iter().any(|reading| taken(reading) == chosen) {
            open.readings.retain(|reading| taken(reading) == chosen);
        }
    }
    Ok(())
}
