//! Files as a person names them, and files that are there whole or not at all.
//!
//! Whatever a config names is opened by [`open`] or [`read`], which take files and nothing else: a pipe would be waited
//! for, a device never ends. Whatever Loupe writes goes through [`NewFile`].

#![forbid(unsafe_code)]

mod open;
mod same;
mod whole;

pub use open::{open, read};
pub use same::{folder_of, is_inside, is_one_of};
pub use whole::{Held, NewFile, clean_up_on_signals, hold};
