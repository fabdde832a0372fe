//! `loupe <config.json>`: one JSON document in, text and a report out.

mod allocator;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use loupe_checks::Files;
use miette::{GraphicalReportHandler, GraphicalTheme, Report, miette};

const HELP: &str = "\
loupe: a reference Gemma 2 that inference engines are held against

usage: loupe <config.json>

The config is one JSON object (// comments allowed) and says everything: there are no flags.
  {\"check\": \"trace\", \"model\": \"builtin:tiny\", \"prompt\": \"The color of the sky is\"}
checks: embed, attn, weights, rope, layer-out, trace, export, compare (README.md has their keys)

exit codes
  0  ran; nothing wrong, or a difference that is rounding
  1  a mistake in the architecture, or a check's own finding
  2  could not run: usage, config, a file, a backend that is not there
  3  a backend computed nonsense
  4  inconclusive
";

fn main() -> ExitCode {
    allocator::keep_freed_buffers();
    // burn and its drivers report what is missing by panicking; what they say becomes an error message, once.
    std::panic::set_hook(Box::new(|_| {}));
    match run(&std::env::args_os().skip(1).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(Failure { report, exit_code }) => {
            let mut text = String::new();
            let theme = if plain() { GraphicalTheme::unicode_nocolor() } else { GraphicalTheme::unicode() };
            // Writing to a String cannot fail.
            let _ = GraphicalReportHandler::new_themed(theme).with_width(120).render_report(&mut text, report.as_ref());
            eprint!("{text}");
            ExitCode::from(exit_code)
        }
    }
}

/// What is said on stderr, and the exit code.
struct Failure {
    report: Report,
    exit_code: u8,
}

impl<E: Into<Report>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { report: error.into(), exit_code: 2 }
    }
}

fn plain() -> bool {
    use std::io::IsTerminal;
    !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some()
}

fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let path = match args {
        [only] if only == "--help" || only == "-h" => {
            say(HELP);
            return Ok(ExitCode::SUCCESS);
        }
        [only] if only == "--version" || only == "-V" => {
            say(concat!("loupe ", env!("CARGO_PKG_VERSION"), " (burn 0.21.0)\n"));
            return Ok(ExitCode::SUCCESS);
        }
        [only] if only.to_string_lossy().starts_with('-') => {
            return Err(usage(&format!("\"{}\" is a flag, and loupe has none", only.to_string_lossy())).into());
        }
        [only] => Path::new(only),
        [] => return Err(usage("no config was given").into()),
        many => return Err(usage(&format!("{} arguments were given, expected one config", many.len())).into()),
    };
    let request = loupe_config::read(path)?;
    let outcome = loupe_checks::run(&request)
        .map_err(|error| Failure { exit_code: error.exit_code(), report: miette!("{error}") })?;
    say(&outcome.text);
    if let Some(prefix) = &request.common.output {
        write(prefix, &outcome.files)?;
    }
    Ok(ExitCode::from(outcome.exit_code))
}

fn write(prefix: &Path, files: &Files) -> Result<(), Report> {
    match files {
        Files::None => {}
        Files::Report(report, tensors) => {
            let written = loupe_report::write(prefix, report, tensors).map_err(|error| miette!("{error}"))?;
            say(&format!("\nwritten: {} and {}\n", written.json.display(), written.safetensors.display()));
        }
        Files::Verdicts(verdicts) => {
            let path = loupe_report::write_json(prefix, verdicts).map_err(|error| miette!("{error}"))?;
            say(&format!("\nwritten: {}\n", path.display()));
        }
    }
    Ok(())
}

/// To stdout. A reader that has seen enough (`loupe … | head`) is no error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn usage(what: &str) -> Report {
    miette!(help = "usage: loupe <config.json>, for example: loupe configs/trace-tiny.json", "{what}")
}
