//! What the words before the numbers of a line say.

use std::borrow::Cow;

/// `label` without what stands in parentheses.
pub fn without_remarks(label: &str) -> String {
    let mut depth = 0_usize;
    let keep = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    label.chars().filter(keep).collect()
}

/// What numbers of a whole tensor are called that are no values of it.
const STATISTICS: [&str; 6] = ["max", "mean", "min", "std", "sum", "rms"];

/// Whether the numbers that follow `label` are sizes of a whole tensor and no values of it.
pub fn is_statistic(label: &str) -> bool {
    let label = label.to_lowercase();
    // A shape that is said in full is followed by something else.
    words(&label).any(|word| STATISTICS.contains(&word))
        || words(&label).rfind(|word| !word.is_empty()) == Some("shape")
}

/// `label`, at whose end a statistic may be said at once, `mean=0.5 sum=17.65`, without it.
pub fn without_statistics(label: &str) -> &str {
    let mut label = label.trim_end();
    loop {
        let (rest, last) = label.rsplit_once(char::is_whitespace).unwrap_or(("", label));
        let is_one = last.split_once('=').is_some_and(|(word, number)| {
            STATISTICS.contains(&word.to_lowercase().as_str()) && (number.is_empty() || number.parse::<f64>().is_ok())
        });
        if !is_one {
            return label;
        }
        label = rest.trim_end();
    }
}

/// `label` with `L12` and `t6` spelled out, where it says both a layer and a token so or otherwise.
pub fn spelled_out(label: &str) -> Cow<'_, str> {
    let numbered = |word: &str, letters: &[char]| -> Option<usize> { word.strip_prefix(letters)?.parse().ok() };
    let mut words = label.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    let (mut layer, mut position) = (None, token(label).map(|_| ""));
    while let Some(word) = words.next() {
        // "L2 norm" is no layer.
        if numbered(word, &['L']).is_some() && words.peek().is_none_or(|next| !next.eq_ignore_ascii_case("norm")) {
            layer = layer.or(Some(word));
        } else if numbered(word, &['t', 'T']).is_some() {
            position = position.or(Some(word));
        }
    }
    let (Some(layer), Some(position)) = (layer, position) else { return Cow::Borrowed(label) };
    let said = label.replacen(layer, &format!("layer {}", &layer[1..]), 1);
    Cow::Owned(match position {
        "" => said,
        short => said.replacen(short, &format!("token {}", &short[1..]), 1),
    })
}

/// What `label` calls a tensor that no program is known to have, in `layer` where it says none itself: all that stands before
/// the token, the index or the count.
pub fn own_name(label: &str, layer: Option<usize>) -> Option<String> {
    let label = without_remarks(label);
    // "[debug] "
    let label = label.trim_start();
    let label = label.strip_prefix('[').and_then(|tag| tag.split_once(']')).map_or(label, |(_, rest)| rest);
    let lower = label.to_lowercase();
    // Lower case may be longer than its letter.
    let ends = ["token", "tok ", "tok=", "pos", "first", "last", "[", "="].iter().filter_map(|word| lower.find(word));
    let end = ends.min().filter(|_| lower.len() == label.len()).unwrap_or(label.len());
    let name = label.get(..end)?.trim_matches(|c: char| !c.is_alphanumeric());
    let has_layer = ["layer", "block"].iter().any(|word| after_word(&lower, word).is_some());
    let is_name = name.len() <= LONGEST_OWN_NAME && name.chars().any(char::is_alphabetic);
    is_name.then(|| match layer.filter(|_| !has_layer) {
        Some(layer) => format!("layer {layer} {name}"),
        None => name.to_string(),
    })
}

/// More letters than a name has that a person gives a tensor.
const LONGEST_OWN_NAME: usize = 60;

/// The words of `label`, names with underscores whole.
pub fn words(label: &str) -> impl DoubleEndedIterator<Item = &str> {
    label.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The token that `label` speaks of.
pub fn token(label: &str) -> Option<i64> {
    let lower = label.to_lowercase();
    if lower.contains("last tok") {
        return Some(-1);
    }
    if let Some(after) = ["token", "tok", "pos", "position"].iter().find_map(|word| after_word(&lower, word)) {
        return Some(after);
    }
    index(label)?.0
}

/// The index before the slice in `[0, -1, 16:24]` or `[0][-1][:8]`, if there is one, and where the slice begins; without a slice
/// the last of several.
pub fn index(label: &str) -> Option<(Option<i64>, usize)> {
    let label = label.replace("][", ",");
    // "[debug]" is no index.
    label.split('[').skip(1).find_map(|group| {
        let parts: Vec<&str> = group.split(']').next()?.split(',').map(str::trim).collect();
        let Some(slice) = parts.iter().position(|part| part.contains(':')) else {
            // One alone is an index into a list.
            let last = parts.last().filter(|_| parts.len() > 1)?;
            return Some((Some(last.parse().ok()?), 0));
        };
        let before = slice.checked_sub(1).and_then(|at| parts[at].parse().ok());
        Some((before, parts[slice].split(':').next()?.trim().parse().unwrap_or(0)))
    })
}

/// The integer after `word`, with or without `=` or `:` between.
pub fn after_word(label: &str, word: &str) -> Option<i64> {
    label.match_indices(word).find_map(|(at, _)| {
        let rest = label[at + word.len()..].trim_start_matches([' ', '=', ':', '#']);
        let end = rest.char_indices().find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-')));
        rest[..end.map_or(rest.len(), |(at, _)| at)].parse().ok()
    })
}
