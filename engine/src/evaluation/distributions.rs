//! Distributions read off logits, quickly: every prediction of a text costs one walk over the vocabulary.
//!
//! Exponentials are in f32, within 4e-7 of their value, and sums of them in f64, so a log-probability is within 1e-6 of
//! the exact one. NaN counts as minus infinity, as in sampling.

use veridraft_models::TokenId;

use crate::sampling::logits::{greatest, lowest_at};

/// Logits with what turns them into probabilities.
#[derive(Clone, Copy, Debug)]
pub struct Softmax<'a> {
    logits: &'a [f32],
    greatest: f32,
    /// ln Σ exp(logit - greatest)
    log_sum: f64,
}

/// How alike two distributions over one vocabulary are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Σ p ln(p/q) in nats: the Kullback-Leibler divergence of the second from the first. A log-probability below -87
    /// counts as that, so that a token that only the second excludes gives 87 nats times its p, and not infinity.
    pub divergence: f64,
    /// Σ min(p, q): how often a token of the second is accepted by optimal verification, 0 to 1.
    pub acceptance: f64,
    /// Whether both have the same likeliest token.
    pub same_best: bool,
}

impl<'a> Softmax<'a> {
    /// The distribution of some logits, `[vocabulary]`.
    pub fn of(logits: &'a [f32]) -> Self {
        let greatest = greatest(logits);
        let sum = lanes_sum(logits, |logit| exponential(logit - greatest));
        Self { logits, greatest, log_sum: sum.ln() }
    }

    /// The natural logarithm of a token's probability; minus infinity for a token that cannot be.
    pub fn logprob(&self, token: TokenId) -> f64 {
        let logit = self.logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        if logit.is_nan() || logit == f32::NEG_INFINITY {
            return f64::NEG_INFINITY;
        }
        (f64::from(logit) - f64::from(self.greatest) - self.log_sum).min(0.0)
    }

    /// The likeliest token, of equals the lowest; 0 where none is possible.
    pub fn best(&self) -> TokenId {
        lowest_at(self.logits, self.greatest)
    }

    /// How alike this distribution, p, and another, q, are.
    ///
    /// # Panics
    /// When the vocabularies differ in size.
    pub fn agreement(&self, other: &Softmax<'_>) -> Agreement {
        assert_eq!(self.logits.len(), other.logits.len(), "distributions over one vocabulary");
        let (sum_p, sum_q) = (self.log_sum as f32, other.log_sum as f32);
        // The greatest logit first: beside a great one the sum would be rounded away.
        let term = |p: f32, q: f32| {
            let (log_p, log_q) = ((p - self.greatest - sum_p).max(LEAST), (q - other.greatest - sum_q).max(LEAST));
            let (p, q) = (exponential(log_p), exponential(log_q));
            (p * (log_p - log_q), p.min(q))
        };
        let (mut divergence, mut acceptance) = (0.0, 0.0);
        for (p, q) in self.logits.chunks(CHUNK).zip(other.logits.chunks(CHUNK)) {
            let ((p_groups, p_rest), (q_groups, q_rest)) = (p.as_chunks::<LANES>(), q.as_chunks::<LANES>());
            let (mut divergences, mut acceptances) = ([0.0_f32; LANES], [0.0_f32; LANES]);
            for (p, q) in p_groups.iter().zip(q_groups) {
                for lane in 0..LANES {
                    let (divergence, acceptance) = term(p[lane], q[lane]);
                    divergences[lane] += divergence;
                    acceptances[lane] += acceptance;
                }
            }
            for (lane, (&p, &q)) in p_rest.iter().zip(q_rest).enumerate() {
                let (divergence, acceptance) = term(p, q);
                divergences[lane] += divergence;
                acceptances[lane] += acceptance;
            }
            divergence += f64::from(divergences.iter().sum::<f32>());
            acceptance += f64::from(acceptances.iter().sum::<f32>());
        }
        // Rounding may leave equal distributions a hair off.
        Agreement {
            divergence: divergence.max(0.0),
            acceptance: acceptance.min(1.0),
            same_best: self.best() == other.best(),
        }
    }
}

/// Numbers that are added in f32 before the sum goes on in f64.
const CHUNK: usize = 512;
/// Sums side by side: independent, so that the processor need not wait for one.
const LANES: usize = 8;
/// Below this an exponential is nothing beside one of a vocabulary of any size.
const LEAST: f32 = -87.0;

fn lanes_sum(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let mut sum = 0.0;
    for chunk in values.chunks(CHUNK) {
        let mut lanes = [0.0_f32; LANES];
        let groups = chunk.chunks_exact(LANES);
        let rest: f32 = groups.remainder().iter().map(|&value| term(value)).sum();
        for group in groups {
            for (lane, &value) in lanes.iter_mut().zip(group) {
                *lane += term(value);
            }
        }
        sum += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    sum
}

/// e^x for x of at most 0, as 2^n times a polynomial in what is left (Cody and Waite 1980); NaN gives nearly 0. There is
/// no branch in it, so that loops over it become vector code.
fn exponential(x: f32) -> f32 {
    /// Adding and taking this rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few bits, so that n times it is exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.max(LEAST);
    let whole = x * std::f32::consts::LOG2_E + ROUND - ROUND;
    let rest = x - whole * LN_2.0 - whole * LN_2.1;
    let mut polynomial = 1.0 / 720.0;
    for factor in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        polynomial = polynomial * rest + factor;
    }
    f32::from_bits(((whole as i32 + 127) << 23) as u32) * polynomial
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TokenLogprobs;

    #[test]
    fn exponentials_are_those_of_the_library() {
        for step in 0..87_000 {
            let x = -(step as f32) / 1000.0;
            let (found, expected) = (f64::from(exponential(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 4e-7, "exp({x}) is {found}, expected {expected}");
        }
        assert_eq!(exponential(0.0), 1.0);
        assert!(exponential(f32::NEG_INFINITY) < 1e-37 && exponential(f32::NAN) < 1e-37);
    }

    fn logits() -> impl Strategy<Value = Vec<f32>> {
        let logit = prop_oneof![8 => -30.0..30.0_f32, 1 => Just(f32::NEG_INFINITY), 1 => Just(f32::NAN)];
        (proptest::collection::vec(logit, 0..1500), -30.0..30.0_f32).prop_map(|(mut logits, certain)| {
            logits.push(certain);
            logits
        })
    }

    /// Probabilities in f64.
    fn exact(logits: &[f32]) -> Vec<f64> {
        let all = TokenLogprobs::new(logits, 0, logits.len()).top;
        let mut probabilities = vec![0.0; logits.len()];
        all.iter().for_each(|&(token, logprob)| probabilities[token as usize] = logprob.exp());
        probabilities
    }

    proptest! {
        #[test]
        fn logprobs_are_those_of_the_exact_softmax(logits in logits()) {
            let softmax = Softmax::of(&logits);
            let best = TokenLogprobs::new(&logits, 0, 1).top[0];
            prop_assert_eq!(softmax.best(), best.0);
            for token in 0..logits.len() as TokenId {
                let (found, expected) = (softmax.logprob(token), TokenLogprobs::new(&logits, token, 0).logprob);
                prop_assert!(found == expected || (found - expected).abs() < 1e-6, "{token}: {found}, {expected}");
            }
        }

        #[test]
        fn agreement_is_that_of_the_exact_distributions(one in logits(), other in logits()) {
            let both = one.len().min(other.len());
            // The last of a vector is sound, so that each has a possible token.
            let (one, other) = (&one[one.len() - both..], &other[other.len() - both..]);
            let (p, q) = (exact(one), exact(other));
            let found = Softmax::of(one).agreement(&Softmax::of(other));
            let acceptance: f64 = p.iter().zip(&q).map(|(p, q)| p.min(*q)).sum();
            prop_assert!((found.acceptance - acceptance).abs() < 1e-5, "{} {acceptance}", found.acceptance);
            let least = f64::from(LEAST).exp();
            let divergence: f64 = p.iter().zip(&q).map(|(p, q)| p * (p.max(least) / q.max(least)).ln()).sum();
            prop_assert!((found.divergence - divergence).abs() < 2e-4, "{} {divergence}", found.divergence);
            prop_assert_eq!(found.same_best, Softmax::of(one).best() == Softmax::of(other).best());
        }
    }

    #[test]
    fn great_logits_agree_as_small_ones_do() {
        let one: Vec<f32> = (0..1000).map(|index| (index * 37 % 100) as f32 / 16.0).collect();
        let other: Vec<f32> = (0..1000).map(|index| (index * 53 % 100) as f32 / 16.0).collect();
        // Sums that are exact.
        let raised = |logits: &[f32]| logits.iter().map(|logit| logit + 65536.0).collect::<Vec<_>>();
        let expected = Softmax::of(&one).agreement(&Softmax::of(&other));
        let found = Softmax::of(&raised(&one)).agreement(&Softmax::of(&raised(&other)));
        assert_eq!(found, expected);
    }

    #[test]
    fn equal_distributions_agree_entirely() {
        let logits: Vec<f32> = (0..40_000).map(|index| (index * 37 % 1000) as f32 / 50.0).collect();
        let found = Softmax::of(&logits).agreement(&Softmax::of(&logits));
        assert!(found.divergence < 1e-5 && found.acceptance > 1.0 - 1e-5 && found.same_best, "{found:?}");
    }
}
