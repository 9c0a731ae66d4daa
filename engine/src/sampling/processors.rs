//! Which tokens may be drawn: top-k, then top-p of what that leaves, then min-p.
//!
//! Tokens are ranked by logit, the higher first, and equal logits by id, the lower first; so each cut-off is exact
//! and the same everywhere. Probabilities are counted as whole multiples of 2^-30 of the greatest one ([`weight`]):
//! whole numbers add up to the same sum in any order, so a cut-off can be found by selection, without sorting, and
//! still falls on the very token where a sorted scan would put it.
//!
//! - top-k keeps the `k` first.
//! - top-p (Holtzman et al. 2020) keeps the fewest first tokens whose probabilities reach `p` of the sum, at least one.
//! - min-p (Nguyen et al. 2024) keeps tokens with at least `p` times the greatest probability.

use veridraft_models::TokenId;

use super::race::Scale;
use super::{SamplingConfig, logits::greatest};

/// Tokens looked at together before one is looked at closely.
const CHUNK: usize = 64;

/// A token that may be drawn, as a number that orders by rank: the higher logit first, of equal ones the lower id.
///
/// The logit's bits stand above, turned so that they fall as it rises, and the id below. Selecting among plain
/// numbers takes half the time of selecting among pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

impl Candidate {
    fn new(token: TokenId, logit: f32) -> Self {
        // Adding zero turns -0 into the 0 that it equals.
        let bits = (logit + 0.0).to_bits();
        let falling = if bits >> 31 == 0 { !bits & 0x7fff_ffff } else { bits };
        Self(u64::from(falling) << 32 | u64::from(token))
    }

    pub(super) fn token(self) -> TokenId {
        self.0 as TokenId
    }

    pub(super) fn logit(self) -> f32 {
        let falling = (self.0 >> 32) as u32;
        f32::from_bits(if falling >> 31 == 0 { !falling & 0x7fff_ffff } else { falling })
    }
}

/// Scratch space for the cut-offs, kept from call to call.
#[derive(Clone, Debug, Default)]
pub(super) struct CutOffs {
    candidates: Vec<Candidate>,
    weights: Vec<u32>,
    maxima: Vec<f32>,
}

impl CutOffs {
    /// The tokens that the settings leave, in no particular order. The first by rank is always among them; a logit of
    /// minus infinity or NaN never is.
    pub(super) fn keep(&mut self, logits: &[f32], scale: Scale, config: &SamplingConfig) -> &[Candidate] {
        let min_p_logit = f64::from(scale.greatest) + f64::from(scale.temperature) * f64::from(config.min_p).ln();
        let limits_count = (1..logits.len()).contains(&config.top_k);
        match (limits_count, config.top_p < 1.0) {
            (true, limits_sum) => {
                self.keep_top_k(logits, config.top_k);
                if limits_sum {
                    self.keep_top_p_of_candidates(scale, config.top_p);
                }
            }
            (false, true) => self.keep_top_p_of_all(logits, scale, config.top_p),
            // Rounding down lets at most a few more through, for the exact comparison below.
            (false, false) => self.collect(logits, (min_p_logit as f32).next_down()),
        }
        self.candidates.retain(|candidate| f64::from(candidate.logit()) >= min_p_logit);
        &self.candidates
    }

    fn keep_top_k(&mut self, logits: &[f32], k: usize) {
        // At least k logits reach the k-th greatest of any k or more groups' maxima.
        let group = (logits.len() / (4 * k)).clamp(1, 64);
        self.maxima.clear();
        self.maxima.extend(logits.chunks(group).map(greatest));
        let (_, bound, _) = self.maxima.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        let bound = *bound;
        self.collect(logits, bound);
        if self.candidates.len() > k {
            self.candidates.select_nth_unstable(k - 1);
            self.candidates.truncate(k);
        }
    }

    fn keep_top_p_of_candidates(&mut self, scale: Scale, top_p: f32) {
        let total = self.candidates.iter().map(|candidate| u64::from(weight(candidate.logit(), scale))).sum();
        self.cut_at(scale, share(total, top_p));
    }

    fn keep_top_p_of_all(&mut self, logits: &[f32], scale: Scale, top_p: f32) {
        self.weights.clear();
        self.weights.extend(logits.iter().map(|&logit| weight(logit, scale)));
        let total = self.weights.iter().map(|&weight| u64::from(weight)).sum();
        let target = share(total, top_p);
        // Tokens lighter than `light` sum to no more than what top-p leaves out, so the others reach the target alone.
        // Half of it also keeps tokens of the same logits whose weight a rounding put on the other side.
        let light = ((total - target) / logits.len() as u64 / 2) as u32;
        self.collect_heavy(logits, light);
        self.cut_at(scale, target);
    }

    /// Keeps the fewest first candidates whose weights reach `target`, by quickselect on the sum.
    fn cut_at(&mut self, scale: Scale, target: u64) {
        let (mut kept, mut end, mut sum) = (0, self.candidates.len(), 0);
        // The first `kept` sum to `sum`, short of the target; the first `end` reach it.
        while end - kept > 1 {
            let middle = (end - kept) / 2;
            let open = &mut self.candidates[kept..end];
            open.select_nth_unstable(middle);
            let upper: u64 = open[..middle].iter().map(|candidate| u64::from(weight(candidate.logit(), scale))).sum();
            if sum + upper >= target {
                end = kept + middle;
            } else {
                sum += upper;
                kept += middle;
            }
        }
        self.candidates.truncate(end);
    }

    /// The candidates whose weight is at least `light`. There may be many, anywhere, which makes branches cost more
    /// than writing each candidate and counting those that stay.
    fn collect_heavy(&mut self, logits: &[f32], light: u32) {
        self.candidates.clear();
        self.candidates.resize(logits.len(), Candidate(0));
        let mut count = 0;
        for ((token, &logit), &weight) in (0..).zip(logits).zip(&self.weights) {
            self.candidates[count] = Candidate::new(token, logit);
            count += usize::from(weight >= light && logit > f32::NEG_INFINITY);
        }
        self.candidates.truncate(count);
    }

    fn collect(&mut self, logits: &[f32], bound: f32) {
        self.candidates.clear();
        // Whole chunks below the bound are the rule, and their maximum is found with vectors.
        for (first, chunk) in (0..).step_by(CHUNK).zip(logits.chunks(CHUNK)) {
            if greatest(chunk) >= bound {
                let tokens = (first..).zip(chunk).filter(|&(_, &logit)| logit >= bound && logit > f32::NEG_INFINITY);
                self.candidates.extend(tokens.map(|(token, &logit)| Candidate::new(token, logit)));
            }
        }
    }
}

/// A token's probability as a multiple of 2^-30 of the greatest one, rounded.
///
/// Written out in additions and multiplications, so that the compiler vectorises it and every machine gets the same
/// number. Within 3e-6 of the exact value, relative, before it is rounded.
#[inline]
pub(super) fn weight(logit: f32, scale: Scale) -> u32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves no bits behind the point.
    let exponent = (logit - scale.greatest) * (std::f32::consts::LOG2_E / scale.temperature).min(f32::MAX);
    // The weight is 0 from 2^-32 on; NaN goes there as well.
    let exponent = if exponent > -40.0 { exponent } else { -40.0 };
    let rounded = exponent + ROUND;
    let part = exponent - (rounded - ROUND);
    // The Taylor series of 2^part, |part| <= 1/2: the next term is below 2e-8.
    let series = 1.540_353e-4;
    let series = series * part + 1.333_355_8e-3;
    let series = series * part + 9.618_129e-3;
    let series = series * part + 5.550_411e-2;
    let series = series * part + 0.240_226_5;
    let series = series * part + std::f32::consts::LN_2;
    let series = series * part + 1.0;
    let power = f32::from_bits((rounded.to_bits().wrapping_add(127 + 30)) << 23);
    let value = series * power;
    // A cast to integer would check the range token by token; rounding in two halves of 15 bits is all vectors.
    let high = value * (1.0 / 32_768.0) + ROUND;
    let low = value - (high - ROUND) * 32_768.0 + ROUND;
    let whole = |float: f32| float.to_bits().wrapping_sub(ROUND.to_bits());
    (whole(high) << 15).wrapping_add(whole(low))
}

/// What the kept weights must reach.
fn share(total: u64, top_p: f32) -> u64 {
    (total as f64 * f64::from(top_p)).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_the_exponential_function() {
        let scale = Scale { greatest: 3.0, temperature: 0.7 };
        for step in 0..30_000 {
            let logit = 3.0 - step as f32 * 0.7e-3;
            let exact = scale.scaled(logit).exp() * f64::from(1 << 30);
            let found = f64::from(weight(logit, scale));
            assert!((found - exact).abs() <= 1.0 + exact * 3e-6, "{logit}: {found} against {exact}");
        }
        let of = |logit| weight(logit, Scale { greatest: 1.0, temperature: 1e-6 });
        assert_eq!([of(1.0), of(0.9), of(f32::NEG_INFINITY), of(f32::NAN), of(f32::MIN)], [1 << 30, 0, 0, 0, 0]);
        assert_eq!(weight(0.0, Scale { greatest: 0.0, temperature: 1e-45 }), 1 << 30);
    }

    #[test]
    fn candidates_rank_by_logit_then_id() {
        let ranked = [(9, f32::MAX), (4, 1.0), (7, 1.0), (2, 1e-40), (0, -0.0), (1, 0.0), (3, -1e-40), (8, f32::MIN)];
        let candidates = ranked.map(|(token, logit)| Candidate::new(token, logit));
        assert!(candidates.is_sorted());
        assert_eq!(candidates.map(|candidate| (candidate.token(), candidate.logit())), ranked);
    }

    fn check(logits: &[f32], config: SamplingConfig, expected: &[TokenId]) {
        let scale = Scale { greatest: greatest(logits), temperature: 1.0 };
        let mut cut_offs = CutOffs::default();
        let mut kept: Vec<_> = cut_offs.keep(logits, scale, &config).iter().map(|kept| kept.token()).collect();
        kept.sort_unstable();
        assert_eq!(kept, expected);
    }

    fn ln(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn top_k_keeps_lower_ids_of_equal_logits() {
        let config = |top_k| SamplingConfig { top_k, ..Default::default() };
        check(&[1.0, 2.0, 2.0, 1.0, 1.0], config(3), &[0, 1, 2]);
        check(&[1.0, 2.0, 2.0, 1.0, 1.0], config(1), &[1]);
        check(&[1.0, f32::NAN, f32::NEG_INFINITY, 0.0], config(3), &[0, 3]);
        check(&[1.0, 2.0], config(9), &[0, 1]);
        check(&[1.0, 2.0], config(0), &[0, 1]);
    }

    #[test]
    fn top_p_keeps_the_token_that_reaches_it() {
        let config = |top_p| SamplingConfig { top_p, ..Default::default() };
        let logits = ln(&[0.1, 0.5, 0.1, 0.3]);
        check(&logits, config(0.49), &[1]);
        check(&logits, config(0.51), &[1, 3]);
        check(&logits, config(0.79), &[1, 3]);
        check(&logits, config(0.81), &[0, 1, 3]);
        check(&logits, config(0.91), &[0, 1, 2, 3]);
        check(&logits, config(1e-30), &[1]);
    }

    #[test]
    fn min_p_is_relative_to_the_greatest_probability() {
        let config = |min_p| SamplingConfig { min_p, ..Default::default() };
        let logits = ln(&[0.1, 0.5, 0.1, 0.3]);
        check(&logits, config(0.19), &[0, 1, 2, 3]);
        check(&logits, config(0.21), &[1, 3]);
        check(&logits, config(1.0), &[1]);
    }

    #[test]
    fn top_p_counts_within_top_k() {
        // Of the two tokens that top-k leaves the first has 0.5 / 0.8 = 0.625.
        let logits = ln(&[0.1, 0.5, 0.1, 0.3]);
        check(&logits, SamplingConfig { top_k: 2, top_p: 0.62, ..Default::default() }, &[1]);
        check(&logits, SamplingConfig { top_k: 2, top_p: 0.63, ..Default::default() }, &[1, 3]);
        check(&logits, SamplingConfig { top_k: 2, top_p: 0.63, min_p: 0.7, ..Default::default() }, &[1]);
    }
}
