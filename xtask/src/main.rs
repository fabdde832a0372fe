//! `cargo xtask <command>`: what is done around `loupe` rather than by it. It builds and starts that program, and never links
//! burn, so that it compiles in seconds.

#![forbid(unsafe_code)]

mod compare;
mod generate;
mod loupe;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use loupe_matrix::Done;
use loupe_spec::{echo, printable};
use miette::{GraphicalReportHandler, GraphicalTheme, Report, Result};

const COMMANDS: &str = "\
usage: cargo xtask <command>

commands
  compare [config.json]   run the checks of a matrix on each of its backends, and have loupe judge the reports
                          (configs/compare.json where no config is given; LOUPE_BIN names a loupe that is built
                          already, LOUPE_REQUIRE=wgpu,cuda the backends that must be there)
  bench [config.json]     time loupe beside the transformers scripts of crates/bench/peer, or beside another loupe, in pairs
                          (without a config on a checkpoint of 2B's shape; LOUPE_BIN as above)
  bench-verdict [config.json]
                          plant every mistake in small checkpoints and count which the judge finds and names, and
                          right code that it calls wrong, as Markdown; everything where no config is given
                          (docs/bench-verdict.md has the config's keys; LOUPE_BIN and LOUPE_REQUIRE as above)
  generate                write what of the repository is made from the code: schemas, the catalogue, tables of the docs
  fixtures 2b DIR         write a checkpoint of gemma-2-2b's shape with random weights to DIR (5.2 GB)

exit codes of compare: those of loupe (loupe --help). Of the benchmarks: 0, or 1 where right code was called wrong or a mistake by
another's name, or 2 where something could not run.
";

/// Where `compare` looks for its matrix when none is named.
const DEFAULT_MATRIX: &str = "configs/compare.json";

fn main() -> ExitCode {
    // A path that is no UTF-8 is named as well as can be, and then not found.
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["--help" | "-h" | "help"] => {
            say(COMMANDS);
            Ok(0)
        }
        ["compare"] => compare::run(Path::new(DEFAULT_MATRIX)),
        ["compare", matrix] => compare::run(Path::new(matrix)),
        ["bench"] => bench(loupe_bench::pairs, None),
        ["bench", config] => bench(loupe_bench::pairs, Some(Path::new(config))),
        ["bench-verdict"] => bench(loupe_bench::verdict, None),
        ["bench-verdict", config] => bench(loupe_bench::verdict, Some(Path::new(config))),
        ["generate"] => generate::run().map(|text| say(&text)).map(|()| 0),
        ["fixtures", "2b", folder] => loupe_bench::gemma_2b(Path::new(folder)).map(|text| say(&text)).map(|()| 0),
        [] => return usage("no command was given"),
        ["bench", ..] => return usage("bench takes one config"),
        ["bench-verdict", ..] => return usage("bench-verdict takes one config"),
        ["compare", ..] => return usage("compare takes one config"),
        ["generate", ..] => return usage("generate takes nothing"),
        ["fixtures", ..] => {
            return usage("fixtures takes the name of a shape, of which there is one, and a folder: fixtures 2b DIR");
        }
        [unknown, ..] => return usage(&format!("there is no command \"{}\"", echo(unknown))),
    };
    done.map_or_else(|report| fail(&report), ExitCode::from)
}

/// Runs a benchmark, and says what it found.
fn bench(run: fn(Option<&Path>, PathBuf) -> Result<Done>, config: Option<&Path>) -> Result<u8> {
    let done = run(config, loupe::path()?)?;
    say(&done.text);
    Ok(done.code)
}

/// To stdout. A reader that has seen enough (`cargo xtask compare | head`) is no error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(printable(text).as_bytes());
}

fn usage(what: &str) -> ExitCode {
    eprint!("{what}\n\n{COMMANDS}");
    ExitCode::from(2)
}

fn fail(report: &Report) -> ExitCode {
    let plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    let theme = if plain { GraphicalTheme::unicode_nocolor() } else { GraphicalTheme::unicode() };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = GraphicalReportHandler::new_themed(theme).with_width(120).render_report(&mut text, report.as_ref());
    // With colours the escapes are miette's own.
    let text = if plain { printable(&text) } else { text };
    eprint!("{text}");
    ExitCode::from(2)
}
