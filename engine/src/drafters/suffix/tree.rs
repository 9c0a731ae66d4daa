//! Grows a draft from what followed the sequence's end in several contexts, the likeliest path first.
//!
//! All contexts grow one tree: a node stands in every context that knows the path to it, and the surest of them says
//! how sure each token behind it is. So every node of the budget goes to the likeliest guess wherever it comes from,
//! where a tree for each index would spend rows on one that is right less often.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use veridraft_models::TokenId;

use super::super::{Draft, DraftNode, DraftRequest};
use super::context::Context;

/// The tree of at most `request.max_nodes` tokens with the likeliest paths from the sequence's end in `contexts`.
pub(super) fn grow(contexts: Vec<Context>, request: &DraftRequest) -> Draft {
    let mut growth =
        Growth { request, draft: Draft::default(), reached: Vec::new(), guesses: BinaryHeap::new(), made: 0 };
    growth.reach(Reached { contexts, depth: 0, probability: 1.0 });
    while growth.draft.nodes.len() < request.max_nodes {
        let Some(guess) = growth.guesses.pop() else { break };
        growth.take(&guess);
    }
    growth.draft
}

struct Growth<'a> {
    request: &'a DraftRequest,
    draft: Draft,
    /// The sequence's end, then one for each node of the draft.
    reached: Vec<Reached<'a>>,
    guesses: BinaryHeap<Guess>,
    /// Guesses made so far.
    made: usize,
}

/// The end of a path.
struct Reached<'a> {
    contexts: Vec<Context<'a>>,
    depth: usize,
    /// Of the path: the product of the confidences on it.
    probability: f32,
}

/// A token that may become a node.
struct Guess {
    token: TokenId,
    parent: Option<usize>,
    confidence: f32,
    /// Of the path with the token.
    probability: f32,
    /// Of equally probable guesses the one made first is taken first.
    number: usize,
}

impl<'a> Growth<'a> {
    /// Makes a guess a node.
    fn take(&mut self, guess: &Guess) {
        let &Guess { token, parent, confidence, probability, .. } = guess;
        self.draft.nodes.push(DraftNode { token, parent, confidence, drawn_from: None });
        let before = &self.reached[parent.map_or(0, |parent| parent + 1)];
        let contexts = before.contexts.iter().filter_map(|context| context.follow(token)).collect();
        let depth = before.depth + 1;
        self.reach(Reached { contexts, depth, probability });
    }

    /// Guesses what follows the newest node, or the sequence's end while there is none.
    fn reach(&mut self, reached: Reached<'a>) {
        if reached.depth < self.request.max_depth {
            let max_tokens = self.request.max_children.min(self.request.max_nodes);
            let parent = self.draft.nodes.len().checked_sub(1);
            for (token, confidence) in surest(&reached.contexts, max_tokens) {
                let probability = reached.probability * confidence;
                if probability < self.request.least_probability {
                    break;
                }
                self.guesses.push(Guess { token, parent, confidence, probability, number: self.made });
                self.made += 1;
            }
        }
        self.reached.push(reached);
    }
}

/// The tokens that any context guesses, `max_tokens` at most, each as sure as the surest of them, the surest first.
/// Of equally sure ones the first context's come first.
fn surest(contexts: &[Context], max_tokens: usize) -> Vec<(TokenId, f32)> {
    let guesses = contexts.iter().flat_map(|context| context.guesses(max_tokens)).enumerate();
    let mut guesses: Vec<_> = guesses.map(|(order, (token, confidence))| (token, confidence, order)).collect();
    let surer = |a: &(TokenId, f32, usize), b: &(TokenId, f32, usize)| b.1.total_cmp(&a.1).then(a.2.cmp(&b.2));
    guesses.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(surer(a, b)));
    guesses.dedup_by_key(|guess| guess.0);
    guesses.sort_unstable_by(surer);
    guesses.truncate(max_tokens);
    guesses.into_iter().map(|(token, confidence, _)| (token, confidence)).collect()
}

impl Ord for Guess {
    fn cmp(&self, other: &Self) -> Ordering {
        self.probability.total_cmp(&other.probability).then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Guess {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Guess {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Guess {}
