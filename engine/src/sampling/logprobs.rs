//! Log-probabilities of the model's own distribution: before temperature, penalties, cut-offs and grammar.

use serde::Serialize;
use veridraft_models::TokenId;

use super::logits::greatest;

/// How likely a token was, and which were likeliest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenLogprobs {
    /// The token that stands in the text.
    pub token: TokenId,
    /// Natural logarithm of its probability; minus infinity where the model excludes it.
    pub logprob: f64,
    /// The likeliest tokens with theirs, the best first, of equals the lowest id first.
    pub top: Vec<(TokenId, f64)>,
}

impl TokenLogprobs {
    /// Reads `token` and the `top` likeliest off `logits`, `[vocabulary]`. NaN counts as minus infinity.
    pub fn new(logits: &[f32], token: TokenId, top: usize) -> Self {
        let greatest = f64::from(greatest(logits));
        let finite = |logit: f32| if logit.is_nan() { f64::NEG_INFINITY } else { f64::from(logit) };
        let sum: f64 = logits.iter().map(|&logit| (finite(logit) - greatest).exp()).sum();
        let logprob = |token: TokenId| {
            let logit = logits.get(token as usize).map_or(f64::NEG_INFINITY, |&logit| finite(logit));
            // Where nothing is possible, or something certain, differences of infinities would be no numbers.
            if logit == f64::NEG_INFINITY { logit } else { (logit - greatest - sum.ln()).min(0.0) }
        };
        let mut order: Vec<TokenId> = (0..logits.len() as TokenId).collect();
        let rank = |&a: &TokenId, &b: &TokenId| {
            finite(logits[b as usize]).total_cmp(&finite(logits[a as usize])).then(a.cmp(&b))
        };
        let top = top.min(order.len());
        if top > 0 && top < order.len() {
            order.select_nth_unstable_by(top - 1, rank);
        }
        order.truncate(top);
        order.sort_unstable_by(rank);
        Self { token, logprob: logprob(token), top: order.into_iter().map(|token| (token, logprob(token))).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logprobs_are_those_of_the_softmax() {
        let probabilities = [0.1_f32, 0.5, 0.1, 0.3];
        let logits = probabilities.map(|p| p.ln() + 7.0);
        let found = TokenLogprobs::new(&logits, 2, 3);
        assert!((found.logprob - f64::from(0.1_f32).ln()).abs() < 1e-6);
        let tokens: Vec<_> = found.top.iter().map(|(token, _)| *token).collect();
        assert_eq!(tokens, [1, 3, 0]);
        assert!((found.top[0].1 - 0.5_f64.ln()).abs() < 1e-6);
        assert_eq!(TokenLogprobs::new(&logits, 0, 99).top.len(), 4);
        assert!(TokenLogprobs::new(&logits, 0, 0).top.is_empty());
    }

    #[test]
    fn what_is_no_number_is_impossible() {
        let found = TokenLogprobs::new(&[f32::NAN, 1.0, f32::NEG_INFINITY], 0, 3);
        assert_eq!(found.logprob, f64::NEG_INFINITY);
        assert_eq!(found.top[0], (1, 0.0));
        assert!(found.top[1..].iter().all(|(_, logprob)| *logprob == f64::NEG_INFINITY));
        assert_eq!(TokenLogprobs::new(&[1.0], 9, 0).logprob, f64::NEG_INFINITY);
    }
}
