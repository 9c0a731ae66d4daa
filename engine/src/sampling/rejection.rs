//! Rejection verification: accepts or replaces drafted tokens so that the text follows the target's distribution.
//!
//! A candidate drawn from `q` is accepted with probability `min(1, p/q)`; after a rejection the position belongs to the
//! residual `norm(max(p - q, 0))`. Then the emitted token follows `p` whatever `q` is (Leviathan et al. 2023, algorithm
//! 1; Chen et al. 2023). The residual is a distribution like any other, so a second candidate of the position is tried
//! against it, and so on (recursive rejection: Yang et al. 2024, "Multi-candidate speculative decoding"; Jeon et al.
//! 2024). A candidate that was chosen and not drawn has a point mass as `q`: it is accepted with probability `p`.
//!
//! What the caller promises, or the text is no longer exact: each candidate was drawn from its `q` (given the
//! candidates before it), it is tried whatever token the draw gave, and each coin is independent of the draws. So
//! a drawn token must not be left out because it is an unlikely one.

use veridraft_models::TokenId;

use super::noise::{NoiseKey, gumbel};

/// Whether a candidate stands.
///
/// `p`: the target's probabilities, `[vocabulary]`. `q`: those that the candidate was drawn from, `[vocabulary]`; `None`
/// when it was chosen. `uniform` lies between 0 and 1, both excluded. Tokens outside a distribution have probability 0.
pub fn accept(p: &[f32], q: Option<&[f32]>, token: TokenId, uniform: f64) -> bool {
    let of = |distribution: &[f32]| distribution.get(token as usize).map_or(0.0, |&p| f64::from(p));
    uniform * q.map_or(1.0, of) < of(p)
}

/// Turns `p` into what a position follows once `token`, drawn from `q`, was rejected: `norm(max(p - q, 0))`.
///
/// When nothing is left, `p` and `q` differ by rounding alone and `p` stays.
pub fn residual(p: &mut [f32], q: Option<&[f32]>, token: TokenId) {
    let rest = |index: usize, p: f32| match q {
        Some(q) => (p - q.get(index).copied().unwrap_or(0.0)).max(0.0),
        None if index == token as usize => 0.0,
        None => p,
    };
    let sum: f64 = p.iter().enumerate().map(|(index, &p)| f64::from(rest(index, p))).sum();
    if sum > 0.0 {
        p.iter_mut().enumerate().for_each(|(index, p)| *p = (f64::from(rest(index, *p)) / sum) as f32);
    }
}

/// Draws from a distribution by the Gumbel race over `log p`; ties go to the lowest token. 0 when `p` is 0 everywhere.
pub fn draw(p: &[f32], key: NoiseKey) -> TokenId {
    let mut best = (f64::NEG_INFINITY, 0);
    for (token, &p) in (0..).zip(p).filter(|&(_, &p)| p > 0.0) {
        let score = f64::from(p).ln() + gumbel(key.hash(token));
        if score > best.0 {
            best = (score, token);
        }
    }
    best.1
}

/// One position while its candidates are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    probabilities: Vec<f32>,
}

impl Rejection {
    /// A position that follows the target's distribution `p`, `[vocabulary]`, and has no candidate tried yet.
    pub fn new(p: Vec<f32>) -> Self {
        Self { probabilities: p }
    }

    /// Tries the next candidate, see [`accept`]; after a rejection the position follows the [`residual`].
    pub fn try_token(&mut self, q: Option<&[f32]>, token: TokenId, uniform: f64) -> bool {
        let accepted = accept(&self.probabilities, q, token, uniform);
        if !accepted {
            residual(&mut self.probabilities, q, token);
        }
        accepted
    }

    /// What the position follows after the candidates tried so far, all of them rejected.
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampling::noise::{Stream, uniform};

    const VOCABULARY: usize = 7;

    /// A distribution with some zeros, from noise.
    fn random(seed: u64, place: u32) -> Vec<f32> {
        let key = NoiseKey::new(seed, place, 0, Stream::Target);
        let mass = |token| if key.hash(token).is_multiple_of(4) { 0.0 } else { uniform(key.hash(token + 100)).powi(3) };
        let masses: Vec<f64> = (0..VOCABULARY as TokenId).map(mass).collect();
        let sum: f64 = masses.iter().sum();
        if sum == 0.0 {
            vec![1.0 / VOCABULARY as f32; VOCABULARY]
        } else {
            masses.iter().map(|m| (m / sum) as f32).collect()
        }
    }

    /// How the candidates of a position come about.
    #[derive(Clone, Copy, Debug)]
    enum Source {
        /// Each drawn from a distribution of its own.
        Drawn,
        /// The first drawn, the others the likeliest of what is left of its distribution.
        Leaves,
        /// Each drawn from what the ones before leave of one distribution.
        WithoutReplacement,
    }

    /// The token emitted at a position: the candidate accepted first, or a draw from the residual.
    fn emitted(p: &[f32], qs: &[Vec<f32>], source: Source, position: u32) -> TokenId {
        let key = |stream, index: usize| NoiseKey::new(11, index as u32, position, stream);
        let mut state = Rejection::new(p.to_vec());
        let mut left = qs[0].clone();
        for (index, own) in qs.iter().enumerate() {
            let (token, q) = match source {
                Source::Drawn => (draw(own, key(Stream::Draft, index)), Some(own)),
                Source::Leaves if index > 0 => {
                    let best = (0..VOCABULARY).max_by(|&a, &b| left[a].total_cmp(&left[b])).unwrap();
                    (best as TokenId, None)
                }
                Source::Leaves | Source::WithoutReplacement => (draw(&left, key(Stream::Draft, index)), Some(&left)),
            };
            let coin = uniform(key(Stream::Accept, index).hash(token));
            if state.try_token(q.map(Vec::as_slice), token, coin) {
                return token;
            }
            residual(&mut left, None, token);
        }
        draw(state.probabilities(), key(Stream::Residual, 0))
    }

    fn check(p: &[f32], qs: &[Vec<f32>], source: Source) {
        const DRAWS: u32 = 20_000;
        let mut counts = [0.0_f64; VOCABULARY];
        (0..DRAWS).for_each(|position| counts[emitted(p, qs, source, position) as usize] += 1.0);
        // Rare tokens share a cell, or their chi-square is far from normal.
        let (mut chi_square, mut cells, mut rare) = (0.0, 0.0, (0.0, 0.0));
        for (&p, count) in p.iter().zip(counts) {
            let mean = f64::from(p) * f64::from(DRAWS);
            assert!(p > 0.0 || count == 0.0, "an impossible token was emitted");
            if mean < 20.0 {
                rare = (rare.0 + mean, rare.1 + count);
            } else {
                chi_square += (count - mean).powi(2) / mean;
                cells += 1.0;
            }
        }
        if rare.0 > 5.0 {
            chi_square += (rare.1 - rare.0).powi(2) / rare.0;
            cells += 1.0;
        }
        let freedom: f64 = cells - 1.0;
        assert!(chi_square <= freedom + 5.0 * (2.0 * freedom).sqrt(), "{source:?} {p:?} {qs:?}: {chi_square}");
    }

    #[test]
    fn the_emitted_token_follows_the_target_for_any_candidates() {
        for seed in 0..12 {
            let p = random(seed, 0);
            for candidates in 1..=3 {
                let qs: Vec<_> = (1..=candidates).map(|place| random(seed, place)).collect();
                check(&p, &qs, Source::Drawn);
                check(&p, &qs, Source::Leaves);
                check(&p, &qs, Source::WithoutReplacement);
                check(&p, &vec![p.clone(); candidates as usize], Source::WithoutReplacement);
            }
        }
    }

    #[test]
    fn a_draft_from_the_target_itself_is_always_accepted() {
        let p = random(3, 0);
        for position in 0..1000 {
            let token = draw(&p, NoiseKey::new(1, 0, position, Stream::Draft));
            let coin = uniform(NoiseKey::new(1, 0, position, Stream::Accept).hash(token));
            assert!(accept(&p, Some(&p), token, coin));
        }
    }

    #[test]
    fn the_acceptance_rate_is_one_less_the_distance_of_the_distributions() {
        let (p, q) = (random(5, 0), random(5, 1));
        let overlap: f64 = p.iter().zip(&q).map(|(p, q)| f64::from(p.min(*q))).sum();
        let accepted = (0..40_000).filter(|&position| {
            let token = draw(&q, NoiseKey::new(2, 0, position, Stream::Draft));
            accept(&p, Some(&q), token, uniform(NoiseKey::new(2, 0, position, Stream::Accept).hash(token)))
        });
        let rate = accepted.count() as f64 / 40_000.0;
        assert!((rate - overlap).abs() < 4.0 * (overlap * (1.0 - overlap) / 40_000.0).sqrt(), "{rate} {overlap}");
    }

    #[test]
    fn a_chosen_token_is_accepted_with_its_own_probability() {
        assert!(accept(&[0.25, 0.75], None, 0, 0.249));
        assert!(!accept(&[0.25, 0.75], None, 0, 0.251));
        assert!(!accept(&[1.0], None, 9, 1e-9), "a token outside the vocabulary is impossible");
        assert!(!accept(&[0.0, 1.0], Some(&[0.0, 1.0]), 0, 0.5));
    }

    #[test]
    fn a_residual_without_mass_is_the_distribution_itself() {
        let mut p = [0.5, 0.5];
        residual(&mut p, Some(&[0.5, 0.5]), 0);
        assert_eq!(p, [0.5, 0.5]);
        residual(&mut p, Some(&[0.75]), 0);
        assert_eq!(p, [0.0, 1.0]);
        assert_eq!(draw(&[0.0, 0.0], NoiseKey::new(0, 0, 0, Stream::Residual)), 0);
    }

    proptest! {
        /// The law in exact arithmetic: what is accepted and what comes from the residual add up to `p`.
        #[test]
        fn acceptance_and_residual_add_up(seed: u64) {
            let (p, q) = (random(seed, 0), random(seed, 1));
            let mut rest = p.clone();
            residual(&mut rest, Some(&q), 0);
            let overlap: f32 = p.iter().zip(&q).map(|(p, q)| p.min(*q)).sum();
            for token in 0..VOCABULARY {
                let sum = p[token].min(q[token]) + (1.0 - overlap) * rest[token];
                prop_assert!((sum - p[token]).abs() < 1e-5);
            }
        }
    }
}
