//! How well a model foretells text that it was not trained on.

use veridraft_models::TokenId;

use super::{NgramContext, NgramModel};

/// What a model makes of some documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Tokens of the documents.
    pub tokens: usize,
    /// How many equally likely tokens would leave one as uncertain at each of them; 1 without tokens.
    pub perplexity: f64,
    /// The share of tokens that are the likeliest one by the model, 0 to 1; 0 without tokens.
    pub likeliest: f64,
}

impl<B: AsRef<[u8]>> NgramModel<B> {
    /// Foretells each token of each document from those before it.
    pub fn held_out<D: AsRef<[TokenId]>>(&self, documents: &[D]) -> HeldOut {
        let documents = || documents.iter().map(AsRef::as_ref);
        let tokens: usize = documents().map(<[_]>::len).sum();
        let log_likelihood: f64 = documents().map(|document| self.log_likelihood(document)).sum();
        let likeliest: usize = documents().map(|document| self.count_likeliest(document)).sum();
        let all = tokens.max(1) as f64;
        HeldOut { tokens, perplexity: (-log_likelihood / all).exp(), likeliest: likeliest as f64 / all }
    }

    fn count_likeliest(&self, document: &[TokenId]) -> usize {
        let mut context = NgramContext::default();
        let is_likeliest = |token: &&TokenId| {
            let successors = self.successors_after(&context, 1);
            context = self.advance(&context, **token);
            successors.first().is_some_and(|(successor, _)| successor == *token)
        };
        document.iter().filter(is_likeliest).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ngram::{NgramConfig, train};

    #[test]
    fn documents_are_judged_token_by_token() {
        let config = NgramConfig { order: 2, vocabulary: 20, tokenizer: [0; 32] };
        let model = train(&[[5, 6, 7, 5, 6, 7, 5, 6, 9]], &config).expect("the text is sound");
        // Without context all of 5, 6, 7 and 9 have as many neighbours but 5, which has two; 6 follows 5, and 7 follows 6.
        let documents = [vec![5, 6, 9], vec![], vec![6, 7]];
        let found = model.held_out(&documents);
        assert_eq!((found.tokens, found.likeliest), (5, 3.0 / 5.0));
        let log_likelihood: f64 = documents.iter().flat_map(|document| model.score(document)).sum();
        assert!((found.perplexity.ln() + log_likelihood / 5.0).abs() < 1e-9);
        assert_eq!(model.held_out::<Vec<TokenId>>(&[]), HeldOut { tokens: 0, perplexity: 1.0, likeliest: 0.0 });
    }
}
