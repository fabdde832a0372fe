//! Numbers that several files of the search for a name decide by.

/// More mistakes at once than this are not looked for one by one.
pub const MOST_ROUNDS: usize = 8;

/// What is named explains the recordings by more bits than it takes to pick it out of all that was tried, by this many:
/// a chance of one in a hundred that some other of them would have come as near. Of a few printed values hundreds of
/// mistakes come near one, and their pairs and threes near any.
pub const LEAST_BITS: f64 = 7.0;

/// A segment that reads more weights than this is not searched layer by layer and stage by stage: 2B has 2.6e9, and
/// each guess would cost a pass over most of them.
pub const MOST_WEIGHTS: usize = 500_000_000;
