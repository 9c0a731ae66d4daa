use proptest::collection::vec;
use proptest::prelude::*;
use veridraft_models::{Logits, MaskedLimits};

use super::*;

const VOCABULARY: usize = 11;
const MASK: TokenId = 10;

/// Scores are a hash of the sequence and the place in it, so that another copy gives others.
struct Scripted {
    context_length: usize,
    padded_tokens: usize,
    passes: Vec<MaskedBatch>,
}

impl MaskedLanguageModel for Scripted {
    fn limits(&self) -> MaskedLimits {
        let (context_length, padded_tokens) = (self.context_length, self.padded_tokens);
        MaskedLimits { vocabulary: VOCABULARY, context_length, padded_tokens }
    }

    fn forward(&mut self, batch: &MaskedBatch) -> veridraft_models::Result<Logits> {
        self.passes.push(batch.clone());
        let row = |place: &MaskedPlace| scores(&batch.sequences[place.sequence], place.position);
        Ok(Logits { vocabulary: VOCABULARY, values: batch.wanted.iter().flat_map(row).collect() })
    }
}

fn scores(tokens: &[TokenId], position: usize) -> Vec<f32> {
    let mix = |hash: u32, value: u32| (hash ^ value).wrapping_mul(0x9e37_79b1).rotate_left(13);
    let seed = tokens.iter().fold(position as u32, |hash, &token| mix(hash, token));
    (0..VOCABULARY as u32).map(|token| (mix(mix(seed, token), 7) >> 24) as f32 / 64.0).collect()
}

fn scripted(context_length: usize, padded_tokens: usize) -> Scripted {
    Scripted { context_length, padded_tokens, passes: Vec::new() }
}

/// A text in tokens 1 and 2, whose words have these numbers of pieces.
fn text(word_lengths: &[usize]) -> WordEncoding {
    let words = word_lengths.iter().enumerate().flat_map(|(word, &length)| vec![Some(word as u32); length]);
    let words: Vec<_> = [None].into_iter().chain(words).chain([None]).collect();
    let ids = (0..words.len()).map(|index| if words[index].is_some() { 3 + (index * 5 % 7) as TokenId } else { 1 });
    WordEncoding { token_ids: ids.collect(), words }
}

/// The slow obvious way: a pass for every token, with the words looked up one by one, and the softmax as it is defined.
fn one_by_one(texts: &[WordEncoding], masking: Masking) -> Vec<(usize, usize, TokenId, f64)> {
    let mut found = Vec::new();
    for (index, WordEncoding { token_ids, words }) in texts.iter().enumerate() {
        for position in 0..token_ids.len() {
            if words[position].is_none() {
                continue;
            }
            let mut copy = token_ids.clone();
            copy[position] = MASK;
            for other in position + 1..token_ids.len() {
                if masking == Masking::WordLeftToRight && words[other] == words[position] {
                    copy[other] = MASK;
                }
            }
            let row: Vec<f64> = scores(&copy, position).into_iter().map(f64::from).collect();
            let token = token_ids[position];
            let logprob = row[token as usize] - row.iter().map(|score| score.exp()).sum::<f64>().ln();
            found.push((index, position, token, logprob));
        }
    }
    found
}

fn assert_same(found: &[PseudoScore], expected: &[(usize, usize, TokenId, f64)]) {
    assert_eq!(found.len(), expected.len());
    for (found, (text, position, token, logprob)) in found.iter().zip(expected) {
        assert!((found.reading.logprob - logprob).abs() < 1e-5, "{found:?}, expected {logprob}");
        assert!(found.reading.best_logprob >= found.reading.logprob, "{found:?}");
        assert_eq!((found.text, found.position, found.token), (*text, *position, *token));
    }
}

fn any_masking() -> impl Strategy<Value = Masking> {
    prop_oneof![Just(Masking::Token), Just(Masking::WordLeftToRight)]
}

proptest! {
    #[test]
    fn scores_are_those_of_one_pass_a_token(
        shapes in vec(vec(1_usize..5, 0..8), 0..6),
        masking in any_masking(),
        padded_tokens in 1_usize..200,
    ) {
        let texts: Vec<_> = shapes.iter().map(|shape| text(shape)).collect();
        let mut model = scripted(1000, padded_tokens);
        let mut told = 0;
        let found = pseudo_log_likelihoods(&mut model, &texts, masking, MASK, |count| told += count);
        let found = found.expect("it runs");
        assert_same(&found, &one_by_one(&texts, masking));
        prop_assert_eq!(told, found.len());
        for batch in &model.passes {
            let longest = batch.sequences.iter().map(Vec::len).max().unwrap_or(0);
            prop_assert!(batch.sequences.len() == 1 || batch.sequences.len() * longest <= padded_tokens);
            prop_assert_eq!(batch.wanted.len(), batch.sequences.len());
        }
    }

    #[test]
    fn long_texts_are_cut_between_words_and_every_token_is_scored_once(
        shape in vec(1_usize..7, 0..30),
        context in 3_usize..20,
        masking in any_masking(),
    ) {
        let whole = [text(&shape)];
        let mut model = scripted(context, 100);
        let found = pseudo_log_likelihoods(&mut model, &whole, masking, MASK, |_| {}).expect("it runs");
        let [whole] = whole;
        let positions: Vec<_> = found.iter().map(|score| score.position).collect();
        prop_assert_eq!(positions, (1..whole.token_ids.len() - 1).collect::<Vec<_>>());
        for score in &found {
            prop_assert_eq!(score.token, whole.token_ids[score.position]);
        }
        for tokens in model.passes.iter().flat_map(|batch| &batch.sequences) {
            prop_assert!(tokens.len() <= context);
            prop_assert_eq!([tokens[0], tokens[tokens.len() - 1]], [1, 1]);
        }
        let room = context - 2;
        let pieces = Piece::of_text(0, &whole, context).expect("there is room");
        for piece in pieces.iter().skip(1) {
            let first = piece.text_position(1);
            let is_between_words = whole.words[first] != whole.words[first - 1];
            prop_assert!(is_between_words || shape.iter().any(|&length| length > room));
        }
    }
}

#[test]
fn a_copy_masks_the_token_and_what_is_behind_it_in_its_word() {
    let check = |masking: Masking, expected: &[[usize; 2]]| {
        let pieces = Piece::of_text(0, &text(&[1, 3, 1]), 100).expect("there is room");
        let found: Vec<_> = copies(&pieces, masking).iter().map(|copy| [copy.position, copy.masked_to]).collect();
        assert_eq!(found, expected);
    };
    check(Masking::Token, &[[1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]);
    check(Masking::WordLeftToRight, &[[1, 2], [2, 5], [3, 5], [4, 5], [5, 6]]);
}

#[test]
fn texts_without_tokens_of_their_own_have_no_scores() {
    let empty = WordEncoding::default();
    let texts = [text(&[]), empty, text(&[1])];
    let found = pseudo_log_likelihoods(&mut scripted(8, 8), &texts, Masking::Token, MASK, |_| {}).expect("it runs");
    assert_eq!(found.iter().map(|score| (score.text, score.position)).collect::<Vec<_>>(), [(2, 1)]);
}

#[test]
fn a_context_without_room_is_refused() {
    let error = pseudo_log_likelihoods(&mut scripted(2, 8), &[text(&[1])], Masking::Token, MASK, |_| {});
    let error = error.expect_err("no room").to_string();
    assert_eq!(error, "a window computes 3 tokens, but the model's context holds 2");
}
