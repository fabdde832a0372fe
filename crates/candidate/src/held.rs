//! How many rows a tensor holds, and which tokens they are.

use loupe_spec::Probe;

/// What is known of the rows of a dump's tensors.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownRows<'a> {
    /// The tokens that the config says they are.
    pub positions: Option<&'a [usize]>,
    /// Rows before the first token's and after the last one's, by the ids that the dump holds.
    pub padding: (usize, usize),
}

/// How many rows a tensor holds, where they begin, and which tokens they are.
#[derive(Clone, Debug)]
pub struct RowsHeld {
    /// Rows in the tensor.
    pub held: usize,
    /// The first that is read.
    pub from: usize,
    /// Which tokens those read are.
    pub tokens: Vec<usize>,
    /// Prompts in the tensor, and which of them is read.
    pub batch: (usize, usize),
    /// Keys in the tensor, where keys are an axis, and the first that is read.
    pub keys: usize,
    /// The first key that is read.
    pub keys_from: usize,
    /// What there is to say of it.
    pub words: String,
}

/// More prompts in one tensor than a person would hold against one.
const MOST_PROMPTS: usize = 16;

/// Every way in which the rows of a tensor of `count` numbers may be tokens of the prompt; `lengths` are those of its axes without
/// ones, `held` the lengths of the probe's axes in it.
pub fn row_counts(
    probe: Probe,
    lengths: &[usize],
    count: usize,
    held: &[usize],
    layers: usize,
    tokens: usize,
    known: KnownRows<'_>,
) -> Vec<RowsHeld> {
    let positions = known.positions;
    let keyed = probe.has_keys();
    let all: Vec<usize> = positions.map_or_else(|| (0..tokens).collect(), <[usize]>::to_vec);
    let seen = all.iter().max().map_or(tokens, |last| last + 1);
    let whole = |held: usize, keys: usize| RowsHeld {
        held,
        from: 0,
        tokens: all.clone(),
        batch: (1, 0),
        keys,
        keys_from: 0,
        words: String::new(),
    };
    let mut rows = vec![whole(all.len(), tokens)];
    // A decode step knows only the keys up to its own.
    if keyed && seen < tokens {
        rows.push(whole(all.len(), seen));
    }
    // Numbers of one row.
    let axis = probe.token_axis();
    let others = held.iter().enumerate().filter(|(at, _)| *at != axis && !(keyed && *at + 1 == held.len()));
    let width: usize = others.map(|(_, length)| *length).product();
    if width == 0 || count == 0 {
        return rows;
    }
    if positions.is_none() {
        rows.extend(fewer(count, width, keyed, tokens));
    }
    if !keyed && positions.is_none() {
        rows.extend(of_a_batch(lengths, count / width, tokens, &whole));
    }
    // More rows than tokens: padding at the end, or before the first.
    let padded = match keyed {
        true => lengths.iter().copied().filter(|length| length * length * width == count).collect(),
        false if count.is_multiple_of(width) => vec![count / width],
        false => Vec::new(),
    };
    for held in padded.into_iter().filter(|held| *held > all.len()) {
        let keys = if keyed { held } else { tokens };
        let ends = [(0, "at the end"), (held - all.len(), "before the first")];
        let (before, after) = known.padding;
        let is_known = before + after > 0 && held == tokens + before + after;
        let ends = if is_known && before > 0 && after > 0 { [(before, "at both ends"); 2] } else { ends };
        rows.extend(ends.into_iter().filter(|(from, _)| !is_known || *from == before).map(|(from, place)| RowsHeld {
            from,
            // What stands before the first token stands before the first key.
            keys_from: if keyed { from } else { 0 },
            words: format!("{held} rows, of which {} are padding {place}", held - all.len()),
            ..whole(held, keys)
        }));
        let prompts = held / all.len().max(1);
        // As many as there are layers, or one more, are layers.
        let are_layers = prompts == layers || prompts == layers + 1;
        if !keyed && held.is_multiple_of(all.len()) && prompts <= MOST_PROMPTS && !are_layers {
            rows.extend((0..prompts).map(|prompt| RowsHeld {
                batch: (prompts, prompt),
                words: format!("{prompts} prompts, of which number {} is judged", prompt + 1),
                ..whole(all.len(), tokens)
            }));
        }
    }
    rows
}

/// Of several prompts of `rows` rows together: one that was filled up to the length of another, or the last row of each.
fn of_a_batch(
    lengths: &[usize],
    rows: usize,
    tokens: usize,
    whole: &dyn Fn(usize, usize) -> RowsHeld,
) -> Vec<RowsHeld> {
    let prompts = lengths.first().copied().filter(|prompts| (2..=MOST_PROMPTS).contains(prompts));
    let Some(prompts) = prompts.filter(|prompts| rows.is_multiple_of(*prompts)) else { return Vec::new() };
    let held = rows / prompts;
    let judged = |prompt: usize| format!("{prompts} prompts, of which number {} is judged", prompt + 1);
    let filled = |prompt: usize| {
        let ends = [(0, "at the end"), (held - tokens, "before the first")];
        ends.map(|(from, place)| RowsHeld {
            from,
            batch: (prompts, prompt),
            words: format!("{}: {held} rows, of which {} are padding {place}", judged(prompt), held - tokens),
            ..whole(held, tokens)
        })
    };
    match held {
        // About as many rows as tokens are a prompt's own.
        1 if 2 * prompts <= tokens => (0..prompts)
            .map(|prompt| RowsHeld {
                tokens: vec![tokens - 1],
                batch: (prompts, prompt),
                words: format!("{}: its last token", judged(prompt)),
                ..whole(1, tokens)
            })
            .collect(),
        held if held > tokens => (0..prompts).flat_map(filled).collect(),
        _ => Vec::new(),
    }
}

/// Fewer rows than tokens: the last ones, the first ones, or one of any token.
fn fewer(count: usize, width: usize, keyed: bool, tokens: usize) -> Vec<RowsHeld> {
    let key_counts = if keyed { (1..=tokens).rev().collect() } else { vec![tokens] };
    let mut rows = Vec::new();
    for keys in key_counts {
        let numbers = if keyed { width * keys } else { width };
        let held = count / numbers;
        if !count.is_multiple_of(numbers) || held == 0 || held >= tokens {
            continue;
        }
        let mut firsts = vec![tokens - held, 0];
        if held == 1 {
            firsts.extend((1..tokens - 1).rev());
        }
        for first in firsts {
            let tokens_read: Vec<usize> = (first..first + held).collect();
            // Keys that a query does not see are there or not.
            if keyed && keys < first + held {
                continue;
            }
            let words = match held {
                1 => format!("one row, token {first}"),
                _ => format!("{held} rows, tokens {first} to {}", first + held - 1),
            };
            rows.push(RowsHeld { held, from: 0, tokens: tokens_read, batch: (1, 0), keys, keys_from: 0, words });
        }
    }
    rows
}
