//! The Gumbel race: which token has the greatest `logit / temperature + Gumbel`, with few Gumbel numbers computed.
//!
//! A Gumbel number costs two logarithms, so it is computed only for tokens that can still win. Token `t` beats the
//! score `best` when `-ln u < exp(x - best)`, `x` its scaled logit. As `1 - u <= -ln u`, it cannot while
//!
//! ```text
//! 1 - u > exp(x - best)        left side: the complement of the hash; right side: bounded from above
//! ```
//!
//! which is an integer mix, a multiplication and a comparison a token, with no branch. Tokens near the best pass, and
//! so do the few whose hash is extreme enough to lift a far one: about as many as `exp(ln sum exp(x) - best)`.
//! The bound errs only towards passing too many, so the winner is that of the full argmax, bit for bit.

use veridraft_models::TokenId;

use super::noise::{NoiseKey, gumbel};

/// Tokens tested together before one of them is looked at closely.
const CHUNK: usize = 64;
/// Scaled logits so many powers of two below the greatest one are not told apart by the bound.
const DEPTH: f32 = 80.0;
/// Steps of the bound's exponent in one power of two.
const STEPS: f32 = 128.0;

/// Logits relative to the greatest one, in units of the temperature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) greatest: f32,
    pub(super) temperature: f32,
}

impl Scale {
    /// The logarithm of the token's probability, up to a constant that all tokens share. 0 for the greatest logit.
    pub(super) fn scaled(&self, logit: f32) -> f64 {
        (f64::from(logit) - f64::from(self.greatest)) / f64::from(self.temperature)
    }
}

/// A race in progress.
pub(super) struct Race {
    key: NoiseKey,
    scale: Scale,
    best: f64,
    winner: TokenId,
    bound: Bound,
}

impl Race {
    /// Begins with `top`, a token with the greatest logit, in the lead.
    pub(super) fn new(key: NoiseKey, scale: Scale, top: TokenId) -> Self {
        let best = gumbel(key.hash(top));
        Self { key, scale, best, winner: top, bound: Bound::new(scale, best) }
    }

    /// Lets all tokens run, `[vocabulary]`.
    pub(super) fn run_all(&mut self, logits: &[f32]) {
        let (chunks, rest) = logits.as_chunks::<CHUNK>();
        for (index, chunk) in chunks.iter().enumerate() {
            let first = (index * CHUNK) as TokenId;
            if self.any_can_win(first, chunk) {
                self.run_each(first, chunk);
            }
        }
        self.run_each((chunks.len() * CHUNK) as TokenId, rest);
    }

    /// Lets one token run. The order of tokens does not matter.
    pub(super) fn run(&mut self, token: TokenId, logit: f32) {
        let hash = self.key.hash(token);
        if !self.bound.allows(logit, hash) {
            return;
        }
        let score = self.scale.scaled(logit) + gumbel(hash);
        if score > self.best || (score == self.best && token < self.winner) {
            self.winner = token;
            self.best = score;
            self.bound = Bound::new(self.scale, score);
        }
    }

    /// The token with the greatest score so far, the lowest of equals.
    pub(super) fn winner(&self) -> TokenId {
        self.winner
    }

    fn run_each(&mut self, first: TokenId, logits: &[f32]) {
        for (token, &logit) in (first..).zip(logits) {
            self.run(token, logit);
        }
    }

    /// Without a branch, so that the compiler vectorises it.
    fn any_can_win(&self, first: TokenId, logits: &[f32; CHUNK]) -> bool {
        let mut any = 0;
        for (index, &logit) in logits.iter().enumerate() {
            let hash = self.key.hash(first + index as TokenId);
            any |= u32::from(self.bound.allows(logit, hash));
        }
        any != 0
    }
}

/// An upper bound of `2^24 exp(x - best)`: `exp2` by writing the exponent into a float's bits, where the mantissa
/// interpolates linearly and so from above.
#[derive(Clone, Copy)]
struct Bound {
    greatest: f32,
    /// Logits this far below the greatest, and NaN, are taken for it, which bounds them from above too.
    lowest: f32,
    /// Steps of the exponent for a unit of the logit.
    slope: f32,
    /// Steps at the greatest logit. 1.5 * 2^23 is in it, so that adding rounds to a whole step and leaves the number
    /// of steps in the lower half of the float's bits.
    steps: f32,
}

impl Bound {
    fn new(scale: Scale, best: f64) -> Self {
        let log2_e = std::f64::consts::LOG2_E;
        let slope = (log2_e * f64::from(STEPS) / f64::from(scale.temperature)).min(f64::from(f32::MAX)) as f32;
        // Two steps more outweigh the rounding of the sum, of `steps` and of the product: at most 1.01 steps.
        let exponent = f64::from(STEPS) * (127.0 + 24.0 - log2_e * best) + 2.0;
        Self {
            greatest: scale.greatest,
            lowest: (-DEPTH * STEPS / slope).max(f32::MIN),
            slope,
            steps: (12_582_912.0 + exponent) as f32,
        }
    }

    /// Whether a token with this logit and hash can have a score of at least `best`.
    #[inline]
    fn allows(&self, logit: f32, hash: u32) -> bool {
        let below = logit - self.greatest;
        let below = if below > self.lowest { below } else { self.lowest };
        let upper = f32::from_bits((below * self.slope + self.steps).to_bits() << 16);
        // At most 2^24 (1 - u), and exact as a float.
        let complement = (!hash >> 8) as i32 as f32;
        complement <= upper
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The bound may let through too much, but never holds back a token that reaches `best`.
        #[test]
        fn the_bound_never_holds_back_a_winner(
            hash in prop_oneof![any::<u32>(), (0u32..5000).prop_map(|n| u32::MAX - n)],
            below in prop_oneof![0f32..40.0, 0f32..1e-3, Just(0f32), 0f32..1e38],
            temperature in prop_oneof![Just(1e-6f32), Just(1f32), Just(1e-45f32), Just(1e30f32), Just(3e38f32), 0.01f32..5.0],
            slack in prop_oneof![Just(0f64), 0f64..1e-6],
        ) {
            for greatest in [0.0f32, 7.5, -1e30, 3e38] {
                let logit = greatest - below * temperature.min(10.0);
                let scale = Scale { greatest, temperature };
                let score = scale.scaled(logit) + gumbel(hash);
                let best = (score - slack).max(-3.13);
                if score >= best {
                    prop_assert!(Bound::new(scale, best).allows(logit, hash), "score {score} best {best}");
                }
            }
        }
    }

    #[test]
    fn few_tokens_pass_the_bound() {
        let logits: Vec<f32> = (0..49_152u32).map(|token| 12.0 - (token as f32).ln()).collect();
        let key = NoiseKey::new(3, 0, 5, super::super::Stream::Target);
        let mut race = Race::new(key, Scale { greatest: logits[0], temperature: 0.8 }, 0);
        race.run_all(&logits);
        let allowed = (0..).zip(&logits).filter(|&(token, &logit)| race.bound.allows(logit, key.hash(token))).count();
        assert!(allowed < 100, "{allowed}");
    }
}
