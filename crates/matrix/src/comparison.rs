//! All that one comparison found.

use loupe_config::Matrix;

use crate::exit::worst;
use crate::judge::Judgement;
use crate::rows::Row;

/// Its rows, and what the judge says of them.
pub struct Comparison {
    pub matrix: Matrix,
    /// The matrix's runs, then those whose reports were made elsewhere.
    pub rows: Vec<Row>,
    /// `None`: there was no report to judge.
    pub judgement: Option<Judgement>,
    /// Why backends that must be there do not count as there.
    pub missing: Vec<String>,
}

impl Comparison {
    /// The exit code of the whole.
    pub fn code(&self) -> u8 {
        let judge = self.judgement.as_ref().map_or(2, |judgement| judgement.code);
        let missing = if self.missing.is_empty() { 0 } else { 2 };
        worst(self.rows.iter().map(Row::code).chain([judge, missing]))
    }
}
