//! The distribution that the sampler draws from, as numbers.
//!
//! [`Sampler::sample`] needs no probabilities: the race compares logits. Rejection sampling and confidences need them.
//! Both come from the same penalties, temperature and cut-offs, so a token has positive probability exactly when it can
//! be drawn (but for probabilities that f32 rounds to 0).

use veridraft_models::TokenId;

use super::processors::weight;
use super::sampler::Outcome;
use super::{History, Sampler};

impl Sampler {
    /// The probabilities, `[vocabulary]`, f32, sum 1, with which [`sample`](Self::sample) draws each token.
    ///
    /// Certain tokens (temperature 0, no logit above minus infinity, top-k of 1) are a point mass. NaN counts as minus
    /// infinity; logits of plus infinity share all probability. `out` is overwritten.
    pub fn distribution(&mut self, logits: &[f32], history: &History, out: &mut Vec<f32>) {
        self.penalised(logits, history, |sampler, logits| sampler.spread(logits, out));
    }

    /// The probabilities of some `tokens`, as [`distribution`](Self::distribution) gives them but for 1e-5 and in a
    /// tenth of the time: in whole multiples of 2^-30 of the greatest one. A token outside the vocabulary has none.
    pub fn probabilities(&mut self, logits: &[f32], history: &History, tokens: &[TokenId]) -> Vec<f32> {
        self.penalised(logits, history, |sampler, logits| sampler.shares(logits, tokens))
    }

    fn spread(&mut self, logits: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.resize(logits.len(), 0.0);
        let (logits, scale) = match self.outcome(logits) {
            Outcome::Certain(token) => return out.iter_mut().skip(token as usize).take(1).for_each(|p| *p = 1.0),
            Outcome::Open { logits, scale, .. } => (logits, scale),
        };
        let mut sum = 0.0;
        let mut set = |token: usize, logit: f32| {
            // A NaN logit gives NaN, which `max` drops; exp(-200) is 0 as f32.
            let mass = scale.scaled(logit).max(-200.0).exp() as f32;
            out[token] = mass;
            sum += f64::from(mass);
        };
        match self.kept(&logits, scale) {
            Some(kept) => kept.iter().for_each(|candidate| set(candidate.token() as usize, candidate.logit())),
            None => logits.iter().enumerate().for_each(|(token, &logit)| set(token, logit)),
        }
        out.iter_mut().for_each(|mass| *mass = (f64::from(*mass) / sum) as f32);
    }

    fn shares(&mut self, logits: &[f32], tokens: &[TokenId]) -> Vec<f32> {
        let (logits, scale) = match self.outcome(logits) {
            Outcome::Certain(certain) => return tokens.iter().map(|&t| f32::from(u8::from(t == certain))).collect(),
            Outcome::Open { logits, scale, .. } => (logits, scale),
        };
        let of = |logit: f32| u64::from(weight(logit, scale));
        let (total, masses): (u64, Vec<u64>) = match self.kept(&logits, scale) {
            Some(kept) => {
                let mass = |&token| kept.iter().find(|c| c.token() == token).map_or(0, |c| of(c.logit()));
                (kept.iter().map(|c| of(c.logit())).sum(), tokens.iter().map(mass).collect())
            }
            None => {
                let mass = |&token: &TokenId| logits.get(token as usize).map_or(0, |&logit| of(logit));
                (logits.iter().map(|&logit| of(logit)).sum(), tokens.iter().map(mass).collect())
            }
        };
        masses.into_iter().map(|mass| (mass as f64 / total as f64) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SamplingConfig;
    use crate::sampling::Stream;

    fn distribution(logits: &[f32], config: &SamplingConfig, history: &History) -> Vec<f32> {
        let mut out = vec![7.0; 3];
        Sampler::new(config.clone()).unwrap().distribution(logits, history, &mut out);
        out
    }

    fn plain(logits: &[f32], config: &SamplingConfig) -> Vec<f32> {
        distribution(logits, config, &History::new(config))
    }

    #[test]
    fn draws_follow_the_distribution_in_every_stream() {
        let logits = [1.0, 0.0, 2.0, -1.0, 0.5, 0.5, -2.0, 1.5];
        let base = SamplingConfig { temperature: 0.8, seed: 4, ..Default::default() };
        let configs = [
            base.clone(),
            SamplingConfig { top_k: 5, ..base.clone() },
            SamplingConfig { top_p: 0.8, ..base.clone() },
            SamplingConfig { min_p: 0.2, top_k: 6, ..base.clone() },
            SamplingConfig { repetition_penalty: 1.4, frequency_penalty: 0.3, top_p: 0.95, ..base },
        ];
        for config in configs {
            let mut history = History::new(&config);
            history.extend_prompt(&[2]);
            [0, 7, 7].iter().for_each(|&token| history.push_output(token));
            let expected = distribution(&logits, &config, &history);
            let mut sampler = Sampler::new(config.clone()).unwrap();
            for stream in [Stream::Target, Stream::Draft] {
                let mut counts = [0.0_f64; 8];
                const DRAWS: u32 = 100_000;
                for position in 0..DRAWS {
                    counts[sampler.sample_in(stream, &logits, &history, position) as usize] += 1.0;
                }
                let support = expected.iter().filter(|&&p| p > 0.0).count();
                let mut chi_square = 0.0;
                for (&p, count) in expected.iter().zip(counts) {
                    let mean = f64::from(p) * f64::from(DRAWS);
                    assert!(p > 0.0 || count == 0.0, "{config:?}: a token of probability 0 was drawn");
                    chi_square += if p > 0.0 { (count - mean).powi(2) / mean } else { 0.0 };
                }
                let freedom = support as f64 - 1.0;
                assert!((chi_square - freedom) / (2.0 * freedom).sqrt() < 4.0, "{config:?} {stream:?}: {chi_square}");
            }
        }
    }

    #[test]
    fn streams_draw_apart() {
        let config = SamplingConfig { temperature: 1.0, ..Default::default() };
        let mut sampler = Sampler::new(config.clone()).unwrap();
        let mut draw = |stream| -> Vec<TokenId> {
            (0..64).map(|position| sampler.sample_in(stream, &[0.0; 50], &History::new(&config), position)).collect()
        };
        assert_ne!(draw(Stream::Target), draw(Stream::Draft));
        assert_eq!(draw(Stream::Draft), draw(Stream::Draft));
    }

    #[test]
    fn certain_tokens_are_a_point_mass() {
        let greedy = SamplingConfig::default();
        let warm = SamplingConfig { temperature: 1.0, ..Default::default() };
        assert_eq!(plain(&[1.0, 3.0, 3.0], &greedy), [0.0, 1.0, 0.0]);
        assert_eq!(plain(&[1.0, 3.0, 3.0], &SamplingConfig { top_k: 1, ..warm.clone() }), [0.0, 1.0, 0.0]);
        assert_eq!(plain(&[f32::NAN, f32::NEG_INFINITY], &warm), [1.0, 0.0]);
        assert_eq!(plain(&[], &warm), [0.0; 0]);
        assert_eq!(plain(&[f32::INFINITY, 5.0, f32::INFINITY, f32::NAN], &warm), [0.5, 0.0, 0.5, 0.0]);
        assert_eq!(plain(&[0.0, f32::NAN, 0.0, f32::NEG_INFINITY], &warm), [0.5, 0.0, 0.5, 0.0]);
    }

    proptest! {
        #[test]
        fn support_sum_and_shares_agree(
            logits in prop::collection::vec(prop_oneof![8 => -9f32..9.0, 1 => Just(f32::NEG_INFINITY), 1 => Just(f32::NAN)], 1..60),
            temperature in prop_oneof![Just(0f32), 0.05f32..3.0],
            top_k in 0usize..8,
            top_p in prop_oneof![Just(1f32), 0.1f32..1.0],
            min_p in prop_oneof![Just(0f32), 0f32..0.5],
        ) {
            let config = SamplingConfig { temperature, top_k, top_p, min_p, ..Default::default() };
            let found = plain(&logits, &config);
            prop_assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let mut sampler = Sampler::new(config.clone()).unwrap();
            let all: Vec<TokenId> = (0..=logits.len() as TokenId).collect();
            let shares = sampler.probabilities(&logits, &History::new(&config), &all);
            for (token, share) in shares.into_iter().enumerate() {
                let expected = found.get(token).copied().unwrap_or(0.0);
                prop_assert!((share - expected).abs() < 1e-5, "token {token}: {share}, {expected}");
            }
            // The kept tokens are those that the cut-offs of the sampler keep.
            if let Outcome::Open { logits, scale, .. } = sampler.outcome(&logits)
                && let Some(kept) = sampler.kept(&logits, scale)
            {
                let mut kept: Vec<usize> = kept.iter().map(|candidate| candidate.token() as usize).collect();
                kept.sort_unstable();
                let support: Vec<usize> = (0..found.len()).filter(|&token| found[token] > 0.0).collect();
                prop_assert_eq!(kept.is_empty(), support.is_empty());
                prop_assert!(support.iter().all(|token| kept.contains(token)));
                // What is kept and yet 0 lies below the smallest f32.
                let lost = |token: &&usize| !support.contains(token) && scale.scaled(logits[**token]) > -80.0;
                prop_assert_eq!(kept.iter().find(lost), None);
            }
        }
    }
}
