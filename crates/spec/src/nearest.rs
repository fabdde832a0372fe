//! "Did you mean": the one place that decides which known name a mistyped one is closest to.

/// The candidate most like `name`, or `None` if none is alike enough to be worth suggesting.
///
/// Likeness is Jaro-Winkler (0 to 1); 0.7 keeps `lyer` → `layer` and drops unrelated words.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_the_closest_and_nothing_when_nothing_is_close() {
        assert_eq!(nearest("lyer", ["layer", "layers", "prompt"]), Some("layer"));
        assert_eq!(nearest("zzz", ["layer", "layers", "prompt"]), None);
    }
}
