//! What a model made of one token of a text.

use veridraft_models::TokenId;

use super::Softmax;
use crate::ngram::{NgramContext, NgramModel};

/// A token's log-probability, and what the model would have taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The natural logarithm of the token's probability.
    pub logprob: f64,
    /// The likeliest token, of equals the lowest.
    pub best: TokenId,
    /// The natural logarithm of its probability.
    pub best_logprob: f64,
}

impl Reading {
    /// What a distribution says of a token.
    pub fn of(softmax: &Softmax<'_>, token: TokenId) -> Self {
        let best = softmax.best();
        Self { logprob: softmax.logprob(token), best, best_logprob: softmax.logprob(best) }
    }
}

/// What an n-gram model makes of each token of a text, given those before it; the first is given none.
pub fn ngram_readings<'a, B: AsRef<[u8]>>(
    model: &'a NgramModel<B>,
    text: &'a [TokenId],
) -> impl Iterator<Item = Reading> + 'a {
    let mut context = NgramContext::default();
    text.iter().map(move |&token| {
        // A model that was trained on nothing knows no successor: all tokens are alike, and the lowest stands for them.
        let best = model.successors_after(&context, 1).first().map_or(0, |(best, _)| *best);
        let logprob = |token| model.probability_after(&context, token).ln();
        let reading = Reading { logprob: logprob(token), best, best_logprob: logprob(best) };
        context = model.advance(&context, token);
        reading
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ngram::{NgramConfig, train};

    #[test]
    fn a_reading_names_the_token_and_the_best() {
        let logits = [0.0, 2.0, f32::NEG_INFINITY, 1.0];
        let softmax = Softmax::of(&logits);
        let reading = Reading::of(&softmax, 3);
        assert_eq!((reading.best, reading.best_logprob, reading.logprob), (1, softmax.logprob(1), softmax.logprob(3)));
        assert!((reading.best_logprob - reading.logprob - 1.0).abs() < 1e-6);
    }

    #[test]
    fn an_ngram_model_reads_a_text_as_it_scores_it() {
        let text = [5, 6, 7, 5, 6, 7, 5, 6, 9, 2];
        let config = NgramConfig { order: 3, vocabulary: 20, tokenizer: [0; 32] };
        let model = train(&[text], &config).expect("the text is sound");
        let readings: Vec<_> = ngram_readings(&model, &text).collect();
        let scores: Vec<_> = model.score(&text).collect();
        assert_eq!(readings.iter().map(|reading| reading.logprob).collect::<Vec<_>>(), scores);
        for (end, reading) in readings.iter().enumerate() {
            let of = |token| model.probability(&text[..end], token).ln();
            let greatest = (0..20).map(of).fold(f64::NEG_INFINITY, f64::max);
            assert_eq!((reading.best_logprob, of(reading.best)), (greatest, greatest), "behind {end} tokens");
        }
        let untrained = train::<[TokenId; 0]>(&[], &config).expect("nothing is sound");
        let uniform = 0.05_f64.ln();
        let readings: Vec<_> = ngram_readings(&untrained, &[7]).collect();
        assert_eq!(readings, [Reading { logprob: uniform, best: 0, best_logprob: uniform }]);
    }
}
