//! The comparison for CI services: `<output>.junit.xml`, a suite for each run and a case for each check.
//!
//! Written by hand: the crates for it turn on features that would build burn a second time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use loupe_judge::with_first;
use miette::Result;

use crate::comparison::Comparison;
use crate::files;
use crate::process::with_ending;
use crate::rows::{CheckRun, Outcome, Row};

/// Writes `<output>.junit.xml`.
pub fn write(comparison: &Comparison, output: &Path) -> Result<PathBuf> {
    let mut suites: Vec<String> = comparison.rows.iter().map(of_run).collect();
    suites.extend(of_matrix(comparison));
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"loupe\">\n{}</testsuites>\n",
        suites.concat()
    );
    files::write(with_ending(output, ".junit.xml"), &xml)
}

/// How a case went, where it went not well.
enum Problem {
    /// What was tested is wrong.
    Failure(String),
    /// The test did not take place as it should.
    Error(String),
    /// It was not meant to take place.
    Skipped(String),
}

fn of_run(row: &Row) -> String {
    suite(
        &row.name,
        &row.check_runs
            .iter()
            .map(|check_run| (check_run.check.as_str(), check_run.seconds, problem(check_run)))
            .collect::<Vec<_>>(),
    )
}

/// What is wrong with no run in particular.
fn of_matrix(comparison: &Comparison) -> Option<String> {
    let mut cases: Vec<_> =
        comparison.missing.iter().map(|why| ("require", None, Some(Problem::Error(why.clone())))).collect();
    let failure = comparison.judgement.as_ref().and_then(|judgement| judgement.failure.as_ref());
    cases.extend(failure.map(|why| ("judge", None, Some(Problem::Error(why.clone())))));
    (!cases.is_empty()).then(|| suite("matrix", &cases))
}

fn problem(check_run: &CheckRun) -> Option<Problem> {
    let reason = check_run.outcome.reason().unwrap_or("not judged");
    match (&check_run.outcome, &check_run.verdict) {
        (Outcome::Skipped, _) => Some(Problem::Skipped("the first check of this run left no report".to_string())),
        (Outcome::Absent(_), _) => Some(Problem::Skipped(reason.to_string())),
        (Outcome::Ran, Some(verdict)) if verdict.exit_code != 0 => Some(Problem::Failure(with_first(verdict))),
        (Outcome::Ran, Some(_)) if check_run.findings.is_empty() => None,
        (Outcome::Ran, Some(_)) => Some(Problem::Failure(check_run.findings.join("; "))),
        (outcome, _) => Some(Problem::Error(format!("{}: {reason}", outcome.name()))),
    }
}

fn suite(name: &str, cases: &[(&str, Option<f64>, Option<Problem>)]) -> String {
    let count =
        |is: fn(&Problem) -> bool| cases.iter().filter(|(_, _, problem)| problem.as_ref().is_some_and(is)).count();
    let mut xml = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
        escape(name),
        cases.len(),
        count(|problem| matches!(problem, Problem::Failure(_))),
        count(|problem| matches!(problem, Problem::Error(_))),
        count(|problem| matches!(problem, Problem::Skipped(_))),
    );
    for (case, seconds, problem) in cases {
        let time = seconds.map_or(String::new(), |seconds| format!(" time=\"{seconds:.3}\""));
        let _ = write!(xml, "    <testcase classname=\"{}\" name=\"{}\"{time}", escape(name), escape(case));
        let inner = problem.as_ref().map(|problem| match problem {
            Problem::Failure(message) => ("failure", message),
            Problem::Error(message) => ("error", message),
            Problem::Skipped(message) => ("skipped", message),
        });
        let _ = match inner {
            None => writeln!(xml, "/>"),
            Some((tag, message)) => writeln!(xml, "><{tag} message=\"{}\"/></testcase>", escape(message)),
        };
    }
    xml + "  </testsuite>\n"
}

/// Text as an attribute of XML may hold it.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            // Whitespace would be read as a blank; XML has no way at all to write the other controls.
            '\n' | '\t' | '\r' => escaped += &format!("&#{};", u32::from(c)),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_prints_does_not_break_the_xml() {
        assert_eq!(escape("a < b & \"c\"\n\u{1b}[0m"), "a &lt; b &amp; &quot;c&quot;&#10;\u{fffd}[0m");
    }

    #[test]
    fn a_suite_counts_its_problems() {
        let cases = [
            ("embed", Some(0.5), None),
            ("attn", None, Some(Problem::Failure("q".to_string()))),
            ("trace", None, Some(Problem::Skipped("absent".to_string()))),
        ];
        let expected = r#"  <testsuite name="flex-f32" tests="3" failures="1" errors="0" skipped="1">
    <testcase classname="flex-f32" name="embed" time="0.500"/>
    <testcase classname="flex-f32" name="attn"><failure message="q"/></testcase>
    <testcase classname="flex-f32" name="trace"><skipped message="absent"/></testcase>
  </testsuite>
"#;
        assert_eq!(suite("flex-f32", &cases), expected);
    }
}
