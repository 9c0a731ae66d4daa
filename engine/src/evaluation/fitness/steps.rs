//! Steps of an engine over a text, from what is known of its guesses at every position.
//!
//! ```text
//! scored tokens     0   1   2   3   4   5   6      a step at 0 with 2 guesses that stand produces 0, 1, 2;
//! steps            [0   1   2] [3] [4   5] [6]     the next begins at 3
//! ```

/// What a step that begins at some token would do with a draft as long as is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guessed {
    /// Tokens of the draft.
    pub proposed: usize,
    /// Those that stand, counted from the first on.
    pub accepted: usize,
    /// Whether a draft model made them, where drafters that take microseconds had none.
    pub is_of_model: bool,
}

/// A text and what would be guessed in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuessedText {
    /// Tokens before the first that is scored.
    pub context: usize,
    /// One for each scored token.
    pub guesses: Vec<Guessed>,
}

/// One step over a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessedStep {
    /// Tokens of the text that are known when it begins.
    pub known: usize,
    /// What it drafts and accepts.
    pub guessed: Guessed,
}

impl GuessedStep {
    /// Tokens that it produces: those accepted, and one.
    pub fn tokens(&self) -> usize {
        self.guessed.accepted + 1
    }

    /// Rows of its pass, but for the first step of a text, which computes the prompt as well.
    pub fn rows(&self) -> usize {
        self.guessed.proposed + 1
    }

    /// Tokens that its pass finds in the cache: all that are known but the last.
    pub fn cached(&self) -> usize {
        self.known.saturating_sub(1)
    }
}

impl GuessedText {
    /// The steps that produce the scored tokens with drafts of at most `draft_length` tokens, which end with the text.
    pub fn steps(&self, draft_length: usize) -> impl Iterator<Item = GuessedStep> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let found = self.guesses.get(next)?;
            // The engine drafts no more than could be emitted beside the token that every step gives.
            let most = draft_length.min(self.guesses.len() - next - 1);
            let proposed = found.proposed.min(most);
            let guessed = Guessed { proposed, accepted: found.accepted.min(proposed), ..*found };
            let step = GuessedStep { known: self.context + next, guessed };
            next += step.tokens();
            Some(step)
        })
    }
}

/// Tokens a step (τ) with drafts of at most `draft_length` tokens; `None` where nothing is scored.
pub fn mean_acceptance_length(texts: &[GuessedText], draft_length: usize) -> Option<f64> {
    let steps: usize = texts.iter().map(|text| text.steps(draft_length).count()).sum();
    let tokens: usize = texts.iter().map(|text| text.guesses.len()).sum();
    (steps > 0).then(|| tokens as f64 / steps as f64)
}

/// Tokens a second by that of plain decoding, with drafts of at most `draft_length` tokens.
///
/// `step` are the seconds of a step with its drafting, `plain` those of a pass of one row behind so many cached tokens. The
/// first step of each text computes the prompt; as it does so drafted or not, it is left out on both sides with its tokens.
/// `None` where that leaves nothing.
pub fn speed_up(
    texts: &[GuessedText],
    draft_length: usize,
    step: impl Fn(&GuessedStep) -> f64,
    plain: impl Fn(usize) -> f64,
) -> Option<f64> {
    let decoding = || texts.iter().flat_map(|text| text.steps(draft_length).skip(1));
    let rate = |tokens: usize, seconds: f64| tokens as f64 / seconds;
    let drafted = rate(decoding().map(|step| step.tokens()).sum(), decoding().map(|found| step(&found)).sum());
    let plain_steps = || texts.iter().flat_map(|text| text.steps(0).skip(1));
    let undrafted = rate(plain_steps().count(), plain_steps().map(|step| plain(step.cached())).sum());
    Some(drafted / undrafted).filter(|ratio| ratio.is_finite())
}

/// The guesses at one place of a draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtPosition {
    /// Steps that had a guess here.
    pub proposed: usize,
    /// Those of them in which all guesses before it stood: in which it was decided.
    pub decided: usize,
    /// Steps in which it stood.
    pub accepted: usize,
}

/// What became of the guesses at each place of the drafts of steps over the texts, the first place first.
pub fn at_positions(texts: &[GuessedText], draft_length: usize) -> Vec<AtPosition> {
    let mut places = vec![AtPosition::default(); draft_length];
    for step in texts.iter().flat_map(|text| text.steps(draft_length)) {
        let Guessed { proposed, accepted, .. } = step.guessed;
        places[..proposed].iter_mut().for_each(|place| place.proposed += 1);
        places[..proposed.min(accepted + 1)].iter_mut().for_each(|place| place.decided += 1);
        places[..accepted].iter_mut().for_each(|place| place.accepted += 1);
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(context: usize, guesses: &[(usize, usize)]) -> GuessedText {
        let guessed = |&(proposed, accepted)| Guessed { proposed, accepted, is_of_model: false };
        GuessedText { context, guesses: guesses.iter().map(guessed).collect() }
    }

    /// Cached tokens, rows and tokens of each step.
    fn walked(text: &GuessedText, draft_length: usize) -> Vec<(usize, usize, usize)> {
        text.steps(draft_length).map(|step| (step.cached(), step.rows(), step.tokens())).collect()
    }

    #[test]
    fn a_step_passes_over_what_it_accepted() {
        let text = text(10, &[(4, 2), (9, 9), (9, 9), (0, 0), (4, 1), (9, 9), (3, 3)]);
        // The draft at 4 is cut to what could be emitted, and behind the last token nothing is.
        assert_eq!(walked(&text, 4), [(9, 5, 3), (12, 1, 1), (13, 3, 2), (15, 1, 1)]);
        assert_eq!(walked(&text, 1), [(9, 2, 2), (11, 2, 2), (13, 2, 2), (15, 1, 1)]);
        assert_eq!(walked(&text, 0).len(), 7);
        assert_eq!(mean_acceptance_length(std::slice::from_ref(&text), 4), Some(7.0 / 4.0));
        assert_eq!(mean_acceptance_length(&[], 4), None);
    }

    #[test]
    fn a_prompt_without_tokens_leaves_nothing_cached() {
        assert_eq!(walked(&text(0, &[(0, 0), (0, 0)]), 3), [(0, 1, 1), (0, 1, 1)]);
    }

    #[test]
    fn places_are_counted_by_the_steps_that_reach_them() {
        let texts = [text(1, &[(3, 1), (0, 0), (2, 2), (0, 0), (0, 0)]), text(1, &[(3, 0), (0, 0)])];
        let place = |proposed, decided, accepted| AtPosition { proposed, decided, accepted };
        assert_eq!(at_positions(&texts, 4), [place(3, 3, 2), place(2, 2, 1), place(1, 0, 0), place(0, 0, 0)]);
    }

    #[test]
    fn the_mean_over_positions_is_not_what_an_engine_reaches() {
        // Twenty tokens in a row that are guessed, twenty that are not, again and again.
        let run = |position: usize| if position % 40 < 20 { 19 - position % 40 } else { 0 };
        let guesses: Vec<_> = (0..4000).map(|position| (8, run(position).min(8))).collect();
        let over_positions = guesses.iter().map(|guess| guess.1 + 1).sum::<usize>() as f64 / 4000.0;
        let reached = mean_acceptance_length(&[text(5, &guesses)], 8).expect("tokens");
        assert!(over_positions > 1.7 * reached, "{over_positions} {reached}");
    }

    #[test]
    fn costs_make_the_speed_up() {
        // Two tokens a step behind the first; a pass takes 10 and 1 for a further row, drafting takes 3.
        let texts = [text(7, &[(0, 0), (1, 1), (0, 0), (1, 1), (0, 0)])];
        let step = |step: &GuessedStep| 9.0 + step.rows() as f64 + 3.0;
        let found = speed_up(&texts, 1, step, |_| 10.0).expect("steps");
        assert!((found - (4.0 / 28.0) / (4.0 / 40.0)).abs() < 1e-12, "{found}");
        // Passes cost by what is cached: 7, 8, 9, 10 tokens without drafts, 7 and 9 with them.
        let step = |step: &GuessedStep| step.cached() as f64;
        let found = speed_up(&texts, 1, step, |cached| cached as f64).expect("steps");
        assert!((found - (4.0 / 16.0) / (4.0 / 34.0)).abs() < 1e-12, "{found}");
        assert_eq!(speed_up(&[text(7, &[(3, 3)])], 1, step, |_| 1.0), None);
    }

    /// A text in which the guess at a token is right or not, whoever drafts from where.
    fn from_rights(rights: &[bool], draft_length: usize) -> GuessedText {
        let stands = |at: usize| rights[at..].iter().take(draft_length).take_while(|right| **right).count();
        let proposed = |at: usize| draft_length.min(rights.len() - at);
        let guess = |at| Guessed { proposed: proposed(at), accepted: stands(at), is_of_model: true };
        GuessedText { context: 3, guesses: (0..rights.len()).map(guess).collect() }
    }

    /// Drafts and verifies token by token, text by text.
    fn simulated(texts: &[Vec<bool>], draft_length: usize) -> (usize, usize) {
        let (mut steps, mut tokens) = (0, 0);
        for rights in texts {
            let mut at = 0;
            while at < rights.len() {
                steps += 1;
                let mut left = draft_length;
                // The token that the pass gives anyway ends the step; a guess that is right lets it go on.
                while left > 0 && at + 1 < rights.len() && rights[at] {
                    (at, left, tokens) = (at + 1, left - 1, tokens + 1);
                }
                (at, tokens) = (at + 1, tokens + 1);
            }
        }
        (steps, tokens)
    }

    proptest! {
        #[test]
        fn the_formula_is_what_a_simulation_counts(
            texts in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..40), 0..5),
            (most, less) in (0..9_usize, 0..9_usize),
        ) {
            let draft_length = most.min(less);
            // What is known of drafts of `most` tokens serves for shorter ones.
            let guessed: Vec<_> = texts.iter().map(|rights| from_rights(rights, most)).collect();
            let (steps, tokens) = simulated(&texts, draft_length);
            let expected = (steps > 0).then(|| tokens as f64 / steps as f64);
            prop_assert_eq!(mean_acceptance_length(&guessed, draft_length), expected);
        }

        #[test]
        fn every_token_is_produced_once_and_no_step_leaves_its_text(
            texts in prop::collection::vec(prop::collection::vec((0..9_usize, 0..9_usize), 0..30), 1..4),
            draft_length in 0..9_usize,
        ) {
            for guesses in &texts {
                let guesses: Vec<_> = guesses.iter().map(|&(a, b)| (a.max(b), a.min(b))).collect();
                let text = text(4, &guesses);
                let mut next = 4;
                for step in text.steps(draft_length) {
                    prop_assert_eq!(step.known, next);
                    prop_assert!(step.guessed.accepted <= step.guessed.proposed);
                    prop_assert!(step.guessed.proposed <= draft_length);
                    prop_assert!(step.known + step.guessed.proposed < 4 + guesses.len());
                    next += step.tokens();
                }
                prop_assert_eq!(next, 4 + guesses.len());
            }
        }

        #[test]
        fn texts_side_by_side_add_up(
            one in prop::collection::vec(any::<bool>(), 1..30),
            other in prop::collection::vec(any::<bool>(), 1..30),
        ) {
            // As one text a draft could cross the border; as two it never does.
            let texts = [from_rights(&one, 8), from_rights(&other, 8)];
            let count = |text: &GuessedText| text.steps(8).count();
            let tau = mean_acceptance_length(&texts, 8).expect("tokens");
            let expected = (one.len() + other.len()) as f64 / (count(&texts[0]) + count(&texts[1])) as f64;
            prop_assert_eq!(tau, expected);
        }
    }
}
