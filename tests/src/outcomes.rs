//! How often each of a few outcomes came, against how often it should have come.

/// Counts of outcomes, each with its exact probability.
#[derive(Clone, Debug)]
pub struct Outcomes {
    probabilities: Vec<f64>,
    counts: Vec<u64>,
}

/// Outcomes expected more rarely than this are counted as one: the statistic's distribution is that of its limit only
/// where all counts are large.
const RARE: f64 = 8.0;

impl Outcomes {
    /// No outcome yet; the probabilities sum to 1.
    pub fn new(probabilities: Vec<f64>) -> Self {
        let counts = vec![0; probabilities.len()];
        Self { probabilities, counts }
    }

    /// Counts one.
    pub fn count(&mut self, outcome: usize) {
        self.counts[outcome] += 1;
    }

    /// How many standard deviations Pearson's chi-square lies above its mean; infinite where something impossible came.
    ///
    /// With `n` counts it is near 0 for the law and grows as `n` times the squared differences from it.
    pub fn deviation(&self) -> f64 {
        let total = self.counts.iter().sum::<u64>() as f64;
        let mut pairs = self.probabilities.iter().zip(&self.counts);
        if pairs.any(|(&probability, &count)| probability == 0.0 && count > 0) {
            return f64::INFINITY;
        }
        let (mut cells, mut rare) = (Vec::new(), (0.0, 0.0));
        for (&probability, &count) in self.probabilities.iter().zip(&self.counts) {
            let cell = (probability * total, count as f64);
            if cell.0 < RARE {
                rare = (rare.0 + cell.0, rare.1 + cell.1);
            } else {
                cells.push(cell);
            }
        }
        match cells.first_mut() {
            Some(first) if rare.0 < RARE => *first = (first.0 + rare.0, first.1 + rare.1),
            _ => cells.push(rare),
        }
        let chi_square: f64 = cells.iter().map(|(expected, count)| (count - expected).powi(2) / expected).sum();
        let freedom = (cells.len() - 1) as f64;
        assert!(freedom > 0.0, "too few outcomes to tell anything");
        (chi_square - freedom) / (2.0 * freedom).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation(counts: [u64; 4]) -> f64 {
        Outcomes { probabilities: vec![0.5, 0.3, 0.2, 0.0], counts: counts.to_vec() }.deviation()
    }

    #[test]
    fn what_differs_deviates() {
        assert!(deviation([5000, 3000, 2000, 0]) <= -1.0);
        assert!(deviation([5050, 2980, 1970, 0]) < 1.0);
        assert!(deviation([5300, 2900, 1800, 0]) > 15.0);
        assert_eq!(deviation([5000, 3000, 1999, 1]), f64::INFINITY);
    }
}
