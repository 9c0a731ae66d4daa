//! What a model knows of the tokens before the next one.

use veridraft_models::TokenId;

use super::file::Sections;
use super::{MAX_ORDER, NgramModel};

/// The latest tokens as a model sees them: for each length, the n-gram that they are, if it occurred in training.
///
/// The default is the empty context. A context is worth something to the model that made it alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NgramContext {
    /// At `k`, the index of the latest `k + 1` tokens among the n-grams of that length.
    nodes: [Option<u32>; MAX_ORDER - 1],
}

/// The tokens seen behind a context.
#[derive(Clone, Debug)]
pub(super) struct Followers<'a> {
    bytes: &'a [u8],
    sections: &'a Sections,
    start: usize,
    end: usize,
    /// What the context leaves to the shorter one.
    pub(super) backoff: f32,
}

impl<B: AsRef<[u8]>> NgramModel<B> {
    /// The context that `tokens` are; of more than the order uses, the latest count.
    pub fn context(&self, tokens: &[TokenId]) -> NgramContext {
        let used = &tokens[tokens.len().saturating_sub(self.order() - 1)..];
        used.iter().fold(NgramContext::default(), |context, &token| self.advance(&context, token))
    }

    /// The context with one more token.
    pub fn advance(&self, context: &NgramContext, token: TokenId) -> NgramContext {
        let mut nodes = [None; MAX_ORDER - 1];
        for (length, node) in nodes.iter_mut().enumerate().take(self.order() - 1) {
            let followers = match length.checked_sub(1) {
                None => Some(self.root()),
                Some(before) => context.nodes[before].map(|node| self.followers(before, node)),
            };
            *node = followers.and_then(|followers| followers.find(token)).map(|index| index as u32);
        }
        NgramContext { nodes }
    }

    /// What followed the context, the longest form of it that is known first and no context at all last.
    pub(super) fn matches(&self, context: &NgramContext) -> impl Iterator<Item = Followers<'_>> {
        let known = (0..self.order() - 1).rev().filter_map(|level| Some((level, context.nodes[level]?)));
        known.map(|(level, node)| self.followers(level, node)).chain([self.root()])
    }

    fn root(&self) -> Followers<'_> {
        let sections = &self.levels()[0];
        Followers { bytes: self.bytes(), sections, start: 0, end: sections.count, backoff: self.header().root_backoff }
    }

    /// What followed an n-gram of `level + 1` tokens, less than the order.
    fn followers(&self, level: usize, node: u32) -> Followers<'_> {
        let (bytes, parents) = (self.bytes(), &self.levels()[level]);
        let children = parents.children(bytes, node as usize);
        let backoff = parents.backoff(bytes, node as usize);
        Followers { bytes, sections: &self.levels()[level + 1], start: children.start, end: children.end, backoff }
    }
}

impl<'a> Followers<'a> {
    /// The index of the n-gram that ends in `token`.
    pub(super) fn find(&self, token: TokenId) -> Option<usize> {
        let (mut low, mut high) = (self.start, self.end);
        while low < high {
            let middle = low.midpoint(high);
            if self.sections.token(self.bytes, middle) < token { low = middle + 1 } else { high = middle }
        }
        (low < self.end && self.sections.token(self.bytes, low) == token).then_some(low)
    }

    /// p(token | context), if the token was seen behind it.
    pub(super) fn probability(&self, token: TokenId) -> Option<f64> {
        self.find(token).map(|index| f64::from(self.sections.probability(self.bytes, index)))
    }

    /// The tokens and their probabilities, the likeliest first.
    pub(super) fn ranked(&self) -> impl Iterator<Item = (TokenId, f64)> + use<'a> {
        let (bytes, sections, start) = (self.bytes, self.sections, self.start);
        (start..self.end).map(move |place| {
            let index = start + sections.rank(bytes, place) as usize;
            (sections.token(bytes, index), f64::from(sections.probability(bytes, index)))
        })
    }
}
