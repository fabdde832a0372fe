//! Draws of the benchmark: the same on every machine.

/// A sequence of draws.
#[derive(Clone, Debug)]
pub struct Random(loupe_spec::Random);

impl Random {
    /// A sequence of its own for every `text`.
    pub fn of(text: &str) -> Random {
        Random(loupe_spec::Random::of(text))
    }

    /// Below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.0.word() % bound as u64) as usize
    }

    /// A prompt: `<bos>`, then any ids of the vocabulary.
    pub fn prompt(&mut self, tokens: usize, vocab_size: usize) -> Vec<usize> {
        std::iter::once(2).chain((1..tokens).map(|_| self.below(vocab_size))).collect()
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for at in (1..values.len()).rev() {
            values.swap(at, self.below(at + 1));
        }
    }
}
