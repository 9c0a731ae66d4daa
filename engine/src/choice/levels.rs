//! How many levels to ask a draft model for: each costs it a pass, before anything is known of the guess.

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Levels {
    /// Guesses one behind the other; 0 when the model does not pay.
    pub(crate) levels: usize,
    /// Tokens a second that are expected with them.
    pub(crate) rate: f64,
}

/// Chooses up to `most` levels. `sure`: for each sequence, how likely a guess is right, given that those before it are;
/// `seconds(levels)`: the time of a step with so many levels, drafting included; `rate`: tokens a second without them.
pub(crate) fn levels(sure: &[f64], most: usize, rate: f64, seconds: impl Fn(usize) -> f64) -> Levels {
    let with = |levels: usize| {
        let tokens: f64 = sure.iter().map(|&sure| 1.0 + expected(sure, levels)).sum();
        Levels { levels, rate: tokens / seconds(levels) }
    };
    let better = |best: Levels, next: Levels| if next.rate > best.rate { next } else { best };
    (1..=most).map(with).fold(Levels { levels: 0, rate }, better)
}

/// Tokens that so many guesses one behind the other are expected to add, each right with probability `sure`.
pub(crate) fn expected(sure: f64, levels: usize) -> f64 {
    (1..=levels).map(|level| sure.powi(i32::try_from(level).unwrap_or(i32::MAX))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_taken_while_they_pay() {
        let choose = |sure: f64, level: f64| levels(&[sure], 8, 1.0, |levels| 1.0 + level * levels as f64).levels;
        assert_eq!(choose(0.9, 0.01), 8);
        assert_eq!(choose(0.5, 0.15), 2);
        assert_eq!(choose(0.5, 0.6), 0);
        assert_eq!(choose(0.0, 0.01), 0);
    }

    #[test]
    fn a_geometric_sum_is_expected() {
        assert!((expected(0.5, 3) - 0.875).abs() < 1e-12);
        assert_eq!(expected(0.9, 0), 0.0);
    }
}
