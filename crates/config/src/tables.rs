//! The keys as tables of the docs.

use std::collections::BTreeSet;

use crate::CheckName;
use crate::key::{AnyKey, Sets, Shape};
use crate::keys::{CHECK, SCHEMA};
use crate::matrix_keys::matrix_keys;
use crate::shapes::engine_run_keys;

/// Every key of a config, in Markdown.
pub fn key_table() -> String {
    let all = CheckName::ALL.into_iter().flat_map(|name| name.shape().keys);
    let mut seen = BTreeSet::new();
    table(all.chain([&SCHEMA as &dyn AnyKey]).filter(|key| seen.insert(key.name())))
}

/// Every key of a matrix, in Markdown.
pub fn matrix_table() -> String {
    table(matrix_keys().keys.into_iter())
}

/// Every key of a run with a command, in Markdown.
pub fn engine_table() -> String {
    table(engine_run_keys().keys.into_iter())
}

/// Which keys each check has, in Markdown.
pub fn check_table() -> String {
    let mut rows =
        vec!["| check | needs | may have | without `check`, by exactly |".to_string(), "|---|---|---|---|".to_string()];
    for name in CheckName::ALL {
        let Shape { keys, required, one_of } = name.shape();
        let needed = one_of.iter().filter(|sets| !sets.contains(&&[][..]));
        let mut needs: Vec<String> = required.iter().map(|key| quoted(key)).collect();
        needs.extend(needed.clone().map(|sets| alternatives(sets)));
        let is_needed =
            |key: &str| required.contains(&key) || needed.clone().flat_map(|sets| *sets).any(|set| set.contains(&key));
        let others = keys.iter().map(|key| key.name()).filter(|key| !is_needed(key) && *key != CHECK.name);
        let inferred = name.inferred_from().unwrap_or_default().iter().map(|key| quoted(key));
        rows.push(format!(
            "| {} | {} | {} | {} |",
            quoted(name.name()),
            needs.join(", "),
            others.map(quoted).collect::<Vec<_>>().join(", "),
            inferred.collect::<Vec<_>>().join(", ")
        ));
    }
    rows.join("\n") + "\n"
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

/// `layer` and `proj`, or `tensor`.
fn alternatives(sets: Sets) -> String {
    let sets = sets.iter().map(|set| set.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(" with "));
    sets.collect::<Vec<_>>().join(" or ")
}

fn table(keys: impl Iterator<Item = &'static dyn AnyKey>) -> String {
    let row = |key: &'static dyn AnyKey| {
        let default = key.default().map(quoted).unwrap_or_default();
        format!("| {} | {} | {default} | {} |\n", quoted(key.name()), key.words(), key.says())
    };
    "| key | takes | left out | meaning |\n|---|---|---|---|\n".to_string() + &keys.map(row).collect::<String>()
}
