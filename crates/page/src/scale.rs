//! Numbers in a cell: how they are written in three characters or so, and which step of the colours they are.

/// The step of what part of the limit is used: 0 to 3 within it, 4 to 7 beyond.
pub fn of_limit(used: f64) -> usize {
    // NaN is beyond.
    [0.1, 0.3, 0.6, 1.0, 10.0, 100.0, 1e4].iter().position(|end| used <= *end).unwrap_or(7)
}

/// The step of a relative error, a decade each: 0 is below 1e-7, 7 is 0.1 and more.
pub fn of_error(error: f64) -> usize {
    if error == 0.0 {
        return 0;
    }
    let decade = error.log10().floor() + 8.0;
    if decade.is_nan() { 7 } else { decade.clamp(0.0, 7.0) as usize }
}

/// `0` below a hundredth, `.27`, `1.3`, `87`, `9e3`
pub fn short(number: f64) -> String {
    match number {
        number if number.is_nan() || number.is_infinite() => "∞".to_string(),
        number if number < 0.005 => "0".to_string(),
        // Not rounded up to the limit.
        number if number < 1.0 => format!("{:.2}", number.min(0.99)).trim_start_matches('0').to_string(),
        number if number < 10.0 => format!("{number:.1}"),
        number if number < 1e3 => format!("{number:.0}"),
        number => exponent(number),
    }
}

/// One digit and a power of ten: `3e-5`
pub fn exponent(number: f64) -> String {
    if number == 0.0 { "0".to_string() } else { format!("{number:.0e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_what_fits_into_it() {
        for (number, said) in [
            (0.0, "0"),
            (1e-6, "0"),
            (0.007, ".01"),
            (0.27, ".27"),
            (0.999, ".99"),
            (1.0, "1.0"),
            (87.2, "87"),
            (9123.0, "9e3"),
            (f64::INFINITY, "∞"),
            (f64::NAN, "∞"),
        ] {
            assert_eq!(short(number), said);
        }
    }

    #[test]
    fn what_is_beyond_the_limit_has_the_colours_beyond() {
        assert_eq!([0.0, 0.1, 1.0, 1.01, 1e9, f64::NAN].map(of_limit), [0, 0, 3, 4, 7, 7]);
        assert_eq!([0.0, 5e-9, 2e-7, 0.05, 3.0, f64::NAN].map(of_error), [0, 0, 1, 6, 7, 7]);
    }
}
