//! `loupe <config.json>`: one JSON document in, text and a report out.

mod allocator;
mod colour;
mod crash;
mod failure;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use failure::Failure;
use loupe_checks::{BURN, CheckError, Files};
use loupe_config::{Document, STDIN};
use loupe_spec::{echo, echo_path, printable};
use miette::{GraphicalReportHandler, GraphicalTheme, Report, miette};

const HELP: &str = "\
loupe: a reference Gemma 2 that inference engines are held against

usage: loupe <config.json>, or loupe - to read the config from standard input

The config is one JSON object (// comments allowed) and says everything: there are no flags.
  {\"check\": \"trace\", \"model\": \"builtin:tiny\", \"prompt\": \"The color of the sky is\"}
checks: embed, attn, weights, rope, layer-out, trace, compare, rejudge, names, explain, export (docs/reference/configs.md has their keys)
With \"runs\" in the place of \"check\" it is a matrix: several backends and engines, judged together (docs/reference/matrix.md).

exit codes
  0  ran; nothing wrong, or a difference that is rounding
  1  a mistake in the architecture, or a check's own finding
  2  could not run: usage, config, a file
  3  a backend computed nonsense, or loupe itself failed
  4  inconclusive
  5  the backend is not on this machine
";

/// What is said where nothing is asked.
const START: &str = "\
loupe holds a Gemma 2 engine against a reference: one JSON config in, an answer out.
  see a forward pass   loupe configs/trace-tiny.json
  judge your numbers   echo '{\"check\": \"compare\", \"model\": \"builtin:tiny\", \"candidate\": \"dump.safetensors\"}' | loupe -
  all of it            loupe --help, and README.md
";

fn main() -> ExitCode {
    allocator::keep_freed_buffers();
    crash::note_panics();
    // Where signals cannot be listened to, a run that they end leaves its temporary files to the next.
    let _ = loupe_files::clean_up_on_signals();
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = catch_unwind(|| run(&args)).unwrap_or_else(|_| Err(crash::failure()));
    match outcome {
        Ok(code) => code,
        Err(Failure { report, exit_code }) => {
            let mut text = String::new();
            let theme = if plain() { GraphicalTheme::unicode_nocolor() } else { GraphicalTheme::unicode() };
            // Writing to a String cannot fail.
            let _ = GraphicalReportHandler::new_themed(theme).with_width(120).render_report(&mut text, report.as_ref());
            // With colours the escapes are miette's own.
            let text = if plain() { printable(&text) } else { text };
            // Where stderr is full or closed there is nobody left to tell.
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::from(exit_code)
        }
    }
}

/// The report of an error that says all by itself: what caused it is not said again.
fn told(error: &impl std::fmt::Display) -> Report {
    miette!("{}", printable(&error.to_string()))
}

fn plain() -> bool {
    !colour::is_on(supports_color::Stream::Stderr)
}

fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let path = match args {
        [only] if only == "--help" || only == "-h" => {
            say(HELP)?;
            return Ok(ExitCode::SUCCESS);
        }
        [only] if only == "--version" || only == "-V" => {
            say(&format!("loupe {} (burn {BURN})\n", env!("CARGO_PKG_VERSION")))?;
            return Ok(ExitCode::SUCCESS);
        }
        [only] if only != STDIN && only.to_string_lossy().starts_with('-') => {
            return Err(usage(&format!("\"{}\" is a flag, and loupe has none", echo(&only.to_string_lossy()))).into());
        }
        [only] => Path::new(only),
        [] => {
            // Where stderr is full or closed there is nobody left to tell.
            let _ = std::io::stderr().write_all(START.as_bytes());
            return Ok(ExitCode::from(2));
        }
        many => return Err(usage(&format!("{} arguments were given, expected one config", many.len())).into()),
    };
    let request = match loupe_config::read(path)? {
        Document::Request(request) => request,
        Document::Matrix(matrix) => {
            let done = loupe_matrix::run(path, *matrix, &itself()?)?;
            say(&done.text)?;
            return Ok(ExitCode::from(done.code));
        }
    };
    let failed = |error: CheckError| Failure { exit_code: error.exit_code(), report: told(&error) };
    loupe_checks::refuse_overwriting(path, &request).map_err(failed)?;
    let outcome = loupe_checks::run(&request).map_err(failed)?;
    // What cannot be said may still be written.
    let said = say(&outcome.text);
    if let Some(prefix) = &request.common.output {
        let written = write(prefix, &outcome.files)?;
        said?;
        say(&written)?;
    } else {
        said?;
    }
    Ok(ExitCode::from(outcome.exit_code))
}

/// The program that runs each check of a matrix: this one, or the one that `LOUPE_BIN` names.
fn itself() -> Result<PathBuf, Report> {
    match loupe_matrix::named_loupe()? {
        Some(named) => Ok(named),
        None => std::env::current_exe().map_err(|error| miette!("cannot find the file of this program: {error}")),
    }
}

/// Writes `files`; which, as a line of text.
fn write(prefix: &Path, files: &Files) -> Result<String, Report> {
    let json = match files {
        Files::None => return Ok(String::new()),
        Files::Report(report, tensors, emitted) => {
            let written = loupe_report::write(prefix, report, tensors).map_err(|error| told(&error))?;
            let emitted = emitted.as_ref().map(|emitted| loupe_report::write_doppler(prefix, emitted)).transpose();
            let (json, tensors) = (echo_path(&written.json), echo_path(&written.safetensors));
            return Ok(match emitted.map_err(|error| told(&error))? {
                Some(emitted) => format!("\nwritten: {json}, {tensors} and {}\n", echo_path(&emitted)),
                None => format!("\nwritten: {json} and {tensors}\n"),
            });
        }
        Files::Verdicts(verdicts, None) => loupe_report::write_json(prefix, verdicts),
        Files::Verdicts(verdicts, Some(page)) => {
            let written = loupe_report::write_with_page(prefix, verdicts, page).map_err(|error| told(&error))?;
            return Ok(format!("\nwritten: {} and {}\n", echo_path(&written.json), echo_path(&written.html)));
        }
        Files::Document(document) => loupe_report::write_json(prefix, document),
    };
    Ok(format!("\nwritten: {}\n", echo_path(&json.map_err(|error| told(&error))?)))
}

/// To stdout. A reader that has seen enough (`loupe … | head`) is no error; a full disk is.
fn say(text: &str) -> Result<(), Report> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(colour::paint(&printable(text)).as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(miette!("cannot write to stdout: {error}")),
        _ => Ok(()),
    }
}

fn usage(what: &str) -> Report {
    miette!(help = "usage: loupe <config.json>, for example: loupe configs/trace-tiny.json", "{what}")
}
