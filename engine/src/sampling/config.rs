//! What a request says about how its tokens are chosen.

use serde::{Deserialize, Serialize};

use crate::InvalidSetting;

/// Settings of one sequence's sampling. The default is greedy and changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplingConfig {
    /// Divides the logits; 0 takes the best token.
    pub temperature: f32,
    /// Keeps this many of the most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest most probable tokens whose probabilities sum to this; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as probable as the most probable one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies other logits of tokens in prompt or output; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Is subtracted from the logits of tokens in the output; 0 changes nothing.
    pub presence_penalty: f32,
    /// Is subtracted from a token's logit for every time it stands in the output; 0 changes nothing.
    pub frequency_penalty: f32,
    /// Names the noise; the same seed gives the same text.
    pub seed: u64,
    /// Tells samples of one prompt and seed apart.
    pub sample_index: u32,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
            sample_index: 0,
        }
    }
}

impl SamplingConfig {
    /// Names the first setting that is outside its range.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let unless = InvalidSetting::unless;
        let finite = f32::is_finite;
        let temperature_ok = finite(self.temperature) && self.temperature >= 0.0;
        let repetition_ok = finite(self.repetition_penalty) && self.repetition_penalty > 0.0;
        let top_p_ok = self.top_p > 0.0 && self.top_p <= 1.0;
        unless(temperature_ok, "temperature", self.temperature, "a finite number of at least 0")?;
        unless(top_p_ok, "top_p", self.top_p, "above 0 and at most 1")?;
        unless((0.0..=1.0).contains(&self.min_p), "min_p", self.min_p, "between 0 and 1")?;
        unless(repetition_ok, "repetition_penalty", self.repetition_penalty, "a finite number above 0")?;
        unless(finite(self.presence_penalty), "presence_penalty", self.presence_penalty, "a finite number")?;
        unless(finite(self.frequency_penalty), "frequency_penalty", self.frequency_penalty, "a finite number")
    }

    /// Whether the likeliest token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    /// Whether some tokens of positive probability may be left out.
    pub(crate) fn has_cut_offs(&self) -> bool {
        self.top_k > 0 || self.top_p < 1.0 || self.min_p > 0.0
    }

    /// Whether logits depend on the tokens before.
    pub(crate) fn has_penalties(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut SamplingConfig), expected: &str) {
        let mut config = SamplingConfig::default();
        change(&mut config);
        let found = config.check().map_or_else(|error| error.to_string(), |()| "fine".into());
        assert_eq!(found, expected);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        check(|_| (), "fine");
        check(|c| c.temperature = -0.5, "`temperature` is -0.5, but must be a finite number of at least 0");
        check(|c| c.temperature = f32::NAN, "`temperature` is NaN, but must be a finite number of at least 0");
        check(|c| c.top_p = 0.0, "`top_p` is 0, but must be above 0 and at most 1");
        check(|c| c.top_p = f32::NAN, "`top_p` is NaN, but must be above 0 and at most 1");
        check(|c| c.min_p = 1.5, "`min_p` is 1.5, but must be between 0 and 1");
        check(|c| c.repetition_penalty = 0.0, "`repetition_penalty` is 0, but must be a finite number above 0");
        check(|c| c.presence_penalty = f32::INFINITY, "`presence_penalty` is inf, but must be a finite number");
        check(|c| c.frequency_penalty = f32::NAN, "`frequency_penalty` is NaN, but must be a finite number");
    }
}
