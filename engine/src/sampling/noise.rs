//! The noise of coupled sampling: a counter-based hash of (seed, sample index, position, stream, token).
//!
//! Construction. A [`NoiseKey`] folds everything but the token into 64 bits: one round of the SplitMix64 finaliser
//! (Steele, Lea, Flood 2014) for the seed, one for sample index and position together, one for the stream. Each
//! round is a bijection of the word it takes in, so two keys that differ in one part never coincide by
//! construction. The token then goes through a 32-bit xorshift-multiply mix of two rounds (multipliers and shifts of
//! Wellons' 2018 `lowbias32`); one half of the key enters before the first round, the other between the two, so that
//! noise at two positions is not the same sequence shifted. For one key the mix is a bijection of the token, it has
//! no memory and no branch, and the compiler vectorises it.
//!
//! Quality is tested below: bucket chi-squares of high and low bits, avalanche of every input bit, and correlation
//! across tokens, positions, samples, seeds and streams.

use veridraft_models::TokenId;

/// What the noise is for. Uses that must be independent read different streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The target's token, and a draft model's when it is coupled to it.
    Target,
    /// An uncoupled draft model's token; see [`NoiseKey::behind`].
    Draft,
    /// The coin that accepts or rejects a draft in rejection sampling.
    Accept,
    /// The token drawn from the residual distribution after a rejection.
    Residual,
}

/// Noise of one position: everything but the token folded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseKey {
    before: u32,
    between: u32,
}

impl NoiseKey {
    /// The noise of `stream` for the token at absolute `position` (0 = the first prompt token).
    pub fn new(seed: u64, sample_index: u32, position: u32, stream: Stream) -> Self {
        let place = u64::from(sample_index) << 32 | u64::from(position);
        let word = finalise(finalise(finalise(seed) ^ place) ^ stream as u64);
        Self { before: word as u32, between: (word >> 32) as u32 }
    }

    /// The noise of a draw that may be made again behind other `committed` tokens: each time it is another.
    pub fn behind(self, committed: u32) -> Self {
        let word = finalise((u64::from(self.between) << 32 | u64::from(self.before)) ^ u64::from(committed));
        Self { before: word as u32, between: (word >> 32) as u32 }
    }

    /// A token's noise, uniform over the 32-bit numbers.
    #[inline]
    pub fn hash(self, token: TokenId) -> u32 {
        let mut word = token ^ self.before;
        word ^= word >> 16;
        word = word.wrapping_mul(0x7feb_352d);
        word ^= self.between;
        word ^= word >> 15;
        word = word.wrapping_mul(0x846c_a68b);
        word ^ word >> 16
    }
}

/// Turns noise into a uniform number, neither 0 nor 1: `(hash + 0.5) / 2^32`.
pub fn uniform(hash: u32) -> f64 {
    (f64::from(hash) + 0.5) / 4_294_967_296.0
}

/// Turns noise into a standard Gumbel number; between -3.14 and 22.88, because the uniform number is neither 0 nor 1.
pub fn gumbel(hash: u32) -> f64 {
    -(-uniform(hash).ln()).ln()
}

/// The SplitMix64 step and finaliser: a bijection of 64 bits.
fn finalise(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: [Stream; 4] = [Stream::Target, Stream::Draft, Stream::Accept, Stream::Residual];

    fn key(position: u32) -> NoiseKey {
        NoiseKey::new(0, 0, position, Stream::Target)
    }

    /// How many standard deviations a chi-square of counts lies from its mean, by the normal approximation.
    fn chi_square_deviation(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        let chi_square: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
        let freedom = (counts.len() - 1) as f64;
        (chi_square - freedom) / (2.0 * freedom).sqrt()
    }

    /// Correlation of two hash sequences in standard deviations from 0.
    fn correlation_deviation(pairs: impl Iterator<Item = (u32, u32)>) -> f64 {
        let centred = |hash: u32| f64::from(hash) / 4_294_967_296.0 - 0.5;
        let (mut sum, mut count) = (0.0, 0.0);
        for (a, b) in pairs {
            sum += centred(a) * centred(b) * 12.0;
            count += 1.0;
        }
        sum / f64::sqrt(count)
    }

    #[test]
    fn every_byte_of_the_hash_is_uniform() {
        for shift in [0, 8, 16, 24] {
            let mut counts = [0u64; 256];
            for position in 0..64 {
                (0..8192).for_each(|token| counts[(key(position).hash(token) >> shift) as usize & 255] += 1);
            }
            assert!(chi_square_deviation(&counts).abs() < 4.0, "shift {shift}");
        }
    }

    #[test]
    fn extreme_hashes_are_as_frequent_as_they_should_be() {
        // The winner of a wide vocabulary is decided by the top of the range: 2^26 hashes, 1 in 2^14 extreme.
        let extreme = |position| (0..65536).filter(|&token| key(position).hash(token) >> 18 == (1 << 14) - 1).count();
        let found: usize = (0..1024).map(extreme).sum();
        assert!((found as f64 - 4096.0).abs() < 4.0 * 64.0, "{found}");
    }

    #[test]
    fn one_token_is_uniform_over_positions() {
        let mut counts = [0u64; 256];
        (0..200_000).for_each(|position| counts[(key(position).hash(7) >> 24) as usize] += 1);
        assert!(chi_square_deviation(&counts).abs() < 4.0);
    }

    #[test]
    fn every_input_bit_flips_every_output_bit_half_the_time() {
        type Input = (u64, u32, u32, u32);
        let base = |n: u32| (u64::from(n).wrapping_mul(0x1_0001_4021), n % 3, n.wrapping_mul(77), n % 50_000);
        let hash =
            |(seed, sample, position, token): Input| NoiseKey::new(seed, sample, position, Stream::Target).hash(token);
        let flips: [fn(Input, u32) -> Input; 4] = [
            |(a, b, c, d), bit| (a ^ 1 << (2 * bit), b, c, d),
            |(a, b, c, d), bit| (a, b ^ 1 << bit, c, d),
            |(a, b, c, d), bit| (a, b, c ^ 1 << bit, d),
            |(a, b, c, d), bit| (a, b, c, d ^ 1 << bit),
        ];
        for (part, flip) in flips.iter().enumerate() {
            for bit in 0..32 {
                let mut counts = [0u32; 32];
                for n in 0..4096 {
                    let changed = hash(base(n)) ^ hash(flip(base(n), bit));
                    (0..32).for_each(|out| counts[out] += changed >> out & 1);
                }
                // 4096 coins: mean 2048, deviation 32; lowbias32 itself is biased by up to a few parts in a thousand.
                assert!(counts.iter().all(|count| (1848..=2248).contains(count)), "part {part} bit {bit}: {counts:?}");
            }
        }
    }

    #[test]
    fn noise_is_uncorrelated_across_tokens_positions_samples_seeds_and_streams() {
        let all = |other: fn(u32, u32) -> u32| {
            let pairs = (0..32).flat_map(move |p| (0..8192).map(move |t| (key(p).hash(t), other(p, t))));
            let deviation = correlation_deviation(pairs);
            assert!(deviation.abs() < 4.0, "{deviation}");
        };
        all(|p, t| key(p).hash(t + 1));
        all(|p, t| key(p).hash(t ^ 0x4000));
        all(|p, t| key(p + 1).hash(t));
        all(|p, t| key(p + 1).hash(t + 1));
        all(|p, t| NoiseKey::new(0, 1, p, Stream::Target).hash(t));
        all(|p, t| NoiseKey::new(1, 0, p, Stream::Target).hash(t));
        all(|p, t| NoiseKey::new(0, 0, p, Stream::Draft).hash(t));
        all(|p, t| NoiseKey::new(0, 0, p, Stream::Accept).hash(t));
        all(|p, t| NoiseKey::new(0, 0, p, Stream::Residual).hash(t));
        all(|p, t| key(p).behind(0).hash(t));
        all(|p, t| key(p).behind(p).hash(t));
    }

    #[test]
    fn keys_differ_in_every_part() {
        let mut words = Vec::new();
        for seed in [0, 1, u64::MAX] {
            for (sample, position) in [(0, 0), (0, 1), (1, 0), (1, 1), (0, u32::MAX)] {
                words.extend(STREAMS.map(|stream| {
                    let key = NoiseKey::new(seed, sample, position, stream);
                    (key.before, key.between)
                }));
                let key = NoiseKey::new(seed, sample, position, Stream::Draft);
                words.extend(
                    [0, 1, u32::MAX].map(|committed| key.behind(committed)).map(|key| (key.before, key.between)),
                );
            }
        }
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn gumbel_numbers_are_finite_and_rise_with_the_hash() {
        assert!((gumbel(0) - -3.1299).abs() < 1e-3 && (gumbel(u32::MAX) - 22.8738).abs() < 1e-3);
        assert!(gumbel(1 << 30) < gumbel(1 << 31) && gumbel(u32::MAX - 1) < gumbel(u32::MAX));
        let mean = (0..100_000).map(|token| gumbel(key(1).hash(token))).sum::<f64>() / 1e5;
        assert!((mean - 0.5772).abs() < 4.0 * 1.2825 / 1e5f64.sqrt(), "{mean}");
    }

    #[test]
    fn the_noise_is_pinned() {
        // Texts of one seed stay the same from version to version only while these do.
        let found = [0, 1, 49_151].map(|token| NoiseKey::new(42, 0, 17, Stream::Target).hash(token));
        assert_eq!(found, [1_428_289_449, 3_949_456_347, 240_956_383]);
    }
}
