//! All that was measured.

use super::{benign, leave_one_out, pairs, planted};

/// Of each part.
#[derive(Default)]
pub struct Results {
    pub planted: Vec<planted::Outcome>,
    pub left_out: Vec<leave_one_out::Outcome>,
    pub pairs: Vec<pairs::Judged>,
    pub benign: Vec<benign::Benign>,
    /// What could not be run here, and why.
    pub skipped: Vec<String>,
    pub seconds: f64,
    /// Of each part.
    pub seconds_of: Vec<(String, f64)>,
}

impl Results {
    pub fn false_alarms(&self) -> usize {
        self.benign.iter().filter(|benign| benign.false_alarm()).count()
    }

    /// Verdicts that call a mistake by another's name.
    pub fn wrong_names(&self) -> usize {
        let planted = self.planted.iter().filter(|outcome| !outcome.score.wrong.is_empty()).count();
        let pairs = self.pairs.iter().filter(|pair| pair.outcome == pairs::Pair::Wrong).count();
        planted + pairs + self.left_out.iter().filter(|outcome| outcome.left == leave_one_out::Left::WrongName).count()
    }

    /// 1 where right code was called wrong or a mistake by another's name.
    pub fn code(&self) -> u8 {
        u8::from(self.wrong_names() > 0 || self.false_alarms() > 0)
    }
}
