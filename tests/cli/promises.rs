//! docs/promises.md names the tests that hold Loupe to each promise.

use std::fs;

use crate::repository;

#[test]
fn each_names_tests_that_are_there() {
    let page = fs::read_to_string(repository().join("docs/promises.md")).unwrap();
    let promises = page.lines().filter(|line| line.starts_with("| **"));
    let mut checked = 0;
    for promise in promises {
        let held = promise.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let (mut file, mut named) = (String::new(), 0);
        // What stands in backticks: a file, then tests in it.
        for word in held.split('`').skip(1).step_by(2) {
            if word.contains('/') {
                let read = fs::read_to_string(repository().join(word));
                assert!(read.is_ok(), "no file {word}: {promise}");
                file = read.unwrap();
            } else {
                let test = file.split("#[test]").skip(1).any(|after| after.contains(&format!("fn {word}(")));
                assert!(test, "no test {word} in the file named before it: {promise}");
            }
            named += 1;
        }
        assert!(named > 0, "no test: {promise}");
        checked += 1;
    }
    assert!(checked >= 4, "the page has {checked} promises");
}
