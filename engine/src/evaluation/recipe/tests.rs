//! Each recipe against the loop that its program runs, and the laws that a user may rely on.

use proptest::prelude::*;

use super::*;

const PREFIX: TokenId = 1_000_000;

fn text(length: usize) -> Vec<TokenId> {
    (0..length as TokenId).collect()
}

/// What a recipe makes of a text whose tokens are their positions: for each scored token, what the model has read.
fn readings(recipe: Recipe, length: usize) -> Vec<(TokenId, Vec<TokenId>)> {
    let text = text(length);
    let mut readings = Vec::new();
    for stretch in recipe.stretches(length) {
        let window = stretch.window(&text);
        assert!(window.scored.start >= 1 && window.scored.end == window.tokens.len(), "{stretch:?}: {window:?}");
        assert!(!window.scored.is_empty(), "{stretch:?}");
        for position in window.scored.clone() {
            assert_eq!(stretch.text_position(position), window.tokens[position] as usize, "{stretch:?}");
            readings.push((window.tokens[position], window.tokens[..position].to_vec()));
        }
    }
    readings
}

/// The loop of the page on fixed-length models: labels before the last `end - previous` are masked, and labels shift by
/// one, so that the first token of a window has none.
fn slow_sliding(length: usize, window: usize, stride: usize) -> Vec<(TokenId, Vec<TokenId>)> {
    let (text, mut readings, mut previous) = (text(length), Vec::new(), 0);
    let mut begin = 0;
    while begin < length {
        let end = (begin + window).min(length);
        let input = &text[begin..end];
        let masked = input.len() - (end - previous);
        for position in 1..input.len() {
            if position >= masked {
                readings.push((input[position], input[..position].to_vec()));
            }
        }
        previous = end;
        if end == length {
            break;
        }
        begin += stride;
    }
    readings
}

/// The loop of `llama-perplexity`: the logits at `first..window - 1` predict the token behind each.
fn slow_chunks(length: usize, window: usize, bos: Option<TokenId>) -> Vec<(TokenId, Vec<TokenId>)> {
    let (text, mut readings) = (text(length), Vec::new());
    for chunk in 0..length / window {
        let tokens = &text[chunk * window..(chunk + 1) * window];
        let mut input = tokens.to_vec();
        if let Some(bos) = bos {
            input[0] = bos;
        }
        for row in window / 2..window - 1 {
            readings.push((tokens[row + 1], input[..=row].to_vec()));
        }
    }
    readings
}

proptest! {
    #[test]
    fn sliding_windows_are_those_of_the_loop(length in 0..80_usize, window in 2..20_usize, share in 0.0..1.0) {
        let stride = 1 + (share * window as f64) as usize;
        let recipe = Recipe::HuggingFace { window, stride };
        prop_assert_eq!(readings(recipe, length), slow_sliding(length, window, stride));
    }

    #[test]
    fn sliding_windows_score_each_token_once_in_order(length in 2..200_usize, window in 2..40_usize, share in 0.0..1.0) {
        let stride = 1 + (share * (window - 1) as f64) as usize;
        let scored: Vec<_> = readings(Recipe::HuggingFace { window, stride }, length).into_iter().unzip::<_, _, Vec<_>, Vec<_>>().0;
        if stride < window {
            prop_assert_eq!(scored, text(length)[1..].to_vec());
        } else {
            let expected: Vec<_> = text(length).into_iter().filter(|&token| !(token as usize).is_multiple_of(window)).collect();
            prop_assert_eq!(scored.len(), length - length.div_ceil(window));
            prop_assert_eq!(scored, expected);
        }
    }

    #[test]
    fn chunks_are_those_of_the_loop(length in 0..200_usize, window in 3..40_usize, has_bos in any::<bool>()) {
        let bos = has_bos.then_some(PREFIX);
        let found = readings(Recipe::LlamaCpp { window, bos }, length);
        prop_assert_eq!(found.len(), length / window * (window - 1 - window / 2));
        prop_assert_eq!(found, slow_chunks(length, window, bos));
    }

    #[test]
    fn rolling_windows_score_each_token_once_with_as_much_before_it_as_fits(length in 0..120_usize, window in 1..30_usize) {
        let found = readings(Recipe::LmEval { window, prefix: PREFIX }, length);
        let with_prefix: Vec<_> = [PREFIX].into_iter().chain(text(length)).collect();
        for (position, (token, read)) in found.iter().enumerate() {
            prop_assert_eq!(*token as usize, position);
            prop_assert!((1..=window).contains(&read.len()), "{token}: {read:?}");
            prop_assert!(with_prefix[..=position].ends_with(read), "{token}: {read:?}");
        }
        prop_assert_eq!(found.len(), length);
        // The last window computes as many rows as fit.
        prop_assert!(found.last().is_none_or(|(_, read)| read.len() == window.min(length)));
    }

    #[test]
    fn a_text_of_the_fewest_tokens_is_scored_and_no_shorter_one(window in 3..30_usize) {
        let recipes = [
            Recipe::HuggingFace { window, stride: window },
            Recipe::LlamaCpp { window, bos: None },
            Recipe::LmEval { window, prefix: PREFIX },
        ];
        for recipe in recipes {
            prop_assert!(!recipe.stretches(recipe.least_tokens()).is_empty(), "{recipe:?}");
            prop_assert!(recipe.stretches(recipe.least_tokens() - 1).is_empty(), "{recipe:?}");
        }
    }
}

#[test]
fn the_counts_of_the_reference() {
    let count = |recipe, length| readings(recipe, length).len();
    let sliding = |window, stride| count(Recipe::HuggingFace { window, stride }, 4096);
    assert_eq!([sliding(512, 512), sliding(512, 256), sliding(1024, 512)], [4088, 4095, 4095]);
    assert_eq!(count(Recipe::LlamaCpp { window: 512, bos: None }, 4096 + 511), 8 * 255);
    assert_eq!(count(Recipe::LmEval { window: 1024, prefix: PREFIX }, 4096), 4096);
}

#[test]
fn parameters_that_score_nothing_or_not_all_are_refused() {
    let check = |recipe: Recipe, expected: &str| {
        assert_eq!(recipe.check().map_or_else(|error| error.to_string(), |()| String::new()), expected, "{recipe:?}");
    };
    check(Recipe::HuggingFace { window: 2, stride: 1 }, "");
    check(Recipe::HuggingFace { window: 2, stride: 2 }, "");
    check(Recipe::HuggingFace { window: 1, stride: 1 }, "`window` is 1, but must be 2 or more");
    check(Recipe::HuggingFace { window: 8, stride: 0 }, "`stride` is 0, but must be 1 to `window`");
    check(Recipe::HuggingFace { window: 8, stride: 9 }, "`stride` is 9, but must be 1 to `window`");
    check(Recipe::LlamaCpp { window: 3, bos: None }, "");
    check(Recipe::LlamaCpp { window: 2, bos: None }, "`window` is 2, but must be 3 or more");
    check(Recipe::LmEval { window: 1, prefix: 0 }, "");
    check(Recipe::LmEval { window: 0, prefix: 0 }, "`window` is 0, but must be 1 or more");
}
