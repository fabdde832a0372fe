//! README.md and the book in docs/: every command in them runs, every link leads somewhere, every page is in the table of
//! contents.
//!
//! A block of commands or a config that cannot run here says so: `not run by the tests: …`, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::{Sandbox, repository};

const NOT_RUN: &str = "not run by the tests: ";
/// A remark in a page that says which file of the repository stands for one that a block which is not run writes.
const STANDS_FOR: &str = "<!-- tests: ";

/// The pages, by their paths from the root of the repository.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("ARCHITECTURE.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in repository().join(&folder).read_dir().unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            match repository().join(&path).is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|ending| ending == "md") => paths.push(path),
                false => {}
            }
        }
    }
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(repository().join(path)).unwrap());
    paths.into_iter().map(read).collect()
}

fn events(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// Fenced blocks, with their language.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for event in events(text) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                inside = true;
                blocks.push((language.to_string(), String::new()));
            }
            Event::End(TagEnd::CodeBlock) => inside = false,
            Event::Text(code) if inside => blocks.last_mut().unwrap().1 += &code,
            _ => {}
        }
    }
    blocks
}

/// Runs what can be run of the page `path`.
struct Page<'a> {
    path: &'a Path,
    sandbox: Sandbox,
    /// What `.ci/run` runs.
    ci: &'a str,
}

impl Page<'_> {
    fn open<'a>(path: &'a Path, text: &str, ci: &'a str) -> Page<'a> {
        let sandbox = Sandbox::new();
        copy(&repository().join("configs"), &sandbox.path("configs"));
        for said in text.split(STANDS_FOR).skip(1) {
            let words: Vec<&str> = said.split(" -->").next().unwrap().split_whitespace().collect();
            let (from, to) = (words[0], words[words.len() - 1]);
            std::fs::create_dir_all(sandbox.path(to).parent().unwrap()).unwrap();
            std::fs::copy(repository().join(from), sandbox.path(to)).unwrap();
        }
        Page { path, sandbox, ci }
    }

    fn block(&self, language: &str, code: &str) {
        if let Some((_, reason)) = code.lines().next().and_then(|first| first.split_once(NOT_RUN)) {
            assert!(!reason.trim().is_empty(), "{}: why is this not run?\n{code}", self.path.display());
            return;
        }
        match language {
            "sh" => code.lines().filter(|line| !line.trim().is_empty()).for_each(|line| self.command(line)),
            "json" => self.config(code),
            // What is printed, and pieces of files.
            "" | "text" | "yaml" => {
                let starts = ["cargo ", "loupe ", "LOUPE_", "pip ", "python"];
                let command = code.lines().find(|line| starts.iter().any(|start| line.starts_with(start)));
                assert_eq!(command, None, "{}: a block of commands says sh", self.path.display());
            }
            other => {
                assert_eq!(other, "sh", "{}: nothing runs such a block; say \"{NOT_RUN}\" and why", self.path.display())
            }
        }
    }

    fn command(&self, line: &str) {
        let piped = line.strip_prefix("echo '").and_then(|rest| rest.strip_suffix("' | loupe -"));
        let of_file = ["loupe ", "cargo run --release -- "].iter().find_map(|start| line.strip_prefix(start));
        match (piped, of_file) {
            (Some(config), _) => self.config(config),
            (_, Some(path)) => self.ended(line, &self.sandbox.run(&[path])),
            _ => {
                let step = format!("\nstep {line}\n");
                assert!(self.ci.contains(&step), "{}: neither a test nor .ci/run runs: {line}", self.path.display());
            }
        }
    }

    fn config(&self, text: &str) {
        self.ended(text, &self.sandbox.piped(text));
    }

    /// It ran, and came to whatever it came to.
    fn ended(&self, what: &str, run: &crate::Run) {
        assert!([0, 1, 4].contains(&run.code), "{}: {what}\n{}", self.path.display(), run.stderr);
        assert!(!run.stdout.is_empty(), "{}: {what}", self.path.display());
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn every_command_of_readme_and_book_runs() {
    let ci = std::fs::read_to_string(repository().join(".ci/run")).unwrap();
    let mut commands = 0;
    for (path, text) in pages() {
        let page = Page::open(&path, &text, &ci);
        for (language, code) in blocks(&text) {
            page.block(&language, &code);
            commands += 1;
        }
    }
    assert!(commands > 20, "{commands}");
}

/// The verdict that README.md shows is the one that its own dump gets.
#[test]
fn the_verdict_of_the_readme_is_real() {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let page = Page::open(Path::new("README.md"), &text, "");
    let found = blocks(&text);
    let (_, shown) = found.iter().find(|(_, code)| code.starts_with("architectural: ")).unwrap();
    page.sandbox.config(r#"{"check": "export", "model": "builtin:tiny", "output": "out/tiny"}"#).ok();
    let (_, config) = found.iter().find(|(language, _)| language == "json").unwrap();
    let run = page.sandbox.config(config);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stdout.starts_with(shown.as_str()), "README.md shows\n{shown}\nand it is\n{}", run.stdout);
}

#[test]
fn readme_is_read_in_a_few_minutes() {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    assert!(text.lines().count() <= 130, "{} lines", text.lines().count());
}

/// What an anchor of `text` may be: its headings in small letters, with `-` for spaces and nothing for other signs.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in events(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let title = heading.take().unwrap_or_default().to_lowercase().replace(' ', "-");
                found.insert(title.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect());
            }
            Event::Text(part) | Event::Code(part) => heading.iter_mut().for_each(|title| *title += &part),
            _ => {}
        }
    }
    found
}

/// `path` without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_in_the_book() {
    let pages = pages();
    let mut listed = BTreeSet::new();
    for (path, text) in &pages {
        let links = events(text).filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
            _ => None,
        });
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.clone() } else { plain(&path.with_file_name("").join(file)) };
            let whence = path.display();
            assert!(repository().join(&target).is_file(), "{whence}: {link}: there is no {}", target.display());
            if path.starts_with("docs") {
                // The book holds docs/ and nothing else.
                assert!(target.starts_with("docs"), "{whence}: {link} leads out of the book");
            }
            if path.ends_with("SUMMARY.md") {
                listed.insert(target.clone());
            }
            if !anchor.is_empty() {
                assert!(anchors(&pages[&target]).contains(anchor), "{whence}: {link}: no such heading");
            }
        }
    }
    let book: BTreeSet<PathBuf> =
        pages.into_keys().filter(|path| path.starts_with("docs") && !path.ends_with("SUMMARY.md")).collect();
    assert_eq!(listed, book, "docs/SUMMARY.md and the pages in docs/ differ");
}
