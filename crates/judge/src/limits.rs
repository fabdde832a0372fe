//! The thresholds that the judge decides by, each with what it follows from or was measured by.
//!
//! The noise itself is measured for each verdict (`noise.rs`, with its own weights). What stands here are the multiples of it at which
//! something is said. Those that were chosen say so: the benchmark (docs/bench-verdict.md) is what holds them.

// A stage is wrong.

/// A tensor fails when its residual is this many times the size of the noise. Chosen: right code of a prototype's 45 benign dumps
/// stayed at 1.9 and below, and `tests/verdict.rs` holds that half and twice both limits change nothing.
pub const TENSOR_LIMIT: f64 = 3.0;
/// One row, a token's or a statistic's, fails beyond this: its noise is known less well than a tensor's. Chosen: right code stayed at
/// 3.7 and below.
pub const ROW_LIMIT: f64 = 6.0;
/// A value that is exactly 0 where it should be this many times the noise away was not written. Right code that lands so far off, one in
/// 5e8 of a normal distribution, does not land on 0.
pub const UNWRITTEN: f64 = 6.0;
/// Fewer such zeros than this are not called a broken kernel. Chosen: one that does not write leaves many.
pub const SMALLEST_BLOCK: usize = 4;
/// A sum of a million numbers is off by this many times 2^-24: torch and numpy add up in pairs of pairs, twenty additions deep, whose
/// errors mostly cancel.
pub const SUMMING_UNITS: f64 = 2.0;

// The precision.

/// The projections are raised where their median is above [`TENSOR_LIMIT`] over this: right code's lie at a quarter of the limit
/// (docs/gpu.md).
pub const ELEVATED: f64 = 3.0;
/// A lower precision puts all projections beyond the limit. If at the most exact precision more than one in this many is within it, a
/// mistake spoils the others. Chosen: with few values a projection is within the limit by chance now and then.
pub const MOST_FAIL: usize = 10;
/// A row is far off at this many times [`TENSOR_LIMIT`]. A lower precision raises all rows alike: none stays within the limit while
/// another is as far off.
pub const FAR: f64 = 30.0;
/// How many tenths of the tensors have to fit in a dtype for it to be the storage dtype: not all, since an engine may keep some of
/// its values (norms, logits) in f32.
pub const MOST_TENSORS: usize = 6;
/// Bits that stand against the values being those of f16 or bf16 by chance, added up over values: of printed ones a chance of one in
/// 16 million. A value that is known to the last bit counts for all of them.
pub const SURE_BITS: f64 = 24.0;

// A name, by its slope: the regression coefficient of the residual on what the mistake changes.

/// A slope within this of 1 is near 1. Chosen: several mistakes that overlap, and noise measured on five runs, move it this far.
pub const BAND: f64 = 0.3;
/// Standard errors between the slope and 1/2, the half-way point of absent and present. With an error of at most [`BLUNT`] a mistake
/// that was not made has to be seven errors off to be called present. What remains is an error that is by chance estimated too small: each
/// name below the limits is looked at again (`naming/confirm.rs`).
pub const SLOPE_ERRORS: f64 = 3.5;
/// With a larger standard error a mistake is neither present nor absent: 1/2 would be too near to 0 and to 1 for either answer. (What
/// stands out or agrees has rules of its own.)
pub const BLUNT: f64 = 0.5 / SLOPE_ERRORS;
/// The least `sum(d² / s²)` at which a slope decides: by the noise alone, 1 is then [`SLOPE_ERRORS`] standard errors from 0. It matters
/// where the recorded values happen to be nearer to the prediction than the noise, and any slope seems sure.
pub const LEAST_INFORMATION: f64 = SLOPE_ERRORS * SLOPE_ERRORS;
/// With a mistake that stands out, at least half of the residual's square is gone.
pub const MOST_OF_IT: f64 = 0.5;
/// Below the limits a misplaced cast is named only if planting it takes away at least this share of the residual's square. Code that
/// rounds in a third way has a slope of about 1/2, which noise may raise, but nothing is then taken away; of the cast itself all is.
/// Half-way between.
pub const SHARE_OF_A_CAST: f64 = 0.5;
/// A slope that is not known well agrees with 1 within this many standard errors, and not with 0: nineteen times of twenty.
pub const AGREEMENT: f64 = 2.0;
/// Of two that fit, one is left out where the half-way point is this many standard errors away: one chance in 700.
pub const APART: f64 = 3.0;
/// What explains failing stages does so by more bits than it takes to pick it out of all that was tried, by this many: a chance of
/// one in a hundred that some other of them would have come as near. Of a few printed values hundreds of mistakes come near one,
/// and their pairs and threes near any.
pub const LEAST_BITS: f64 = 7.0;

// A parameter, by Gauss-Newton.

/// Values tried first are the right one times 2^-16 to 2^16.
pub const OCTAVES: i32 = 16;
/// Steps of Gauss-Newton. From within an octave about six do: near the value each gains about four digits.
pub const STEPS: usize = 12;
/// The value is found when a step changes it by less: below f32's unit, above f64's.
pub const FOUND: f64 = 1e-9;
/// A derivative is taken over this share of the value: the root of f64's unit is 1e-8, and the stages after it amplify rounding.
pub const NUDGE: f64 = 1e-4;
/// The value differs from the right one by at least this many standard errors: one chance in 1.7 million, since no catalogue of
/// likely values stands behind it.
pub const NUMBER_ERRORS: f64 = 5.0;
/// A value that seems to be off by a smaller share than this is believed only where a stage fails: caps, scales and theta show far
/// smaller changes there, and no port has its epsilon almost right.
pub const LEAST_CHANGE: f64 = 0.1;

// How much is tried.

/// Rounds of the search, each of which finds a mistake, a parameter or a set; below the limits one fewer. Chosen: more than any port
/// is known to have had.
pub const MOST_ROUNDS: usize = 8;
/// How many mistakes a set has at most, and how many sets are kept from one size to the next. Chosen: the cost is their product, times
/// the size of the catalogue.
pub const SET_SIZE: usize = 3;
/// See [`SET_SIZE`].
pub const SETS_KEPT: usize = 8;
/// A prediction that leaves less than this share of the right prediction's size, and still fails, is measured with its own noise, which costs
/// six runs. Chosen: another prediction seldom comes so near by chance. Misplaced casts are always measured.
pub const NEARER: f64 = 0.7;
/// Sets whose rows are at most this many times the noise off, in the geometric mean, are measured with their own. Chosen.
pub const WORTH_MEASURING: f64 = 100.0;
/// Where the stages to be predicted read more weights than this together, mistakes are tried everywhere only, and neither parameters nor
/// sets are searched: 2B has 2.6e9 weights, and each guess would cost a pass over most of them.
pub const MOST_WEIGHTS: usize = 500_000_000;
/// Below the limits, of a model too large to be recomputed for each mistake, the first stages are tried that together read no more
/// weights than this, two layers of 2B.
pub const SAMPLED_WEIGHTS: usize = 200_000_000;
/// Or the first of them alone, if it reads no more than this: 2B's head.
pub const LARGEST_STAGE: usize = 600_000_000;
