//! Which tokens a sequence holds and how often, kept token by token for the penalties.
//!
//! Repetition looks at prompt and output (Keskar et al. 2019, CTRL, and Hugging Face's sign rule); presence and
//! frequency look at the output alone (OpenAI's definition). A verification pushes each token it emits before it
//! samples the next row, so a row sees the very history that a plain step at its position would see.

use std::collections::HashMap;

use veridraft_models::TokenId;

use super::SamplingConfig;

/// Token counts of one sequence; empty and free of cost while its settings have no penalties.
#[derive(Clone, Debug)]
pub struct History {
    repetition_penalty: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    is_kept: bool,
    /// Every token in prompt or output, with the times it stands in the output.
    output_counts: HashMap<TokenId, u32>,
}

impl History {
    /// A history for a sequence with these settings and no tokens yet.
    pub fn new(config: &SamplingConfig) -> Self {
        Self {
            repetition_penalty: config.repetition_penalty,
            presence_penalty: config.presence_penalty,
            frequency_penalty: config.frequency_penalty,
            is_kept: config.has_penalties(),
            output_counts: HashMap::new(),
        }
    }

    /// Adds tokens of the prompt.
    pub fn extend_prompt(&mut self, tokens: &[TokenId]) {
        if self.is_kept {
            for &token in tokens {
                self.output_counts.entry(token).or_default();
            }
        }
    }

    /// Adds an emitted token.
    pub fn push_output(&mut self, token: TokenId) {
        if self.is_kept {
            *self.output_counts.entry(token).or_default() += 1;
        }
    }

    /// Whether [`penalise`](Self::penalise) leaves all logits as they are.
    pub(super) fn is_empty(&self) -> bool {
        self.output_counts.is_empty()
    }

    /// Lowers (or raises) the logits of the tokens held, `[vocabulary]`; tokens outside it are passed over.
    pub(super) fn penalise(&self, logits: &mut [f32]) {
        for (&token, &count) in &self.output_counts {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = self.penalised(*logit, count);
            }
        }
    }

    fn penalised(&self, logit: f32, output_count: u32) -> f32 {
        let repeated = if logit > 0.0 { logit / self.repetition_penalty } else { logit * self.repetition_penalty };
        match output_count {
            0 => repeated,
            count => repeated - self.frequency_penalty * count as f32 - self.presence_penalty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: SamplingConfig, prompt: &[TokenId], output: &[TokenId], expected: &[f32]) {
        let mut history = History::new(&config);
        history.extend_prompt(prompt);
        output.iter().for_each(|&token| history.push_output(token));
        let mut logits = [2.0, -2.0, 0.0, 8.0];
        history.penalise(&mut logits);
        assert_eq!(logits, expected);
    }

    #[test]
    fn repetition_counts_prompt_and_output_once() {
        let config = SamplingConfig { repetition_penalty: 2.0, ..Default::default() };
        check(config, &[0, 1, 0], &[2, 3, 3], &[1.0, -4.0, 0.0, 4.0]);
    }

    #[test]
    fn presence_and_frequency_count_the_output_alone() {
        let presence = SamplingConfig { presence_penalty: 0.5, ..Default::default() };
        check(presence, &[0, 1], &[3, 3, 1], &[2.0, -2.5, 0.0, 7.5]);
        let frequency = SamplingConfig { frequency_penalty: 0.5, ..Default::default() };
        check(frequency, &[0, 1], &[3, 3, 1], &[2.0, -2.5, 0.0, 7.0]);
    }

    #[test]
    fn without_penalties_nothing_is_kept() {
        let mut history = History::new(&SamplingConfig::default());
        history.extend_prompt(&[1, 2, 3]);
        history.push_output(4);
        assert!(history.is_empty());
    }

    #[test]
    fn a_token_outside_the_vocabulary_is_passed_over() {
        let config = SamplingConfig { presence_penalty: 1.0, ..Default::default() };
        check(config, &[], &[900], &[2.0, -2.0, 0.0, 8.0]);
    }
}
