//! What Gemma 2 *is*, as plain data: the checkpoint's [`Config`], and the [`Graph`] of everything that a forward pass
//! computes ([`Probe`]) from its tensors ([`Weight`]). [`gemma2`] is the model, read from top to bottom.
//!
//! Every other crate agrees on names through this one. It knows no burn, does no I/O and holds no arithmetic,
//! so the judge (`loupe-judge`) and the model (`loupe-model`) can share it without sharing anything else.
//!
//! Letters used for axes in every doc comment of this workspace (from Hugging Face's config names):
//!
//! | letter | axis | config.json |
//! |---|---|---|
//! | T | query positions (tokens) | |
//! | S | key positions (= T here: one pass, no cache) | |
//! | D | residual stream | `hidden_size` |
//! | F | MLP | `intermediate_size` |
//! | N | query heads | `num_attention_heads` |
//! | K | key/value heads | `num_key_value_heads` |
//! | H | one head | `head_dim` |
//! | V | vocabulary | `vocab_size` |
//! | l | layer, from 0 | `num_hidden_layers` |

#![forbid(unsafe_code)]

mod arithmetic;
mod by_name;
mod change;
mod config;
mod config_json;
mod dtype;
mod echo;
mod edit;
mod gemma2;
mod graph;
mod guarded;
mod json_schema;
mod losses;
mod meaning;
mod mistake;
mod name;
mod nearest;
mod op;
mod parameter;
mod place;
mod policy;
mod precision;
mod probe;
mod random;
mod record;
mod replay;
mod simulation;
mod tensor;
mod weight;

pub use arithmetic::Arithmetic;
pub use by_name::{UnknownProbe, UnknownWeight};
pub use change::Change;
pub use config::{Config, LayerType};
pub use config_json::ConfigError;
pub use dtype::{Dtype, round_to_odd};
pub use echo::{LONGEST_ECHO, echo, echo_path, hint, is_obeyed, printable};
pub use edit::{Edit, What};
pub use gemma2::gemma2;
pub use graph::{Graph, Node};
pub use guarded::guarded;
pub use json_schema::schema_of;
pub use losses::{Accumulator, WeightForm};
pub use mistake::{Code, Formula, Mistake, MistakeKind};
pub use name::{NameEntry, NameEntryError, Named};
pub use nearest::nearest;
pub use op::{Axis, Kind, Op};
pub use parameter::Parameter;
pub use policy::{Figure, Policy, Rule};
pub use precision::Precision;
pub use probe::Probe;
pub use random::Random;
pub use replay::{Given, Replay, ReplayError, Replayer, Trace};
pub use simulation::{LIBRARY_UNITS, Rounding, Simulation};
pub use tensor::{HostTensor, Values};
pub use weight::Weight;
