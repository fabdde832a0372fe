//! How far a run is, on a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use loupe_runtime::Progress;

/// [`shown`] of a replay. One bar for each that takes so long; how many there will be, the judge finds out as it goes.
pub fn replay_shown(what: &str, work: &mut dyn FnMut(Progress<'_>)) {
    shown(what, |progress| work(Progress(progress)));
}

/// Runs `work` and shows on stderr which share of the weights it has used, once it has taken longer than a second. Draws
/// nothing where stderr is no terminal.
pub fn shown<T>(what: &str, work: impl FnOnce(&(dyn Fn(usize, usize) + Sync)) -> T) -> T {
    const PATIENCE: Duration = Duration::from_secs(1);
    let started = Instant::now();
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::hidden());
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {percent}% of the weights, {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_string());
    let done = work(&|taken, all| {
        if bar.is_hidden() && started.elapsed() > PATIENCE {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_length(all as u64);
        bar.set_position(taken as u64);
    });
    bar.finish_and_clear();
    done
}
