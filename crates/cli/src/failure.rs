//! A run that did not do what it was asked.

use miette::Report;

/// What is said on stderr, and the exit code.
pub struct Failure {
    pub report: Report,
    pub exit_code: u8,
}

impl<E: Into<Report>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { report: error.into(), exit_code: 2 }
    }
}
