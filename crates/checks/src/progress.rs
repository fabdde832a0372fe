//! How far a run is, and about how long it still takes, on a terminal.

use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use loupe_runtime::{Progress, Watch};

/// Whoever waits no longer than this need not be told.
const PATIENCE: Duration = Duration::from_secs(1);
/// How finely a step is counted.
const PARTS: u64 = 1000;

/// A line on stderr: what is done, how much of it, since when, and for about how long still. It comes once the run has taken longer than
/// a second, goes when this is dropped, and is not drawn where stderr is no terminal.
#[derive(Debug)]
pub struct Line {
    bar: ProgressBar,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the line comes, if it is to come.
    due: Option<Instant>,
    step: Step,
}

/// What is done.
#[derive(Debug, Default)]
struct Step {
    /// All of it.
    work: usize,
    /// What is over, in the same unit.
    over: usize,
    /// The part that goes on. `None`: there are no parts.
    part: Option<usize>,
    /// How far it is, in [`PARTS`].
    at: u64,
}

impl Line {
    /// On stderr.
    pub fn new() -> Line {
        let line = Line::on(ProgressDrawTarget::hidden());
        line.state().due = stderr().is_terminal().then(|| Instant::now() + PATIENCE);
        line
    }

    fn on(target: ProgressDrawTarget) -> Line {
        Line { bar: ProgressBar::with_draw_target(Some(PARTS), target), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it left numbers that are shown, and no more.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moves(&self, change: impl FnOnce(&mut Step)) {
        let mut state = self.state();
        change(&mut state.step);
        if state.due.is_some_and(|due| Instant::now() >= due) {
            state.due = None;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            // A step that tells nothing for a while is still seen to run.
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
        self.bar.set_position(state.step.at);
    }
}

impl Step {
    /// Of a run of the part that goes on, so much of `all` is done. A part may take several runs: the line never goes back.
    fn runs(&mut self, taken: usize, all: usize) {
        let part = self.part.unwrap_or(self.work) as f64 * taken as f64 / all.max(1) as f64;
        let done = (self.over as f64 + part) / self.work.max(1) as f64;
        self.at = self.at.max((PARTS as f64 * done.min(1.0)) as u64);
    }
}

impl Watch for Line {
    fn begins(&self, what: &str, work: usize) {
        // Of what nobody knows how much it is, nothing is promised.
        let left = if work > 0 { "{bar:30} {percent:>3}%, {elapsed}, about {eta} left of this" } else { "{elapsed}" };
        if let Ok(style) = ProgressStyle::with_template(&format!("{{msg}} {left}")) {
            self.bar.set_style(style);
        }
        self.bar.set_message(what.to_string());
        self.moves(|step| *step = Step { work, ..Step::default() });
        self.bar.reset_eta();
    }

    fn part(&self, work: usize) {
        self.moves(|step| {
            step.over += step.part.unwrap_or(0);
            step.part = Some(work);
            step.runs(0, 1);
        });
    }

    fn runs(&self, taken: usize, all: usize) {
        self.moves(|step| step.runs(taken, all));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Runs `work`, which is called `what`, and shows which share of the weights it has used.
pub fn shown<T>(what: &str, work: impl FnOnce(Progress<'_>) -> T) -> T {
    let line = Line::new();
    line.begins(what, 1);
    work(Progress(&|taken, all| line.runs(taken, all)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use indicatif::TermLike;

    use super::*;

    /// A terminal of which all that was ever written is kept.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl TermLike for Kept {
        fn width(&self) -> u16 {
            200
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_line_says_what_is_done_how_much_of_it_and_that_something_is_left() {
        let terminal = Kept::default();
        let line = Line::on(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        let seen = |share: &str| {
            line.bar.force_draw();
            let text = terminal.0.lock().unwrap().clone();
            assert!(text.contains(share) && text.contains("left of this"), "{text}");
            text
        };
        line.begins("the reference from the token ids", 1);
        line.runs(1, 4);
        assert!(seen(" 25%").contains("the reference from the token ids"));
        // Parts of unequal size, of which one takes two runs.
        line.begins("mistakes", 10);
        assert!(!seen("  0%").contains("reference"));
        line.part(2);
        line.runs(1, 2);
        seen(" 10%");
        line.runs(2, 2);
        seen(" 20%");
        line.runs(1, 2);
        seen(" 20%");
        line.part(8);
        line.runs(1, 2);
        seen(" 60%");
        line.begins("several mistakes together", 0);
        line.runs(1, 2);
        line.bar.force_draw();
        let text = terminal.0.lock().unwrap().clone();
        assert!(text.contains("several mistakes together") && !text.contains("left"), "{text}");
    }

    /// A part that is larger than was said, and a run of nothing: the line stays within 0 and 100.
    #[test]
    fn what_is_told_wrong_does_not_break_the_line() {
        let line = Line::on(ProgressDrawTarget::hidden());
        line.begins("x", 3);
        line.part(2);
        line.part(7);
        line.runs(5, 0);
        assert_eq!(line.bar.position(), PARTS);
    }
}
