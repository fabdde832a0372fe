//! Which tokens the samples of a text are of, where it counts them from 1 or does not say them.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{HostTensor, Probe, ReplayError, Replayer, Trace};

use crate::Sample;
use crate::meaning::Meaning;
use crate::names::Names;
use crate::open::predict;

/// Whether `samples` may count tokens from 1 though no number says so: there is no token 0.
pub fn may_count_from_one(samples: &[Sample], tokens: usize) -> bool {
    let mut said =
        samples.iter().filter(|sample| !sample.is_of_some_token && sample.rows.is_none() && sample.token >= 0);
    said.clone().next().is_some() && said.all(|sample| sample.token > 0 && sample.token < tokens as i64)
}

/// The samples with the tokens of the prompt, and what there is to say of that. They are counted `from_one` where the numbers
/// say so or it is taken to be so; `None`: never.
///
/// # Errors
/// What the replayer says.
pub fn placed(
    samples: &[Sample],
    names: &Names,
    token_ids: &HostTensor,
    from_one: Option<bool>,
    replayer: &dyn Replayer,
) -> Result<(Vec<Sample>, Option<String>), ReplayError> {
    let mut samples = samples.to_vec();
    let tokens = replayer.tokens() as i64;
    let meanings: BTreeMap<&str, Probe> = names
        .entries
        .iter()
        .filter_map(|(name, meaning)| match meaning {
            Meaning::Values(probes) => Some((name.as_str(), *probes.first()?)),
            _ => None,
        })
        .filter(|(_, probe)| *probe != Probe::TOKEN_IDS && probe.token_axis() == 0)
        .collect();
    let is_value = |sample: &Sample| meanings.contains_key(sample.name.as_str()) && sample.rows.is_none();
    // From the first on; those from the end are as they are.
    let said = |sample: &&mut Sample| is_value(sample) && !sample.is_of_some_token && sample.token >= 0;
    let numbers: BTreeSet<i64> = samples.iter_mut().filter(said).map(|sample| sample.token).collect();
    let begins_later = numbers.first().is_some_and(|first| *first > 0);
    if begins_later && from_one.is_some_and(|is_taken| is_taken || numbers.last() == Some(&tokens)) {
        samples.iter_mut().filter(said).for_each(|sample| sample.token -= 1);
        return Ok((samples, Some("it counts tokens from 1: its token 1 is read as token 0".to_string())));
    }
    let open: Vec<&Sample> = samples.iter().filter(|sample| sample.is_of_some_token && is_value(sample)).collect();
    if open.is_empty() {
        return Ok((samples, None));
    }
    let start = Trace::from([(Probe::TOKEN_IDS, token_ids.clone())]);
    let predicted =
        predict(replayer, &start, &[], &open.iter().map(|sample| meanings[sample.name.as_str()]).collect())?;
    let predicted: BTreeMap<Probe, (usize, Vec<f64>)> = predicted
        .into_iter()
        .map(|(probe, tensor)| (probe, (tensor.shape.iter().skip(1).product(), tensor.values.to_f64())))
        .collect();
    // Each stage counts alike, whatever its size.
    let distance = |token: i64| -> f64 {
        let of = |sample: &&Sample| {
            let (width, values) = predicted.get(&meanings[sample.name.as_str()])?;
            let row = values.get(token as usize * width..(token as usize + 1) * width)?;
            let (mut off, mut size) = (0.0, 0.0);
            for (lane, number) in sample.lanes.iter().zip(&sample.numbers) {
                off += (number.value - row.get(*lane)?).powi(2);
                size += row[*lane].powi(2) + number.value.powi(2);
            }
            Some(if size > 0.0 { off / size } else { 0.0 })
        };
        open.iter().filter_map(of).filter(|share| share.is_finite()).sum()
    };
    // Of those that are as near, the last.
    let nearest = (0..tokens).rev().min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(-1);
    samples.iter_mut().filter(|sample| sample.is_of_some_token).for_each(|sample| sample.token = nearest);
    Ok((samples, Some(format!("no line says a token: read as token {nearest}, to which its values are nearest"))))
}
