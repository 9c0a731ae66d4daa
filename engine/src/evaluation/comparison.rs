//! How alike two models are over many predictions.

use super::Agreement;

/// Agreements, gathered; four bytes for each.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    divergences: Vec<f32>,
    divergence_sum: f64,
    acceptance_sum: f64,
    same_best: usize,
}

/// What agreements come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ComparisonSummary {
    /// The mean Kullback-Leibler divergence of the second model from the first, in nats.
    pub mean_divergence: f64,
    /// Half of the predictions diverge less.
    pub median_divergence: f64,
    /// One of a hundred predictions diverges more.
    pub divergence_99: f64,
    /// The mean of Σ min(p, q): how often a token that the second model samples is accepted by the first.
    pub acceptance: f64,
    /// The share of predictions of which both have the same likeliest token.
    pub same_best: f64,
}

impl Comparison {
    /// Adds how alike one prediction is.
    pub fn push(&mut self, agreement: &Agreement) {
        self.divergences.push(agreement.divergence as f32);
        self.divergence_sum += agreement.divergence;
        self.acceptance_sum += agreement.acceptance;
        self.same_best += usize::from(agreement.same_best);
    }

    /// Sums up; zeros where nothing was compared.
    pub fn summary(mut self) -> ComparisonSummary {
        let count = self.divergences.len();
        if count == 0 {
            return ComparisonSummary::default();
        }
        self.divergences.sort_unstable_by(f32::total_cmp);
        let mean = |sum: f64| sum / count as f64;
        ComparisonSummary {
            mean_divergence: mean(self.divergence_sum),
            median_divergence: quantile(&self.divergences, 0.5),
            divergence_99: quantile(&self.divergences, 0.99),
            acceptance: mean(self.acceptance_sum),
            same_best: mean(self.same_best as f64),
        }
    }
}

/// Between two values, quantiles are interpolated (Hyndman and Fan 1996, type 7).
fn quantile(sorted: &[f32], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (f64::from(sorted[place.floor() as usize]), f64::from(sorted[place.ceil() as usize]));
    if below == above { below } else { below + (above - below) * place.fract() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_quantiles_of_agreements() {
        let mut comparison = Comparison::default();
        assert_eq!(comparison.clone().summary(), ComparisonSummary::default());
        // 0 to 100 in an order of their own.
        for step in 0..101_u32 {
            let value = f64::from(step * 37 % 101);
            comparison.push(&Agreement { divergence: value, acceptance: value / 100.0, same_best: step % 4 == 0 });
        }
        let expected = ComparisonSummary {
            mean_divergence: 50.0,
            median_divergence: 50.0,
            divergence_99: 99.0,
            acceptance: 0.5,
            same_best: 26.0 / 101.0,
        };
        let found = comparison.summary();
        assert!((found.acceptance - 0.5).abs() < 1e-12);
        assert_eq!(ComparisonSummary { acceptance: 0.5, ..found }, expected);
        assert_eq!(quantile(&[1.0, 3.0], 0.25), 1.5);
        assert_eq!(quantile(&[0.0, f32::INFINITY, f32::INFINITY], 0.99), f64::INFINITY);
    }
}
