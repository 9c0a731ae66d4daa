//! One draft while it grows: a chain of chosen tokens, with alternatives as leaves beside it.

use veridraft_models::TokenId;

use super::choice::{Choice, Chooser, Place};
use crate::drafters::{Draft, DraftNode, DraftRequest};
use crate::sampling::History;

/// The chain so far, and what could stand beside it.
pub(super) struct Path<'call> {
    request: &'call DraftRequest,
    /// That of the committed tokens, then of the chain; a copy, so that there is nothing to undo.
    history: History,
    /// Where the next token stands.
    place: Place,
    /// Tokens of the chain, at most.
    depth: usize,
    /// The product of the chain's confidences.
    probability: f32,
    chain: Vec<DraftNode>,
    leaves: Vec<Leaf>,
}

struct Leaf {
    node: DraftNode,
    /// The product of the confidences on the way to it, its own included.
    probability: f32,
}

impl<'call> Path<'call> {
    /// A draft of no tokens that may become `depth` long, behind so many `committed` ones.
    pub(super) fn new(request: &'call DraftRequest, history: &History, committed: u32, depth: usize) -> Self {
        let (history, place) = (history.clone(), Place { position: committed, committed });
        Self { request, history, place, depth, probability: 1.0, chain: Vec::new(), leaves: Vec::new() }
    }

    /// Takes the logits behind the chain, cut to the target's vocabulary; returns the token whose logits are wanted
    /// next, or `None` when the chain is at its end.
    pub(super) fn grow(&mut self, chooser: &mut Chooser, logits: &[f32], vocabulary: usize) -> Option<TokenId> {
        // Nothing to choose from: a model without logits for the target's tokens.
        if logits.is_empty() {
            return None;
        }
        let alternatives = self.request.max_children.saturating_sub(1);
        let choice = chooser.choose(logits, &self.history, self.place, alternatives, vocabulary);
        self.add_leaves(&choice);
        let probability = self.probability * choice.confidence;
        if probability < self.request.least_probability {
            return None;
        }
        let parent = self.chain.len().checked_sub(1);
        let Choice { token, confidence, drawn_from, .. } = choice;
        self.chain.push(DraftNode { token, parent, confidence, drawn_from });
        self.probability = probability;
        self.history.push_output(token);
        self.place.position += 1;
        (self.chain.len() < self.depth && probability >= self.request.least_to_go_on).then_some(token)
    }

    /// The chain, then the likeliest leaves, as many as nodes are left.
    pub(super) fn into_draft(mut self) -> Draft {
        self.leaves.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let left = self.request.max_nodes.saturating_sub(self.chain.len());
        self.chain.extend(self.leaves.into_iter().take(left).map(|leaf| leaf.node));
        Draft { nodes: self.chain }
    }

    fn add_leaves(&mut self, choice: &Choice) {
        let parent = self.chain.len().checked_sub(1);
        for &(token, confidence) in &choice.alternatives {
            let probability = self.probability * confidence;
            if probability >= self.request.least_probability {
                let node = DraftNode { token, parent, confidence, drawn_from: None };
                self.leaves.push(Leaf { node, probability });
            }
        }
    }
}
