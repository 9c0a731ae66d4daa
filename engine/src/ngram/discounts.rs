//! How much is taken from a count, estimated from how many n-grams have counts of 1, 2, 3 and 4.

/// The discounts of one order. Each lies above 0 and below the count it is taken from, so that every context gives
/// something away and no n-gram that occurred loses all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Discounts([f64; 3]);

impl Discounts {
    /// What is taken where too few counts of 1 to 4 are there to estimate from, as in very short or oddly regular
    /// texts: half of the largest discount that could be.
    const FALLBACK: Self = Self([0.5, 1.0, 1.5]);

    /// Estimates from the counts of an order: Chen and Goodman 1998, equation 26.
    pub(super) fn estimate(counts: &[u32]) -> Self {
        let mut having = [0.0; 4];
        for &count in counts.iter().filter(|&&count| count <= 4) {
            having[count as usize - 1] += 1.0;
        }
        let [n1, n2, n3, n4] = having;
        let y = n1 / (n1 + 2.0 * n2);
        let discounts = [1.0 - 2.0 * y * n2 / n1, 2.0 - 3.0 * y * n3 / n2, 3.0 - 4.0 * y * n4 / n3];
        // A division by no n-grams gives what is not in any range.
        let is_sound =
            discounts.iter().zip(1..).all(|(&discount, count)| 0.0 < discount && discount < f64::from(count));
        if is_sound { Self(discounts) } else { Self::FALLBACK }
    }

    /// What is taken from a count of at least 1.
    pub(super) fn of(&self, count: u32) -> f64 {
        self.0[count.min(3) as usize - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(having: [usize; 4], expected: [f64; 3]) {
        let counts: Vec<u32> = (1..).zip(having).flat_map(|(count, times)| vec![count; times]).chain([9, 5]).collect();
        let found = Discounts::estimate(&counts);
        assert!(found.0.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{found:?}");
        assert_eq!(
            [found.of(1), found.of(2), found.of(3), found.of(4000)],
            [found.0[0], found.0[1], found.0[2], found.0[2]]
        );
    }

    #[test]
    fn discounts_follow_the_counts_of_counts() {
        // Y = 40 / (40 + 2 x 10) = 2/3.
        check([40, 10, 6, 3], [1.0 - 2.0 / 3.0 * 20.0 / 40.0, 2.0 - 18.0 / 15.0, 3.0 - 8.0 / 6.0]);
    }

    #[test]
    fn what_cannot_be_estimated_falls_back() {
        let fallback = [0.5, 1.0, 1.5];
        check([0, 0, 0, 0], fallback);
        check([5, 0, 2, 1], fallback);
        check([0, 5, 2, 1], fallback);
        check([5, 3, 0, 1], fallback);
        // Nothing would be taken from counts of 3 and more on top of a bonus.
        check([40, 10, 2, 9], fallback);
        // Counts of 3 and more would lose 3.
        check([40, 10, 6, 0], fallback);
    }
}
