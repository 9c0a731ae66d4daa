//! Typical acceptance: a drafted token stands when the target finds it likely enough for how sure the target is.
//!
//! A token stands when `p(token) > min(epsilon, delta exp(-H(p)))`, `H` the entropy: where the target is sure, only its
//! own choices pass; where many continuations are as good, one of them does. The text reads like the target's but does
//! not follow its distribution (Cai et al. 2024, "Medusa", section 2.3.1; the criterion is that of truncation sampling,
//! Hewitt et al. 2022). Coupled and rejection verification are exact; this one trades exactness for longer steps.

use serde::{Deserialize, Serialize};
use veridraft_models::TokenId;

use crate::InvalidSetting;

/// How likely is likely enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TypicalConfig {
    /// A token of more than this probability always stands.
    pub epsilon: f32,
    /// A token stands when it is this much more probable than `exp(-H)`, the probability of each of equals.
    pub delta: f32,
}

impl Default for TypicalConfig {
    /// Epsilon 0.09 and its square root, as Cai et al. recommend.
    fn default() -> Self {
        Self { epsilon: 0.09, delta: 0.3 }
    }
}

impl TypicalConfig {
    /// Names the first setting that is outside its range.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let in_range = |value: f32| value > 0.0 && value <= 1.0;
        InvalidSetting::unless(in_range(self.epsilon), "epsilon", self.epsilon, "above 0 and at most 1")?;
        InvalidSetting::unless(in_range(self.delta), "delta", self.delta, "above 0 and at most 1")
    }

    /// Whether `token` stands, given the target's distribution `p` at its position, `[vocabulary]`, sum 1.
    ///
    /// The likeliest token of `p` does when epsilon and delta are below 1, for `max p >= exp(-H)`.
    pub fn accepts(&self, p: &[f32], token: TokenId) -> bool {
        let probability = p.get(token as usize).map_or(0.0, |&p| f64::from(p));
        probability > f64::from(self.epsilon) || probability > f64::from(self.delta) * (-entropy(p)).exp()
    }
}

/// In nats.
fn entropy(p: &[f32]) -> f64 {
    let positive = p.iter().map(|&p| f64::from(p)).filter(|&p| p > 0.0);
    -positive.map(|p| p * p.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(p: &[f32], expected: &[bool]) {
        let config = TypicalConfig::default();
        let found: Vec<bool> = (0..p.len() as TokenId).map(|token| config.accepts(p, token)).collect();
        assert_eq!(found, expected, "{p:?}");
    }

    #[test]
    fn a_sure_target_takes_its_own_choice_alone() {
        // exp(-H) is 0.84 and 0.3 of it 0.25, so epsilon decides.
        check(&[0.97, 0.02, 0.01], &[true, false, false]);
        check(&[1.0, 0.0], &[true, false]);
        check(&[0.5, 0.41, 0.09, 0.0], &[true, true, false, false]);
    }

    #[test]
    fn an_unsure_target_takes_one_of_many() {
        // Of a hundred equals each has 0.01 > 0.3 * 0.01, and less than epsilon.
        let equals = [0.01; 100];
        assert!((entropy(&equals) - 100_f64.ln()).abs() < 1e-6);
        check(&equals, &[true; 100]);
        let mut one_rare = vec![0.0099; 100];
        one_rare.push(0.0001);
        let expected: Vec<bool> = one_rare.iter().map(|&p| p > 0.003).collect();
        check(&one_rare, &expected);
    }

    #[test]
    fn a_token_outside_the_vocabulary_never_stands() {
        assert!(!TypicalConfig::default().accepts(&[1.0], 5));
        assert!(!TypicalConfig::default().accepts(&[], 0));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let message = |config: TypicalConfig| config.check().unwrap_err().to_string();
        assert_eq!(TypicalConfig::default().check(), Ok(()));
        assert_eq!(
            message(TypicalConfig { epsilon: 0.0, delta: 0.3 }),
            "`epsilon` is 0, but must be above 0 and at most 1"
        );
        assert_eq!(
            message(TypicalConfig { epsilon: 0.1, delta: f32::NAN }),
            "`delta` is NaN, but must be above 0 and at most 1"
        );
    }
}
