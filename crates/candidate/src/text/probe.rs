//! DOPPLER's probe lines:
//!
//! ```text
//! [1234.5ms][TRACE:attn] L0:PROBE dim334 stage=q_proj token=6 stats=[min=-1.2, …] values=[334=1.2345, 335=-0.0071]
//! ```

use loupe_judge::StatisticKind;

use crate::Sample;
use crate::sample::Printed;

/// The sample of `line`, where it is a probe's.
pub(super) fn sample(line: &str) -> Option<Sample> {
    if !line.contains("PROBE") {
        return None;
    }
    let stage = after(line, "stage=")?.split_whitespace().next()?;
    let token = after(line, "token=")?.split_whitespace().next()?.parse().ok()?;
    let pairs = |what| after(line, what).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    let (mut lanes, mut numbers) = (Vec::new(), Vec::new());
    for pair in pairs("values=[").split(',').filter(|pair| !pair.trim().is_empty()) {
        let (lane, number) = pair.trim().split_once('=')?;
        lanes.push(lane.trim().parse().ok()?);
        numbers.push(Printed::parse(number.trim())?);
    }
    let statistic = |pair: &str| {
        let (kind, number) = pair.trim().split_once('=')?;
        Some((StatisticKind::named(kind)?, Printed::parse(number)?))
    };
    let mut statistics: Vec<_> = pairs("stats=[").split(',').filter_map(statistic).collect();
    // The statistics are of the other values.
    let is_bad = |pair: &str| {
        let count = pair.trim().strip_prefix("nan=").or_else(|| pair.trim().strip_prefix("inf="));
        count.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count > 0))
    };
    if pairs("stats=[").split(',').any(is_bad) {
        statistics = vec![(StatisticKind::MaxAbs, Printed::exactly(f64::NAN))];
    }
    if numbers.is_empty() && statistics.is_empty() {
        return None;
    }
    let name = match layer(line) {
        Some(layer) => format!("layer_{layer}/{stage}"),
        None => stage.to_string(),
    };
    Some(Sample { name, token, lanes, numbers, statistics, ..Sample::default() })
}

fn after<'l>(line: &'l str, what: &str) -> Option<&'l str> {
    line.split_once(what).map(|(_, rest)| rest)
}

/// The layer of the tag `L0:`, which embeddings and logits do not have.
fn layer(line: &str) -> Option<usize> {
    let (before, _) = line.split_once("PROBE")?;
    let tag = before.trim_end().rsplit([' ', ']']).next()?;
    tag.strip_prefix('L')?.strip_suffix(':')?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_probe_line_is_a_sample() {
        let line = "[1234.5ms][TRACE:attn] L0:PROBE dim334 stage=q_proj token=6 stats=[min=-1.2,max=3.4,mean=0.01,std=1.1,\
                    maxAbs=3.4,valid=64,nan=0,inf=0,zero=0] values=[334=1.2345, 335=-0.0071]";
        let found = sample(line).unwrap();
        assert_eq!((found.name.as_str(), found.token, found.lanes), ("layer_0/q_proj", 6, vec![334, 335]));
        assert_eq!(found.numbers.iter().map(|number| number.value).collect::<Vec<_>>(), [1.2345, -0.0071]);
        let statistics: Vec<_> = found.statistics.iter().map(|(kind, number)| (kind.name(), number.value)).collect();
        assert_eq!(statistics, [("min", -1.2), ("max", 3.4), ("mean", 0.01), ("std", 1.1), ("max_abs", 3.4)]);
        let alone = "[1ms][TRACE:attn] L1:PROBE stage=q_proj token=6 stats=[min=-1.2, max=3.4, valid=64]";
        assert_eq!(sample(alone).unwrap().statistics.len(), 2);
        let embed = "[9.0ms][TRACE:embed] PROBE dim0 stage=embed_out token=0 stats=[] values=[0=0.5]";
        assert_eq!(sample(embed).unwrap().name, "embed_out");
        for other in [
            "",
            "PROBE",
            "[1ms] loading weights",
            "PROBE stage=x token=y values=[0=1]",
            "PROBE stage=x token=1 values=[0]",
        ] {
            assert!(sample(other).is_none(), "{other}");
        }
    }
}
