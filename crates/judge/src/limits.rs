//! Every number that the judge decides by, each with what it follows from or was measured by.
//!
//! The noise itself is measured for each verdict (`noise.rs`). What stands here are the multiples of it at which something is
//! said. Those that were chosen say so; the benchmark (docs/bench-verdict.md) is what holds them.

// A stage is wrong.

/// A tensor fails when its residual is this many times the size of the noise. Chosen: right code of a prototype's 45 benign dumps
/// stayed at 1.9 and below, and `tests/verdict.rs` prints that nothing changes from half of both limits to four times.
pub const TENSOR_LIMIT: f64 = 3.0;
/// One token's row fails beyond this: of a few lanes the noise is known less well. Chosen: right code stayed at 3.7 and below.
pub const ROW_LIMIT: f64 = 6.0;
/// A value that is exactly 0 where it should be this many standard deviations of the noise away was not written. 6: of a normal
/// distribution two in 10⁹, less than one in a tensor of 2B's size.
pub const UNWRITTEN: f64 = 6.0;
/// Fewer zeros than this are no block: no kernel writes tiles as small.
pub const SMALLEST_BLOCK: usize = 4;
/// f32 units that a sum of a million numbers is off by: torch and numpy add up in pairs of pairs, twenty additions deep, whose
/// errors mostly cancel.
pub const SUMMING_UNITS: f64 = 2.0;

// The precision.

/// The projections are off as a body where their median is above the limit over this: right code's lie at a quarter of it
/// (docs/gpu.md).
pub const ELEVATED: f64 = 3.0;
/// A lower precision spoils all projections; if more than one in this many is still right, it is a mistake that spoils the
/// others. Chosen: with few values per tensor a projection is right by chance now and then.
pub const MOST_FAIL: usize = 10;
/// A token's row is far off at this many times the limit. A lower precision puts every row off by about as much: against their
/// own noise, rows of right code differ by less than the limit's three times.
pub const FAR: f64 = 30.0;
/// The share of tensors, in tenths, that have to fit in a dtype for it to be the storage dtype: most, as an engine may keep
/// some of its values (norms, logits) in f32.
pub const MOST_TENSORS: usize = 6;
/// Bits that stand against printed values being those of f16 or bf16 by chance: one in 16 million, where a log prints thousands.
pub const SURE_BITS: f64 = 24.0;

// A name, by its slope: the regression coefficient of the residual on what the mistake changes.

/// A slope within this of 1 is near 1. Chosen: several mistakes that overlap, and noise measured on five runs, move it this far.
pub const BAND: f64 = 0.3;
/// Standard errors between the slope and 1/2, the half-way point of absent and present: one chance in 4,000 of a normal
/// distribution. Hundreds of hypotheses are tried: what is near is looked at again (`naming/confirm.rs`).
pub const SLOPE_ERRORS: f64 = 3.5;
/// A slope with a larger standard error tells nothing: 1/2 would be too near to 0 and to 1 for either answer.
pub const BLUNT: f64 = 0.5 / SLOPE_ERRORS;
/// A mistake moves everything together by at least this, in squares of the noise, or cannot be seen: 1 is then as many errors
/// away from 0. Where the recorded values happen to be exact, even a smaller one's slope would seem sure.
pub const LEAST_INFORMATION: f64 = SLOPE_ERRORS * SLOPE_ERRORS;
/// A mistake below the noise whose slope is not known well accounts for this share of the residual: more than all else.
pub const MOST_OF_IT: f64 = 0.5;
/// A misplaced cast accounts for at least this share of how a run rounds. Three roundings of one value share half of any two's
/// difference, which would look like a slope of 0.5.
pub const SHARE_OF_A_CAST: f64 = 0.5;
/// A slope agrees with another within this many standard errors: nineteen times of twenty.
pub const AGREEMENT: f64 = 2.0;
/// Of two that fit, one is left out where the half-way point is this many standard errors away: one chance in 700.
pub const APART: f64 = 3.0;
/// What is named explains the recordings by more bits than it takes to pick it out of all that was tried, by this many:
/// a chance of one in a hundred that some other of them would have come as near. Of a few printed values hundreds of
/// mistakes come near one, and their pairs and threes near any.
pub const LEAST_BITS: f64 = 7.0;

// A number, by Gauss-Newton.

/// Values tried first are the right one times 2^-16 to 2^16.
pub const OCTAVES: i32 = 16;
/// Steps of Gauss-Newton: each about squares the error, so that six would do from within an octave.
pub const STEPS: usize = 12;
/// The value is found when a step changes it by less: below f32's unit, above f64's.
pub const FOUND: f64 = 1e-9;
/// A derivative is taken over this share of the value: the root of f64's unit is 1e-8, and stages amplify.
pub const NUDGE: f64 = 1e-4;
/// The value differs from the right one by at least this many standard errors: one chance in 3 million, since no catalogue of
/// likely values stands behind it.
pub const NUMBER_ERRORS: f64 = 5.0;
/// A value that is off by a smaller share than this is above the budget or nothing: caps, scales and theta are held to
/// far less, and no port has its epsilon almost right.
pub const LEAST_CHANGE: f64 = 0.1;

// How much is tried.

/// More mistakes at once than this are not looked for one by one. Chosen: candle's gemma2 had three.
pub const MOST_ROUNDS: usize = 8;
/// How many are looked for together in one segment, and how many sets are kept on the way. Chosen: the cost is their product.
pub const SET_SIZE: usize = 3;
/// See [`SET_SIZE`].
pub const SETS_KEPT: usize = 8;
/// A prediction has to be nearer than the right one by this factor to be measured with its own noise, which costs five runs.
/// Noise alone seldom brings one so near; a mistake that is there brings it to a third and less.
pub const NEARER: f64 = 0.7;
/// Sets within this many times the noise, and no further, are measured with their own: a mistake changes the noise by less.
pub const WORTH_MEASURING: f64 = 100.0;
/// A segment that reads more weights than this is not searched layer by layer and stage by stage: 2B has 2.6e9, and
/// each guess would cost a pass over most of them.
pub const MOST_WEIGHTS: usize = 500_000_000;
/// Of a model too large to be recomputed for each mistake, the first stages are tried that together read no more weights
/// than this, two layers of 2B.
pub const SAMPLED_WEIGHTS: usize = 200_000_000;
/// Or the first of them alone, if it reads no more than this: 2B's head.
pub const LARGEST_STAGE: usize = 600_000_000;
