//! A set of tokens, one bit each, and what it does to logits.

use veridraft_models::TokenId;

/// Tokens below the size of a vocabulary.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSet {
    /// Bit `token % 32` of word `token / 32`; the last word is not 0, so that equal sets have equal words.
    words: Vec<u32>,
}

impl TokenSet {
    /// The set of `tokens`.
    pub fn of(tokens: impl IntoIterator<Item = TokenId>) -> Self {
        let mut words = Vec::new();
        for token in tokens {
            let index = token as usize / 32;
            if words.len() <= index {
                words.resize(index + 1, 0);
            }
            words[index] |= 1 << (token % 32);
        }
        Self { words }
    }

    /// The set whose bits are `words`, of which those from `vocabulary` on do not count.
    pub(super) fn from_words(words: &[u32], vocabulary: usize) -> Self {
        let mut words = words[..words.len().min(vocabulary.div_ceil(32))].to_vec();
        if let (Some(last), true) = (words.get_mut(vocabulary / 32), !vocabulary.is_multiple_of(32)) {
            *last &= (1 << (vocabulary % 32)) - 1;
        }
        words.truncate(words.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1));
        Self { words }
    }

    /// Whether `token` is in it.
    pub fn contains(&self, token: TokenId) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no token is in it.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The tokens, in order.
    pub fn iter(&self) -> impl Iterator<Item = TokenId> {
        (0..)
            .zip(&self.words)
            .flat_map(|(index, &word)| (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * 32 + bit))
    }

    /// Sets the logits, `[vocabulary]`, of all other tokens to minus infinity, also of those that the set does not reach,
    /// such as the rows that pad a model's embedding.
    ///
    /// Where that leaves no logit above minus infinity, the tokens of the set share the probability, so that a token of
    /// the set is drawn whatever the model says.
    pub fn mask(&self, logits: &mut [f32]) {
        let (reached, beyond) = logits.split_at_mut(logits.len().min(self.words.len() * 32));
        beyond.fill(f32::NEG_INFINITY);
        for (logits, &word) in reached.chunks_mut(32).zip(&self.words) {
            forbid(logits, word);
        }
        if !self.iter().any(|token| logits.get(token as usize).is_some_and(|&logit| logit > f32::NEG_INFINITY)) {
            for token in self.iter() {
                if let Some(logit) = logits.get_mut(token as usize) {
                    *logit = 0.0;
                }
            }
        }
    }
}

/// Most words have all bits or none.
fn forbid(logits: &mut [f32], word: u32) {
    match word {
        u32::MAX => {}
        0 => logits.fill(f32::NEG_INFINITY),
        _ => {
            for (bit, logit) in logits.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
    }
}

impl std::fmt::Debug for TokenSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 16;
        let rest = self.len().saturating_sub(SHOWN);
        formatter.debug_set().entries(self.iter().take(SHOWN)).finish()?;
        if rest > 0 { write!(formatter, " and {rest} more") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NEVER: f32 = f32::NEG_INFINITY;

    #[test]
    fn bits_beyond_the_vocabulary_do_not_count() {
        assert_eq!(TokenSet::from_words(&[u32::MAX, u32::MAX], 34).len(), 34);
        assert_eq!(TokenSet::from_words(&[u32::MAX, u32::MAX], 32).len(), 32);
        assert_eq!(TokenSet::from_words(&[5], 100).iter().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_model_that_gives_allowed_tokens_no_probability_still_gets_one_of_them() {
        for hopeless in [NEVER, f32::NAN] {
            let mut logits = [1.0, hopeless, 2.0, hopeless];
            TokenSet::of([1, 3, 700]).mask(&mut logits);
            assert_eq!(logits, [NEVER, 0.0, NEVER, 0.0]);
        }
        let mut logits = [1.0, NEVER, 2.0, -3.0];
        TokenSet::of([1, 3]).mask(&mut logits);
        assert_eq!(logits, [NEVER, NEVER, NEVER, -3.0]);
    }

    #[test]
    fn a_large_set_is_printed_in_short() {
        assert_eq!(format!("{:?}", TokenSet::of([3, 1])), "{1, 3}");
        assert!(format!("{:?}", TokenSet::of(0..40)).ends_with("15} and 24 more"));
    }

    proptest! {
        #[test]
        fn it_is_a_set_and_masks_all_others(tokens in prop::collection::btree_set(0u32..150, 0..150), vocabulary in 1usize..150) {
            let set = TokenSet::of(tokens.iter().copied());
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), tokens.clone());
            prop_assert_eq!((set.len(), set.is_empty()), (tokens.len(), tokens.is_empty()));
            let mut logits: Vec<f32> = (0..vocabulary).map(|token| token as f32).collect();
            set.mask(&mut logits);
            for (token, logit) in logits.iter().enumerate() {
                let expected = if tokens.contains(&(token as u32)) { token as f32 } else { NEVER };
                prop_assert_eq!(*logit, expected);
                prop_assert_eq!(set.contains(token as u32), expected > NEVER);
            }
        }
    }
}
