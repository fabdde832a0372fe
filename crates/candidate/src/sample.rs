//! Some values of a tensor, as logs and people have them: a person's eight numbers are a candidate. So is what a log says of
//! all values together.

use loupe_judge::{Fragment, Statistic, StatisticKind};
use loupe_spec::{Graph, Probe};

/// Numbers in a row of a tensor, and about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The tensor, as its writer calls it.
    pub name: String,
    /// The row's token; a negative one counts from the end.
    pub token: i64,
    /// Nobody says which token it is.
    pub is_of_some_token: bool,
    /// The lane of each number, heads flattened.
    pub lanes: Vec<usize>,
    /// The numbers, as many.
    pub numbers: Vec<Printed>,
    /// What is said of all values of the row together; of the whole tensor where `rows` is known.
    pub statistics: Vec<(StatisticKind, Printed)>,
    /// How many rows the tensor has, where it says so.
    pub rows: Option<usize>,
    /// SHA-256 of the whole tensor's values in f32, little-endian, in hexadecimal.
    pub digest: Option<String>,
}

/// So many lanes from `first` on.
pub fn lanes_from(first: usize, count: usize) -> Vec<usize> {
    // Beyond what can be counted there is no lane, and that is what is said of it.
    (0..count).map(|at| first.saturating_add(at)).collect()
}

/// A number with what one more in its last digit would be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Printed {
    /// The number.
    pub value: f64,
    /// 0.0001 of "0.1234", 1e-8 of "1.234e-5".
    pub unit: f64,
}

impl Printed {
    /// Of a number as it was written; `None`: it is none.
    pub fn parse(text: &str) -> Option<Printed> {
        let value: f64 = text.parse().ok()?;
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
        let unit = 10f64.powi(exponent.parse::<i32>().ok()?.saturating_sub(decimals));
        Some(Printed { value, unit })
    }

    /// Of a number that a program wrote so that it reads as the same.
    pub fn exactly(value: f64) -> Printed {
        Printed { value, unit: 0.0 }
    }

    /// Of a number whose text is gone: the shortest that reads as it.
    pub fn of(value: f64) -> Printed {
        Printed::parse(&format!("{value:e}")).unwrap_or(Printed { value, unit: 0.0 })
    }
}

/// Why a sample is of no value of a probe point.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// No such row.
    #[error("token {token} is out of range: the prompt has {tokens} tokens")]
    Token {
        /// As given.
        token: i64,
        /// T
        tokens: usize,
    },
    /// No such lane.
    #[error("lane {lane} is out of range: a row has {width} values")]
    Lane {
        /// As given.
        lane: usize,
        /// Values a token.
        width: usize,
    },
    /// A part of a prefill, or another prompt.
    #[error(
        "a tensor of {rows} rows, where the prompt has {tokens} tokens: say the ids that the engine ran in \"token_ids\", and \
         have it prefill them in one go"
    )]
    Prefill {
        /// As given.
        rows: usize,
        /// T
        tokens: usize,
    },
    /// Scores and masks have a row for each head and query.
    #[error("values of {0} by token and lane; only tensors with one row a token are read so")]
    Rows(Probe),
}

impl Sample {
    /// Adds these numbers to a fragment of `probe`.
    ///
    /// # Errors
    /// They are no values of it.
    pub fn add_to(
        &self,
        fragment: &mut Fragment,
        probe: Probe,
        graph: &Graph,
        tokens: usize,
    ) -> Result<(), SampleError> {
        if probe.token_axis() != 0 {
            return Err(SampleError::Rows(probe));
        }
        // A single row is the last token's: towards the end engines go on with that alone.
        if let Some(rows) = self.rows.filter(|rows| *rows != tokens && *rows != 1) {
            return Err(SampleError::Prefill { rows, tokens });
        }
        let width: usize = graph.shape(probe, tokens).iter().skip(1).product();
        let row = if self.token < 0 { self.token + tokens as i64 } else { self.token };
        let row = usize::try_from(row).ok().filter(|row| *row < tokens);
        let row = row.ok_or(SampleError::Token { token: self.token, tokens })?;
        if let Some(lane) = self.lanes.iter().copied().find(|lane| *lane >= width) {
            return Err(SampleError::Lane { lane, width });
        }
        for (lane, number) in self.lanes.iter().zip(&self.numbers) {
            let place = row * width + lane;
            // What was printed twice counts once.
            if let Err(at) = fragment.places.binary_search(&place) {
                fragment.places.insert(at, place);
                fragment.values.insert(at, number.value);
                fragment.units.insert(at, number.unit);
            }
        }
        let of = Some(row).filter(|_| self.rows.is_none_or(|rows| rows != tokens));
        for (kind, Printed { value, unit }) in &self.statistics {
            let statistic = Statistic { kind: *kind, token: of, value: *value, unit: *unit };
            if !fragment.statistics.iter().any(|known| (known.kind, known.token) == (*kind, of)) {
                fragment.statistics.push(statistic);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_that_of_the_last_digit() {
        for (text, unit) in [("0.1234", 1e-4), ("-12", 1.0), ("1.234e-05", 1e-8), ("3E2", 100.0), ("2.50", 1e-2)] {
            let printed = Printed::parse(text).map(|printed| printed.unit / unit - 1.0);
            assert!(printed.is_some_and(|off| off.abs() < 1e-9), "{text}: {printed:?}");
        }
        assert!(Printed::parse("1.5x").is_none());
        assert!((Printed::of(0.1234).unit / 1e-4 - 1.0).abs() < 1e-9);
    }
}
