//! A trained model: probabilities, likely successors, and scores of texts, read in place from its bytes.

use veridraft_models::TokenId;

use super::context::NgramContext;
use super::file::{Header, Sections};
use super::validate::validate;
use crate::{Error, Result};

/// An n-gram model over bytes that somebody else brings: a vector, or a mapped file.
///
/// Invariant: the bytes passed [`NgramModel::open`], and nothing writes to them.
#[derive(Debug)]
pub struct NgramModel<B> {
    bytes: B,
    header: Header,
    levels: Vec<Sections>,
}

impl<B: AsRef<[u8]>> NgramModel<B> {
    /// Checks the bytes of a model, all of them; a few milliseconds for each million n-grams.
    pub fn open(bytes: B) -> Result<Self> {
        let read = |bytes: &[u8]| {
            let header = Header::read(bytes)?;
            let levels = header.sections(bytes.len())?;
            validate(bytes, &header, &levels)?;
            Ok((header, levels))
        };
        let (header, levels) = read(bytes.as_ref()).map_err(Error::NgramModel)?;
        Ok(Self { bytes, header, levels })
    }

    /// The whole model, as it is written to a file.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Tokens of the longest n-grams.
    pub fn order(&self) -> usize {
        self.levels.len()
    }

    /// Tokens of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.header.vocabulary as usize
    }

    /// SHA-256 of the tokenizer that made the training tokens, as training was told.
    pub fn tokenizer(&self) -> [u8; 32] {
        self.header.tokenizer
    }

    /// How many n-grams there are of each order, the first order first.
    pub fn ngram_counts(&self) -> &[u64] {
        &self.header.counts
    }

    /// p(token | context), from the latest tokens of `context`; 0 for a token outside the vocabulary.
    pub fn probability(&self, context: &[TokenId], token: TokenId) -> f64 {
        self.probability_after(&self.context(context), token)
    }

    /// p(token | context).
    pub fn probability_after(&self, context: &NgramContext, token: TokenId) -> f64 {
        if token as usize >= self.vocabulary() {
            return 0.0;
        }
        let mut left = 1.0;
        for followers in self.matches(context) {
            if let Some(probability) = followers.probability(token) {
                return left * probability;
            }
            left *= f64::from(followers.backoff);
        }
        left / self.vocabulary() as f64
    }

    /// The `count` likeliest tokens behind `context` and their probabilities, the likeliest first.
    pub fn successors(&self, context: &[TokenId], count: usize) -> Vec<(TokenId, f64)> {
        self.successors_after(&self.context(context), count)
    }

    /// The `count` likeliest tokens behind a context and their probabilities, the likeliest first; of equally likely
    /// ones the lower token. Fewer, if training saw fewer: tokens it never saw are not listed.
    pub fn successors_after(&self, context: &NgramContext, count: usize) -> Vec<(TokenId, f64)> {
        let mut best = Vec::with_capacity(count.min(64) + 1);
        let mut longer = Vec::with_capacity(self.order());
        let mut left = 1.0;
        for followers in self.matches(context) {
            for (token, probability) in followers.ranked() {
                let candidate = (token, left * probability);
                if best.len() == count && !best.last().is_some_and(|last| precedes(&candidate, last)) {
                    break;
                }
                // A longer context has said already how likely the token is.
                if longer.iter().all(|longer: &super::context::Followers| longer.find(token).is_none()) {
                    best.insert(best.partition_point(|known| precedes(known, &candidate)), candidate);
                    best.truncate(count);
                }
            }
            left *= f64::from(followers.backoff);
            longer.push(followers);
        }
        best
    }

    /// The natural logarithm of each token's probability, given the tokens before it; the first is given none.
    pub fn score(&self, tokens: &[TokenId]) -> impl Iterator<Item = f64> {
        let mut context = NgramContext::default();
        tokens.iter().map(move |&token| {
            let probability = self.probability_after(&context, token);
            context = self.advance(&context, token);
            probability.ln()
        })
    }

    /// The natural logarithm of the probability of a document.
    pub fn log_likelihood(&self, tokens: &[TokenId]) -> f64 {
        self.score(tokens).sum()
    }

    /// How many equally likely tokens would leave one as uncertain, at each token of a document; 1 for no tokens.
    pub fn perplexity(&self, tokens: &[TokenId]) -> f64 {
        (-self.log_likelihood(tokens) / tokens.len().max(1) as f64).exp()
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn levels(&self) -> &[Sections] {
        &self.levels
    }
}

/// Whether one successor stands before another.
fn precedes(one: &(TokenId, f64), other: &(TokenId, f64)) -> bool {
    one.1 > other.1 || one.1 == other.1 && one.0 < other.0
}
