//! How far a text has come along a source that it copies, for the most part: where the next token would stand.
//!
//! Sellers 1980, "The theory and computation of evolutionary distances: pattern recognition": the edit distance of the
//! whole text to every stretch of the source, by where the stretch ends, kept up token by token. The nearest stretch ends
//! where the text stands now. So an inserted token (a stress mark), a changed or a skipped one costs one guess, and the
//! guesses go on from the right place, where a search for the last tokens would find none, or another place.

use std::collections::VecDeque;

use veridraft_models::TokenId;

/// Guesses that a confidence is counted over, at most.
const REMEMBERED: usize = 32;

/// A text's place in its source.
#[derive(Clone, Debug)]
pub(super) struct Alignment {
    source: Vec<TokenId>,
    /// Edit distance of the text to the nearest stretch of the source that ends before this place, `[source + 1]`.
    distances: Vec<u32>,
    /// Where the next token is expected in the source.
    place: usize,
    /// Whether the latest guesses were right.
    record: VecDeque<bool>,
}

impl Alignment {
    /// An empty text, which stands at the source's start.
    pub(super) fn new(source: Vec<TokenId>) -> Self {
        Self { distances: vec![0; source.len() + 1], source, place: 0, record: VecDeque::new() }
    }

    /// Appends a token to the text.
    pub(super) fn push(&mut self, token: TokenId) {
        // What the text begins with says nothing of how it goes on.
        let mut diagonal = self.distances[0];
        self.distances[0] += 1;
        for (place, &expected) in self.source.iter().enumerate() {
            let replaced = diagonal + u32::from(expected != token);
            diagonal = self.distances[place + 1];
            self.distances[place + 1] = replaced.min(diagonal + 1).min(self.distances[place] + 1);
        }
        let nearest = self.distances.iter().enumerate().min_by_key(|(_, distance)| **distance);
        // Of equally near places the first: behind a token that the source lacks, it is expected to have been inserted.
        self.place = nearest.map_or(0, |(place, _)| place);
    }

    /// Appends a token and counts whether it was guessed.
    pub(super) fn score(&mut self, token: TokenId) {
        if let Some(&guess) = self.rest().first() {
            self.record.push_back(guess == token);
            if self.record.len() > REMEMBERED {
                self.record.pop_front();
            }
        }
        self.push(token);
    }

    /// What follows in the source.
    pub(super) fn rest(&self) -> &[TokenId] {
        &self.source[self.place..]
    }

    /// How often such a guess was right, as if one of two had been before.
    pub(super) fn confidence(&self) -> f32 {
        let right = self.record.iter().filter(|right| **right).count();
        (right as f32 + 1.0) / (self.record.len() as f32 + 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest_after(source: &str, text: &str) -> String {
        let mut alignment = Alignment::new(source.chars().map(u32::from).collect());
        text.chars().for_each(|letter| alignment.push(u32::from(letter)));
        alignment.rest().iter().filter_map(|&token| char::from_u32(token)).collect()
    }

    #[test]
    fn a_copy_stands_where_it_has_come_to() {
        assert_eq!(rest_after("to be or not", ""), "to be or not");
        assert_eq!(rest_after("to be or not", "to be"), " or not");
        assert_eq!(rest_after("to be or not", "to be or not"), "");
        assert_eq!(rest_after("", "to"), "");
    }

    #[test]
    fn a_start_token_that_the_source_lacks_or_has_is_no_hindrance() {
        assert_eq!(rest_after("to be", "^"), "to be");
        assert_eq!(rest_after("to be", "^to"), " be");
        assert_eq!(rest_after("^to be", "^"), "to be");
    }

    #[test]
    fn inserted_tokens_do_not_move_it() {
        assert_eq!(rest_after("to be or not", "to'"), " be or not");
        assert_eq!(rest_after("to be or not", "to' be'"), " or not");
        assert_eq!(rest_after("to be or not to be", "to' be' or' no't t"), "o be");
    }

    #[test]
    fn changed_and_skipped_tokens_are_passed_over() {
        assert_eq!(rest_after("to be or not", "to bi "), "or not");
        assert_eq!(rest_after("to be or not", "to beor"), " not");
        assert_eq!(rest_after("copy: to be or not", "to be"), " or not");
    }

    #[test]
    fn the_confidence_follows_the_latest_guesses() {
        let mut alignment = Alignment::new((0..200).collect());
        assert_eq!(alignment.confidence(), 0.5);
        (0..100).for_each(|token| alignment.score(token));
        assert_eq!(alignment.confidence(), 33.0 / 34.0);
        (0..16).for_each(|_| alignment.score(999));
        assert_eq!(alignment.confidence(), 17.0 / 34.0);
    }
}
