//! From counts to probabilities: each order's from those of the order below.

use veridraft_models::TokenId;

use super::counts::{Counted, MAX_VOCABULARY, context_of, count, token_of, without_first};
use super::discounts::Discounts;
use super::file::{Header, Level, write};
use super::{MAX_ORDER, NgramModel};
use crate::{Error, InvalidSetting, Result};

/// What a model is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NgramConfig {
    /// Tokens of the longest n-grams, 1 to [`MAX_ORDER`].
    pub order: usize,
    /// Tokens of the vocabulary, the `V` of the uniform distribution; ids are below it.
    pub vocabulary: usize,
    /// SHA-256 of the tokenizer that made the tokens; kept in the model for whoever opens it.
    pub tokenizer: [u8; 32],
}

impl NgramConfig {
    fn check(&self) -> Result<()> {
        InvalidSetting::unless((1..=MAX_ORDER).contains(&self.order), "order", self.order, "1 to 5")?;
        let is_known = (1..=MAX_VOCABULARY).contains(&self.vocabulary);
        Ok(InvalidSetting::unless(is_known, "vocabulary", self.vocabulary, "1 to 16777216")?)
    }
}

/// Trains a model. Without any tokens, its probabilities are those of the uniform distribution.
///
/// Beside the documents it takes about 90 bytes a token at its peak, measured at order 4 with 2.9 million tokens, and
/// 0.7 s a million of them in the dev profile.
pub fn train<D: AsRef<[TokenId]>>(documents: &[D], config: &NgramConfig) -> Result<NgramModel<Vec<u8>>> {
    config.check()?;
    check_tokens(documents, config.vocabulary)?;
    let counted = count(documents, config.order);
    let mut lower = Lower { keys: &[0], probabilities: vec![1.0 / config.vocabulary as f64] };
    let mut levels: Vec<Level> = Vec::with_capacity(config.order);
    let mut root_backoff = 1.0;
    for (order, counted) in (1..).zip(&counted) {
        let (level, probabilities, contexts) = estimate(counted, order, &lower);
        match levels.last_mut() {
            Some(parents) => contexts.hand_to(parents),
            None => root_backoff = contexts.backoffs[0],
        }
        levels.push(level);
        lower = Lower { keys: &counted.keys, probabilities };
    }
    let header = Header {
        vocabulary: config.vocabulary as u32,
        root_backoff,
        tokenizer: config.tokenizer,
        counts: levels.iter().map(|level| level.tokens.len() as u64).collect(),
    };
    Ok(NgramModel::open(write(&header, &levels)).expect("what training writes can be opened"))
}

fn check_tokens<D: AsRef<[TokenId]>>(documents: &[D], vocabulary: usize) -> Result<()> {
    let mut tokens = documents.iter().flat_map(|document| document.as_ref());
    match tokens.find(|&&token| token as usize >= vocabulary) {
        None => Ok(()),
        Some(&found) => Err(Error::TrainingToken { found, vocabulary }),
    }
}

/// The order below: its n-grams and their probabilities. Below the first order it is the empty n-gram, with what any
/// token has in the uniform distribution.
struct Lower<'a> {
    keys: &'a [u128],
    probabilities: Vec<f64>,
}

impl Lower<'_> {
    fn probability(&self, key: u128) -> f64 {
        self.probabilities[self.keys.binary_search(&key).expect("the end of an n-gram is an n-gram")]
    }
}

/// What an order says of its contexts, which are n-grams of the order below.
struct Contexts {
    /// What a context leaves to the shorter one; 1 for one that nothing follows.
    backoffs: Vec<f32>,
    /// Where the tokens behind a context start, and at last where they end.
    children: Vec<u32>,
}

impl Contexts {
    fn new(count: usize) -> Self {
        Self { backoffs: vec![1.0; count], children: vec![0; count + 1] }
    }

    fn hand_to(self, parents: &mut Level) {
        parents.backoffs = self.backoffs;
        parents.children = self.children;
    }
}

/// Estimates the n-grams of one order.
fn estimate(counted: &Counted, order: usize, lower: &Lower) -> (Level, Vec<f64>, Contexts) {
    let discounts = Discounts::estimate(&counted.counts);
    let mut contexts = Contexts::new(lower.keys.len());
    let mut level = Level::with_capacity(counted.keys.len());
    let mut probabilities = Vec::with_capacity(counted.keys.len());
    let (mut start, mut parent) = (0, 0);
    for siblings in counted.keys.chunk_by(|&one, &other| context_of(one) == context_of(other)) {
        // Both orders are sorted, so the contexts come in the order of the n-grams that they are.
        while lower.keys[parent] != context_of(siblings[0]) {
            parent += 1;
            contexts.children[parent] = start as u32;
        }
        let counts = &counted.counts[start..start + siblings.len()];
        let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
        let backoff = counts.iter().map(|&count| discounts.of(count)).sum::<f64>() / total;
        for (&key, &count) in siblings.iter().zip(counts) {
            let own = (f64::from(count) - discounts.of(count)) / total;
            probabilities.push(own + backoff * lower.probability(without_first(key, order)));
            level.tokens.push(token_of(key));
        }
        level.push_siblings(&probabilities[start..]);
        contexts.backoffs[parent] = backoff as f32;
        start += siblings.len();
    }
    contexts.children[parent + 1..].fill(start as u32);
    (level, probabilities, contexts)
}
