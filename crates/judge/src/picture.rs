//! What a page draws of a stage: where its residuals are, how they are distributed, and the worst of them.
//!
//! All of it counts in units of the noise: the residual of a value over the size that the noise has there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{number, numbers};
use crate::stage::Stage;

/// So many rows and columns of cells at most: with 26 layers of 23 stages, the cells are below a megabyte.
const MOST_ROWS: usize = 24;
const MOST_COLUMNS: usize = 64;
/// So many of the worst values are listed.
const WORST: usize = 6;
/// Steps of the scale, half a decade each.
pub const STEPS: usize = 24;
/// The power of ten at which the second step begins. The first holds all below, and 0.
pub const FIRST_STEP: f64 = -4.0;

/// How much a verdict says of each stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Numbers.
    Numbers,
    /// And what a page draws: [`Picture`].
    Pictures,
}

/// A stage's residuals at a glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Picture {
    /// The axes' lengths.
    pub shape: Vec<usize>,
    /// Which of them is that of tokens.
    pub token_axis: usize,
    /// Tokens downwards, lanes (all other axes, one after the other) to the right, cut into cells of as many values each as makes at most 24 rows of 64. A letter is the
    /// step of the cell's root mean square: `a` is below 10^-4 times the noise, `b` up to half a decade more, `x` the
    /// last of 24; `.` where nothing was recorded, `-` where what was recorded is not judged, since the mask hides it.
    pub cells: Vec<String>,
    /// How many residuals are in each step of that scale.
    pub residual: Vec<usize>,
    /// How many differences of right code are, of five noisy runs.
    pub noise: Vec<usize>,
    /// The values that are furthest off.
    pub worst: Vec<WorstValue>,
    /// For each mistake or number that first shows here: whether the residuals are what it makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regressions: Vec<Regression>,
}

/// The residuals of a stage against what a mistake changes: on a line where it was made, a cloud where it was not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Regression {
    /// The mistake's id, or the number's name.
    pub of: String,
    /// The regression coefficient of this stage: 1 where the mistake was made, 0 where it was not.
    #[serde(deserialize_with = "number")]
    pub slope: f64,
    /// How many values the mistake changes.
    pub of_values: usize,
    /// Some of them, evenly chosen: what the mistake changes, and the residual, in units of the noise.
    pub points: Vec<[f32; 2]>,
}

/// One value that is far off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorstValue {
    /// Its index within the tensor.
    pub coordinate: Vec<usize>,
    /// The candidate's value there, and the reference's from the same inputs.
    #[serde(deserialize_with = "numbers")]
    pub values: [f64; 2],
    /// The residual over the noise; `None`: right code has no noise there, or one of the values is no number.
    pub times_noise: Option<f64>,
}

/// The step of the scale that `times` the noise is in.
fn step(times: f64) -> usize {
    // NaN is as far off as can be.
    if times.is_nan() {
        return STEPS - 1;
    }
    let at = (2.0 * (times.log10() - FIRST_STEP)).floor() + 1.0;
    at.clamp(0.0, (STEPS - 1) as f64) as usize
}

/// `residual` in units of a noise with this variance.
fn times(residual: f64, variance: f64) -> f64 {
    if residual == 0.0 { 0.0 } else { residual.abs() / variance.sqrt() }
}

/// How many of `length` go into each of at most `most` parts.
fn part(length: usize, most: usize) -> usize {
    length.div_ceil(most).max(1)
}

impl Stage {
    /// What a page draws of it. Statistics are not drawn.
    pub fn picture(&self) -> Picture {
        let (tokens, lanes) = (self.layout.tokens, self.layout.lanes());
        let (high, wide) = (part(tokens, MOST_ROWS), part(lanes, MOST_COLUMNS));
        let (rows, columns) = (tokens.div_ceil(high), lanes.div_ceil(wide));
        // Squares, how many, and how many were recorded, of each cell.
        let mut cells = vec![(0.0, 0_usize, 0_usize); rows * columns];
        let cell_of = |at: usize| self.layout.row(at) / high * columns + self.layout.lane(at) / wide;
        (0..self.layout.elements).filter(|at| self.is_recorded(*at)).for_each(|at| cells[cell_of(at)].2 += 1);
        let (mut residual, mut noise) = (vec![0; STEPS], vec![0; STEPS]);
        let mut worst: Vec<(f64, usize)> = Vec::new();
        for at in self.indices().filter(|at| *at < self.layout.elements) {
            let size = times(self.recorded[at] - self.exact[at], self.variance[at]);
            let (squares, count, _) = &mut cells[cell_of(at)];
            *squares += size * size;
            *count += 1;
            residual[step(size)] += 1;
            for run in &self.noise {
                noise[step(times(run[at], self.variance[at]))] += 1;
            }
            let size = if size.is_nan() { f64::INFINITY } else { size };
            if size > 0.0 && (worst.len() < WORST || worst.last().is_some_and(|last| size > last.0)) {
                worst.truncate(WORST - 1);
                worst.insert(worst.partition_point(|other| other.0 >= size), (size, at));
            }
        }
        let letter = |(squares, count, recorded): &(f64, usize, usize)| match (count, recorded) {
            (0, 0) => '.',
            (0, _) => '-',
            (count, _) => char::from(b'a' + step((squares / *count as f64).sqrt()) as u8),
        };
        Picture {
            shape: self.shape.clone(),
            token_axis: self.probe.token_axis(),
            cells: cells.chunks(columns.max(1)).map(|row| row.iter().map(letter).collect()).collect(),
            residual,
            noise,
            regressions: Vec::new(),
            worst: worst.into_iter().map(|(size, at)| self.worst_value(size, at)).collect(),
        }
    }

    fn worst_value(&self, size: f64, at: usize) -> WorstValue {
        WorstValue {
            coordinate: self.coordinate(at),
            values: [self.recorded[at], self.exact[at]],
            times_noise: Some(size).filter(|size| size.is_finite()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_half_a_decade() {
        let letter = |times: f64| char::from(b'a' + step(times) as u8);
        for (times, expected) in [
            (0.0, 'a'),
            (0.9e-4, 'a'),
            (1e-4, 'b'),
            (3.1e-4, 'b'),
            (3.2e-4, 'c'),
            (1.0, 'j'),
            (3.0, 'j'),
            (3.2, 'k'),
            (1e7, 'x'),
            (f64::INFINITY, 'x'),
            (f64::NAN, 'x'),
        ] {
            assert_eq!(letter(times), expected, "{times}");
        }
    }

    #[test]
    fn every_length_is_cut_into_at_most_as_many_parts() {
        for length in [1_usize, 23, 24, 25, 48, 49, 2304, 256_000] {
            assert!(length.div_ceil(part(length, MOST_ROWS)) <= MOST_ROWS, "{length}");
        }
        assert_eq!([part(7, MOST_ROWS), part(64, MOST_COLUMNS), part(65, MOST_COLUMNS)], [1, 1, 2]);
    }
}
