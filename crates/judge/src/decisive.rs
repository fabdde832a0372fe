//! Which values of a tensor decide whether it is within a tolerance, when the tolerance is not known yet.

/// Nearer to the line than this, and a point is left out.
const BEYOND: f64 = 1.001;

/// Of `points`, each |reference| and |difference|, those that decide whether all keep |difference| ≤ atol + rtol · |reference|,
/// for every `rtol` and `atol` of 0 or more: the corners of the points' hull from the one with the smallest reference to the one
/// with the largest difference. Corners that reach less than a thousandth beyond the line between their neighbours are left out:
/// of rounding there are about six, of a smooth curve over thirty powers of ten some hundreds. A difference that is no finite number
/// decides alone; where nothing differs there are none.
pub fn decisive(points: impl Iterator<Item = [f64; 2]> + Clone) -> Vec<[f64; 2]> {
    let differing = || points.clone().filter(|[_, off]| *off != 0.0);
    if let Some(broken) = differing().find(|[_, off]| !off.is_finite()) {
        return vec![broken];
    }
    // The largest difference, and of those with the same the smallest reference.
    let right = differing().reduce(|a, b| if (b[1], -b[0]) > (a[1], -a[0]) { b } else { a });
    // The smallest reference, and of those with the same the largest difference.
    let left = differing().reduce(|a, b| if (-b[0], b[1]) > (-a[0], a[1]) { b } else { a });
    let (Some(left), Some(right)) = (left, right) else { return Vec::new() };
    let mut corners = vec![left];
    // Between which two corners, and the points beyond their line. What is put there last is looked at first.
    let mut open =
        vec![(left, right, differing().filter(|point| times(left, right, *point) > BEYOND).collect::<Vec<_>>())];
    while let Some((left, right, points)) = open.pop() {
        let size = |point: &[f64; 2]| times(left, right, *point);
        match points.iter().copied().max_by(|a, b| size(a).total_cmp(&size(b))) {
            None => corners.push(right),
            Some(corner) => {
                let (before, after): (Vec<_>, Vec<_>) = points.into_iter().partition(|point| point[0] < corner[0]);
                let of = |points: Vec<[f64; 2]>, left, right| {
                    points.into_iter().filter(|point| times(left, right, *point) > BEYOND).collect::<Vec<_>>()
                };
                open.push((corner, right, of(after, corner, right)));
                open.push((left, corner, of(before, left, corner)));
            }
        }
    }
    corners.dedup();
    corners
}

/// How many times as high as the line from `left` to `right` the point is; 0 where it is not between them.
fn times(left: [f64; 2], right: [f64; 2], [reference, off]: [f64; 2]) -> f64 {
    if !(left[0] < reference && reference < right[0]) {
        return 0.0;
    }
    let part = (reference - left[0]) / (right[0] - left[0]);
    off / (left[1] + part * (right[1] - left[1]))
}

#[cfg(test)]
mod tests {
    use loupe_spec::Random;

    use super::*;

    fn allowed(points: &[[f64; 2]], rtol: f64, atol: f64) -> f64 {
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
        let over_decades: Vec<[f64; 2]> =
            (0..5000).map(|_| 10f64.powf(uniform() * 31.0 - 30.0)).map(|x| [x, x.sqrt() * 1e-2]).collect();
        let with_zeros = vec![[0.0, 1e-9], [0.0, 1e-8], [3.0, 0.0], [2.0, 0.5], [1.0, 0.5]];
        for (points, most) in [(rounding, 10), (spread, 20), (curve, 90), (over_decades, 600), (with_zeros, 3)] {
            let few = decisive(points.iter().copied());
            assert!(few.len() <= most, "{}", few.len());
            for exponent in -24..=4 {
                for (rtol, atol) in [(1.0, 10f64.powi(exponent)), (10f64.powi(exponent), 1.0), (0.0, 1.0), (1e-3, 0.0)]
                {
                    let (all, few) = (allowed(&points, rtol, atol), allowed(&few, rtol, atol));
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
