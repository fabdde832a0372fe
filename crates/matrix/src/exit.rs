//! Exit codes, as all of Loupe has them.

/// The code of several at once: could not run, then backend fault, architectural, inconclusive, and fine.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    const WORST_FIRST: [u8; 5] = [2, 3, 1, 4, 0];
    let rank = |code: &u8| WORST_FIRST.iter().position(|known| known == code).unwrap_or(0);
    codes.into_iter().min_by_key(rank).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::worst;

    #[test]
    fn several_at_once_are_2_then_3_1_4_0() {
        assert_eq!(worst([]), 0);
        assert_eq!(worst([0, 4, 0]), 4);
        assert_eq!(worst([4, 1, 0]), 1);
        assert_eq!(worst([1, 3, 4]), 3);
        assert_eq!(worst([3, 0, 2, 1]), 2);
    }
}
