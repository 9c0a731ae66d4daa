//! Sums of log-probabilities, and the figures that are made of them.

/// What is known of some predicted tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Tokens predicted.
    pub token_count: usize,
    /// The sum of their negative log-probabilities, in nats.
    pub nll_sum: f64,
    /// The sum of the squares of these.
    nll_squares: f64,
}

/// Words and bytes of texts, for figures that do not depend on a tokenizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSize {
    /// Pieces between stretches of white space, as lm-evaluation-harness counts them: empty ones too, where a text begins
    /// or ends with white space.
    pub words: usize,
    /// Bytes in UTF-8.
    pub bytes: usize,
}

impl Score {
    /// Adds a token of this log-probability.
    pub fn push(&mut self, logprob: f64) {
        self.token_count += 1;
        self.nll_sum -= logprob;
        self.nll_squares += logprob * logprob;
    }

    /// Adds the tokens of another score.
    pub fn merge(&mut self, other: &Self) {
        self.token_count += other.token_count;
        self.nll_sum += other.nll_sum;
        self.nll_squares += other.nll_squares;
    }

    /// How many equally likely tokens would leave one as uncertain at each; 1 without tokens.
    pub fn perplexity(&self) -> f64 {
        (self.nll_sum / self.token_count.max(1) as f64).exp()
    }

    /// The standard error of the perplexity, as `llama-perplexity` prints it behind `+/-`: that of the mean, with tokens
    /// taken as independent, times the perplexity (the delta method). `None` for fewer than two tokens.
    ///
    /// With m the mean of the negative log-probabilities and s that of their squares, of n tokens, it is
    /// `sqrt((s - m^2) / (n - 1)) exp(m)`.
    pub fn standard_error(&self) -> Option<f64> {
        if self.token_count < 2 {
            return None;
        }
        let count = self.token_count as f64;
        let mean = self.nll_sum / count;
        // Of equal log-probabilities rounding may leave a little less than nothing.
        let variance = (self.nll_squares / count - mean * mean).max(0.0);
        Some((variance / (count - 1.0)).sqrt() * self.perplexity())
    }
}

impl TextSize {
    /// The size of one text.
    pub fn of(text: &str) -> Self {
        let mut after_space = false;
        let mut gaps = 0;
        for character in text.chars() {
            let is_space = is_python_space(character);
            gaps += usize::from(is_space && !after_space);
            after_space = is_space;
        }
        Self { words: gaps + 1, bytes: text.len() }
    }

    /// Adds the size of another text.
    pub fn merge(&mut self, other: &Self) {
        self.words += other.words;
        self.bytes += other.bytes;
    }

    /// exp(nll / words): word_perplexity of lm-evaluation-harness.
    pub fn word_perplexity(&self, nll_sum: f64) -> f64 {
        (nll_sum / self.words as f64).exp()
    }

    /// exp(nll / bytes): byte_perplexity of lm-evaluation-harness.
    pub fn byte_perplexity(&self, nll_sum: f64) -> f64 {
        (nll_sum / self.bytes as f64).exp()
    }

    /// nll / (bytes ln 2): bits_per_byte of lm-evaluation-harness.
    pub fn bits_per_byte(&self, nll_sum: f64) -> f64 {
        nll_sum / (self.bytes as f64 * std::f64::consts::LN_2)
    }
}

/// What `\s` matches and `str.rstrip` takes away in Python: white space of Unicode, and the four separators of ASCII.
pub fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn score(logprobs: &[f64]) -> Score {
        let mut score = Score::default();
        logprobs.iter().for_each(|&logprob| score.push(logprob));
        score
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
    }

    proptest! {
        #[test]
        fn scores_are_means_in_any_grouping(one in vec(-20.0..0.0, 1..40), other in vec(-20.0..0.0, 1..40)) {
            let all = [&one[..], &other[..]].concat();
            let mut merged = score(&one);
            merged.merge(&score(&other));
            let count = all.len() as f64;
            let mean = -all.iter().sum::<f64>() / count;
            prop_assert_eq!(merged.token_count, all.len());
            prop_assert!(close(merged.perplexity(), mean.exp()));
            // The two-pass formula: the unbiased variance by the count is that of the mean.
            let variance = all.iter().map(|logprob| (logprob + mean).powi(2)).sum::<f64>() / count / (count - 1.0);
            let found = merged.standard_error().expect("two tokens or more");
            prop_assert!((found - variance.sqrt() * mean.exp()).abs() < 1e-6 * mean.exp(), "{found}");
        }
    }

    #[test]
    fn a_score_of_little_is_finite() {
        assert_eq!((score(&[]).perplexity(), score(&[]).standard_error()), (1.0, None));
        assert_eq!(score(&[-1.0]).standard_error(), None);
        assert_eq!(score(&[-0.1; 3]).standard_error().map(|error| error < 1e-7), Some(true));
        assert_eq!(score(&[-1.0, f64::NEG_INFINITY]).perplexity(), f64::INFINITY);
    }

    #[test]
    fn words_are_counted_as_the_harness_counts_them() {
        // The counts are those of `len(re.split(r"\s+", text))` in Python.
        let check = |text: &str, words: usize| assert_eq!(TextSize::of(text).words, words, "{text:?}");
        check("", 1);
        check("one", 1);
        check("one two\n\nthree", 3);
        check(" one\ttwo ", 4);
        check(" \n ", 2);
        check("a\u{a0}b\u{3000}c\u{2028}d", 4);
        check("a\u{1c}b\u{1f}\u{85}c", 3);
        check("a\u{200b}b", 1);
        assert_eq!(TextSize::of("\u{4e09} x").bytes, 5);
    }

    #[test]
    fn figures_by_words_and_bytes() {
        let mut size = TextSize::of("one two");
        size.merge(&TextSize::of("three"));
        assert_eq!(size, TextSize { words: 3, bytes: 12 });
        assert!(close(size.word_perplexity(6.0), 2.0_f64.exp()));
        assert!(close(size.byte_perplexity(6.0), 0.5_f64.exp()));
        assert!(close(size.bits_per_byte(12.0 * 2.0_f64.ln()), 1.0));
    }
}
