//! Which values of a tensor decide whether it is within a tolerance, when the tolerance is not known yet.

/// Of `points`, each |reference| and |difference|, those that decide whether all keep |difference| ≤ atol + rtol · |reference|,
/// for every `rtol` and `atol` of 0 or more: the corners of the points' hull from the one with the smallest reference to the one
/// with the largest difference. Corners that reach less than a thousandth beyond the line between their neighbours are left out,
/// so that there are dozens at most. A difference that is no finite number decides alone; where nothing differs there are none.
pub fn decisive(points: impl Iterator<Item = [f64; 2]>) -> Vec<[f64; 2]> {
    let differing: Vec<[f64; 2]> = points.filter(|[_, off]| *off != 0.0).collect();
    if let Some(broken) = differing.iter().find(|[_, off]| !off.is_finite()) {
        return vec![*broken];
    }
    // The largest difference, and of those with the same the smallest reference.
    let right = differing.iter().copied().reduce(|a, b| if (b[1], -b[0]) > (a[1], -a[0]) { b } else { a });
    // The smallest reference, and of those with the same the largest difference.
    let left = differing.iter().copied().reduce(|a, b| if (-b[0], b[1]) > (-a[0], a[1]) { b } else { a });
    let (Some(left), Some(right)) = (left, right) else { return Vec::new() };
    let mut corners = vec![left];
    // Between which two corners, and the points that may be beyond their line. What is left of them is looked at first.
    let mut open = vec![(left, right, differing)];
    while let Some((left, right, points)) = open.pop() {
        let line = |reference: f64| {
            let part = (reference - left[0]) / (right[0] - left[0]);
            left[1] + part * (right[1] - left[1])
        };
        let between = points.into_iter().filter(|[reference, _]| left[0] < *reference && *reference < right[0]);
        let beyond: Vec<[f64; 2]> = between.filter(|[reference, off]| *off > 1.001 * line(*reference)).collect();
        let times = |[reference, off]: &[f64; 2]| off / line(*reference);
        match beyond.iter().copied().max_by(|a, b| times(a).total_cmp(&times(b))) {
            None => corners.push(right),
            Some(corner) => {
                open.push((corner, right, beyond.clone()));
                open.push((left, corner, beyond));
            }
        }
    }
    corners.dedup();
    corners
}

#[cfg(test)]
mod tests {
    use loupe_spec::Random;

    use super::*;

    fn times(points: &[[f64; 2]], rtol: f64, atol: f64) -> f64 {
        points.iter().map(|[reference, off]| off / (atol + rtol * reference)).fold(0.0, f64::max)
    }

    #[test]
    fn a_few_values_decide_every_tolerance_as_all_would() {
        let mut random = Random::new(7);
        let mut uniform = move || random.uniform();
        // Rounding grows with the value; noise does not; of a wrong function the difference is a curve over the value.
        let rounding: Vec<[f64; 2]> = (0..5000).map(|_| uniform()).map(|x| [x, x * 0.004]).collect();
        let spread: Vec<[f64; 2]> = (0..5000).map(|_| [uniform() * 40.0, uniform() * 1e-3]).collect();
        let curve: Vec<[f64; 2]> = (0..5000).map(|_| uniform() * 9.0).map(|x| [x, x.sqrt() * 1e-2]).collect();
        let with_zeros = vec![[0.0, 1e-9], [0.0, 1e-8], [3.0, 0.0], [2.0, 0.5], [1.0, 0.5]];
        for points in [rounding, spread, curve, with_zeros] {
            let few = decisive(points.iter().copied());
            assert!(few.len() < 60, "{}", few.len());
            for exponent in -24..=4 {
                for (rtol, atol) in [(1.0, 10f64.powi(exponent)), (10f64.powi(exponent), 1.0), (0.0, 1.0), (1e-3, 0.0)]
                {
                    let (all, few) = (times(&points, rtol, atol), times(&few, rtol, atol));
                    assert!(few <= all && all <= few * 1.001 || all == few, "{rtol} {atol}: {all} {few}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_decides_alone_and_what_is_equal_decides_nothing() {
        assert_eq!(decisive([[1.0, 0.1], [2.0, f64::INFINITY]].into_iter()), [[2.0, f64::INFINITY]]);
        assert_eq!(decisive([[1.0, 0.0], [2.0, 0.0]].into_iter()), Vec::<[f64; 2]>::new());
        assert_eq!(decisive([[3.0, 0.5]].into_iter()), [[3.0, 0.5]]);
    }
}
