//! Operations and axes: what a value is computed by, and what its numbers are counted along.

use strum::EnumDiscriminants;

use crate::Config;

/// An axis of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Tokens: of scores and masks the queries.
    T,
    /// Tokens as keys.
    S,
    /// `hidden_size`
    D,
    /// `intermediate_size`
    F,
    /// `vocab_size`
    V,
    /// Heads of the queries.
    N,
    /// Heads of keys and values.
    K,
    /// `head_dim`
    H,
}

impl Axis {
    /// How one place along it is called, and several, in a value that has the axes `beside`: tokens are queries where keys
    /// are an axis, too.
    pub fn called(self, beside: &[Axis]) -> [&'static str; 2] {
        match self {
            Axis::T if beside.contains(&Axis::S) => ["query", "queries"],
            Axis::T => ["token", "tokens"],
            Axis::S => ["key", "keys"],
            Axis::N | Axis::K => ["head", "heads"],
            Axis::V => ["id", "ids"],
            Axis::D | Axis::F | Axis::H => ["lane", "lanes"],
        }
    }

    /// How long it is for a prompt of `tokens` tokens.
    pub fn len(self, config: &Config, tokens: usize) -> usize {
        match self {
            Axis::T | Axis::S => tokens,
            Axis::D => config.hidden_size,
            Axis::F => config.intermediate_size,
            Axis::V => config.vocab_size,
            Axis::N => config.num_attention_heads,
            Axis::K => config.num_key_value_heads,
            Axis::H => config.head_dim,
        }
    }
}

/// What a node computes, with the number that its formula holds. [`Kind`] is which operation it is, without the number.
#[derive(Clone, Copy, Debug, PartialEq, EnumDiscriminants)]
#[strum_discriminants(name(Kind), doc = "Which operation a value is the result of.")]
pub enum Op {
    /// Where everything starts.
    TokenIds,
    /// Rows of the embedding table.
    Embed,
    /// Times this.
    Scale(f64),
    /// RMSNorm, with a weight `1 + w`.
    RmsNorm {
        /// Added to the mean square.
        eps: f64,
    },
    /// A projection without bias.
    Linear,
    /// The rotation of the halves of each head by its position.
    Rope {
        /// Base of the frequencies.
        theta: f64,
    },
    /// Queries times keys.
    Scores {
        /// Times this.
        scale: f64,
    },
    /// `cap * tanh(x / cap)`
    Softcap {
        /// `None` leaves the values.
        cap: Option<f64>,
    },
    /// Which keys a query may attend to.
    Mask {
        /// The last so many, the query's own included; `None`: all before it.
        window: Option<usize>,
    },
    /// Softmax over the visible keys.
    Softmax,
    /// Probabilities times values.
    Context,
    /// The activation.
    Gelu,
    /// Elementwise product.
    Multiply,
    /// Elementwise sum.
    Add,
    /// The same value under another name.
    Same,
}

impl Op {
    /// The same with `value` in the place of its [`crate::Parameter`], if it holds one; an infinite cap is none.
    pub fn with(self, value: f64) -> Op {
        match self {
            Op::Scale(_) => Op::Scale(value),
            Op::RmsNorm { .. } => Op::RmsNorm { eps: value },
            Op::Rope { .. } => Op::Rope { theta: value },
            Op::Scores { .. } => Op::Scores { scale: value },
            Op::Softcap { .. } => Op::Softcap { cap: Some(value).filter(|cap| cap.is_finite()) },
            Op::TokenIds | Op::Embed | Op::Linear | Op::Mask { .. } | Op::Softmax | Op::Context => self,
            Op::Gelu | Op::Multiply | Op::Add | Op::Same => self,
        }
    }

    /// The number in its formula, where that is a [`crate::Parameter`]; `None`: there is none, or a cap is off.
    pub fn number(self) -> Option<f64> {
        match self {
            Op::Scale(by) => Some(by),
            Op::RmsNorm { eps } => Some(eps),
            Op::Rope { theta } => Some(theta),
            Op::Scores { scale } => Some(scale),
            Op::Softcap { cap } => cap,
            Op::TokenIds | Op::Embed | Op::Linear | Op::Mask { .. } | Op::Softmax | Op::Context => None,
            Op::Gelu | Op::Multiply | Op::Add | Op::Same => None,
        }
    }
}
