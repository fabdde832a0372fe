//! Counts and layers in plain English.

/// `1 stage`, `4 stages`: `noun` is one that takes an s.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A ratio in two digits: `0.27`, `121`, `8e5`.
pub(crate) fn share(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 10.0 => format!("{ratio:.2}"),
        ratio if ratio < 1e4 => format!("{ratio:.0}"),
        ratio => format!("{ratio:.0e}"),
    }
}

/// So many layers are listed one by one.
const LISTED: usize = 6;

/// `every layer`, `layer 2`, `every odd layer`, `layers 3 to 25`, `layers 0, 2 and 3`, of a model that has `of`; `None` for
/// none. `layers` ascend.
pub(crate) fn in_words(layers: &[usize], of: usize) -> Option<String> {
    let (first, last) = (*layers.first()?, *layers.last()?);
    let count = layers.len();
    let every = |start: usize| layers.iter().copied().eq((start..of).step_by(2));
    let words: Vec<String> = layers.iter().take(LISTED).map(ToString::to_string).collect();
    Some(if count == 1 {
        format!("layer {first}")
    } else if count == of {
        "every layer".to_string()
    } else if every(0) {
        "every even layer".to_string()
    } else if every(1) {
        "every odd layer".to_string()
    } else if count > 2 && last - first + 1 == count {
        format!("layers {first} to {last}")
    } else if count > LISTED {
        format!("layers {} and {} more", words.join(", "), count - LISTED)
    } else {
        format!("layers {}", and(&words))
    })
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn and(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_said_as_a_person_would() {
        for (layers, of, said) in [
            (vec![], 4, None),
            (vec![2], 4, Some("layer 2")),
            (vec![0], 1, Some("layer 0")),
            (vec![0, 1, 2, 3], 4, Some("every layer")),
            (vec![0, 2], 4, Some("every even layer")),
            (vec![1, 3, 5], 6, Some("every odd layer")),
            (vec![1, 3], 26, Some("layers 1 and 3")),
            (vec![3, 4, 5], 26, Some("layers 3 to 5")),
            (vec![0, 2, 3], 26, Some("layers 0, 2 and 3")),
            (vec![0, 1, 3, 4, 6, 7, 9, 10], 26, Some("layers 0, 1, 3, 4, 6, 7 and 2 more")),
        ] {
            assert_eq!(in_words(&layers, of).as_deref(), said, "{layers:?} of {of}");
        }
        assert_eq!([count(0, "stage"), count(1, "stage"), count(2, "stage")], ["0 stages", "1 stage", "2 stages"]);
    }
}
