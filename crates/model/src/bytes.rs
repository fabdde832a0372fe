//! A number of bytes, for people.

use std::fmt;

/// As `Display` says it, in the unit that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let (size, unit) = match self.0 {
            0..0x10_0000 => (bytes / 1024.0, "KiB"),
            0x10_0000..0x4000_0000 => (bytes / (1u64 << 20) as f64, "MiB"),
            _ => (bytes / (1u64 << 30) as f64, "GiB"),
        };
        write!(f, "{size:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_units_that_people_read() {
        let of = |bytes: usize| Bytes(bytes).to_string();
        assert_eq!([of(512), of(3 << 20), of(5 << 29)], ["0.5 KiB", "3.0 MiB", "2.5 GiB"]);
    }
}
