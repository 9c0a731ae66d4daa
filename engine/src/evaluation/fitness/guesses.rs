//! What drafters that guess from text propose at every position of it.

use veridraft_models::TokenId;

use super::TextGuesses;
use crate::drafters::{DraftRequest, Drafter, Effort};
use crate::evaluation::Window;
use crate::{Request, Result, SamplingConfig, SequenceId};

/// Asks drafters for a chain of up to `draft_length` tokens before each scored token of each text; the first that has one
/// counts, those that take microseconds before the others, as in an engine whose draft length is fixed.
///
/// The drafters see texts one after the other, as sequences that were released: what they learn from one they may use in
/// the next.
///
/// # Errors
/// What a drafter returns.
pub fn guess_along(
    drafters: &mut [Box<dyn Drafter>],
    texts: &[Window],
    sampling: &SamplingConfig,
    draft_length: usize,
) -> Result<Vec<TextGuesses>> {
    drafters.sort_by_key(|drafter| drafter.effort() == Effort::Model);
    let mut all = Vec::with_capacity(texts.len());
    for (text, number) in texts.iter().zip(0..) {
        let sequence = SequenceId(number);
        let (prompt, scored) = (&text.tokens[..text.scored.start], &text.tokens[text.scored.clone()]);
        let request = Request { sampling: sampling.clone(), ..Request::new(prompt.to_vec(), scored.len().max(1)) };
        for drafter in drafters.iter_mut() {
            drafter.begin(sequence, &request);
            drafter.extend(sequence, prompt);
        }
        let mut guesses = TextGuesses::with_capacity(scored.len());
        for token in scored {
            guesses.push(first_guess(drafters, sequence, draft_length)?);
            drafters.iter_mut().for_each(|drafter| drafter.extend(sequence, std::slice::from_ref(token)));
        }
        drafters.iter_mut().for_each(|drafter| drafter.release(sequence));
        all.push(guesses);
    }
    Ok(all)
}

fn first_guess(drafters: &mut [Box<dyn Drafter>], sequence: SequenceId, draft_length: usize) -> Result<Vec<TokenId>> {
    let request = DraftRequest::chain(sequence, draft_length);
    for drafter in drafters {
        for mut draft in drafter.propose(&[request])? {
            draft.truncate(&request);
            if !draft.nodes.is_empty() {
                return Ok(draft.nodes.iter().map(|node| node.token).collect());
            }
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::drafters::{Lookup, Suffix};

    fn along(drafters: &mut [Box<dyn Drafter>], texts: &[Window], draft_length: usize) -> Vec<TextGuesses> {
        guess_along(drafters, texts, &SamplingConfig::default(), draft_length).expect("tables do not fail")
    }

    #[test]
    fn guesses_are_made_from_what_stands_before() {
        let text = Window { tokens: vec![1, 2, 3, 1, 2, 3, 4], scored: 4..7 };
        let found = along(&mut [Box::new(Lookup::default())], &[text], 2);
        // Before position 4 only `1` repeats, which is too short a match; then `1 2`, then `1 2 3`.
        assert_eq!(found, [vec![vec![], vec![3, 1], vec![1, 2]]]);
    }

    #[test]
    fn the_first_drafter_that_has_a_guess_counts_and_earlier_texts_are_remembered() {
        let first = Window { tokens: vec![1, 5, 6, 7], scored: 1..4 };
        let second = Window { tokens: vec![9, 5, 8, 5], scored: 1..4 };
        let mut both: [Box<dyn Drafter>; 2] = [Box::new(Lookup::default()), Box::new(Suffix::default())];
        let found = along(&mut both, &[first, second], 2);
        assert!(found[0].iter().all(Vec::is_empty), "{found:?}");
        assert_eq!(found[1], [vec![], vec![6, 7], vec![]]);
    }

    proptest! {
        /// So what is asked once, for the longest draft, serves for all shorter ones.
        #[test]
        fn a_shorter_draft_is_the_beginning_of_a_longer(tokens in prop::collection::vec(0..5_u32, 2..60), short in 1..8_usize) {
            let drafters: [fn() -> Box<dyn Drafter>; 2] =
                [|| Box::new(Lookup::default()), || Box::new(Suffix::default())];
            let text = Window { scored: 1..tokens.len(), tokens };
            for drafter in drafters {
                let texts = [text.clone(), text.clone()];
                let long = along(&mut [drafter()], &texts, 8);
                for (long, short_ones) in long.iter().flatten().zip(along(&mut [drafter()], &texts, short).iter().flatten()) {
                    prop_assert_eq!(&long[..long.len().min(short)], short_ones);
                }
            }
        }
    }
}
