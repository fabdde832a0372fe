//! So and so many mutations of each kind of file: none panics, takes five seconds or a gigabyte.
//!
//! `LOUPE_MUTATIONS` says how many, 1,000 if nothing does. The same ones every time: what fails here fails again. Five seconds are
//! twenty-five times what the slowest of 100,000 takes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::panic::{set_hook, take_hook};
use std::path::Path;
use std::sync::Once;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use loupe_fuzz::{KINDS, Kind, Mutator, Reader};
use loupe_spec::guarded;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The thread whose panics are answers: tokenizers says with them what is wrong with a file.
const READER: &str = "reads";
static QUIET: Once = Once::new();

const LONGEST: Duration = Duration::from_secs(5);
/// In megabytes of a million bytes, of both threads that tests run in together.
const MOST: f32 = 1000.0;

fn corpus(kind: &Kind) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(kind.name);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // A folder has no order of its own.
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// What reading files of a kind took.
struct Done {
    refused: usize,
    /// And which one it was.
    slowest: (Duration, usize),
    /// In megabytes, with what the other tests hold at the same time.
    largest: (f32, usize),
}

/// Reads `count` mutations; an error names the file that is wrong with Loupe, which is kept.
fn run(kind: &'static Kind, count: usize, reader: &Reader, started: impl Fn()) -> Result<Done, String> {
    let seeds = corpus(kind);
    for seed in &seeds {
        reader.read(seed).map_err(|error| format!("a seed of {} is not read: {error}", kind.name))?;
    }
    let mut mutator = Mutator::new(kind, seeds, 1);
    let mut done = Done { refused: 0, slowest: (Duration::ZERO, 0), largest: (0.0, 0) };
    for number in 0..count {
        let file = mutator.file();
        started();
        MEMORY.reset_peak_usage();
        let begun = Instant::now();
        let read = guarded(|| reader.read(&file));
        let (took, memory) = (begun.elapsed(), MEMORY.peak_usage_as_mb());
        done.slowest = done.slowest.max((took, number));
        if memory > done.largest.0 {
            done.largest = (memory, number);
        }
        let wrong = match read {
            Err(panic) => Some(format!("panics: {panic}")),
            Ok(said) => {
                done.refused += usize::from(said.is_err());
                None
            }
        };
        let wrong = wrong.or((took > LONGEST).then(|| format!("takes {took:?}")));
        let wrong = wrong.or((memory > MOST).then(|| format!("takes {memory} MB")));
        if let Some(wrong) = wrong {
            let kept = std::env::temp_dir().join(format!("loupe-{}-{number}", kind.name));
            std::fs::write(&kept, &file).unwrap();
            return Err(format!("mutation {number} of {} {wrong}; it is kept as {}", kind.name, kept.display()));
        }
    }
    Ok(done)
}

/// Whoever hangs is left behind.
fn within_time(kind: &'static Kind) {
    let count = std::env::var("LOUPE_MUTATIONS").map_or(1000, |count| count.parse().unwrap());
    let (sender, receiver) = channel();
    let (begun, ended) = (sender.clone(), sender);
    QUIET.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some(READER) {
                usual(panic);
            }
        }));
    });
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::new(kind.name, folder.path()).unwrap().unwrap();
    let reads = move || {
        let done = run(kind, count, &reader, || begun.send(None).unwrap());
        let _ = ended.send(Some(done));
    };
    std::thread::Builder::new().name(READER.to_string()).spawn(reads).unwrap();
    let mut number = 0;
    loop {
        // Longer than what the thread itself finds too long.
        match receiver.recv_timeout(LONGEST * 4) {
            Ok(None) => number += 1,
            Ok(Some(done)) => {
                let Done { refused, slowest, largest } = done.unwrap_or_else(|wrong| panic!("{wrong}"));
                let ((time, slow), (memory, large)) = (slowest, largest);
                println!(
                    "{}: {count} files, {refused} refused, at most {time:.1?} (number {slow}) and {memory:.0} MB (number {large})",
                    kind.name
                );
                // Some mutations are still right, most are not.
                assert!(refused > count / 4 && refused < count, "{}: {refused} of {count} are refused", kind.name);
                return;
            }
            Err(RecvTimeoutError::Timeout) => {
                panic!("mutation {} of {} hangs; it is kept in {}", number - 1, kind.name, folder.keep().display())
            }
            Err(RecvTimeoutError::Disconnected) => panic!("{}: the test itself failed", kind.name),
        }
    }
}

macro_rules! tests {
    ($($kind:ident)*) => {
        $(#[test]
        fn $kind() {
            within_time(KINDS.iter().find(|kind| kind.name == stringify!($kind)).unwrap());
        })*

        #[test]
        fn every_kind_has_its_test() {
            let tested = [$(stringify!($kind)),*];
            assert_eq!(KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>(), tested);
        }
    };
}

tests!(config config_json weights index tokenizer report verdict dump npy npz pt json log bin);
