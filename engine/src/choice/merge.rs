//! The guesses of several drafters for one sequence, as one tree.
//!
//! What two of them agree on is one node, which counts for the one that is surer; where they differ the tree branches,
//! and the verification of one pass tries both.

use crate::drafters::{Draft, DraftNode};

/// A tree of guesses with their worth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guesses {
    pub(crate) draft: Draft,
    /// One a node of the draft.
    pub(crate) guesses: Vec<Guess>,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Guess {
    /// How likely the text goes this way.
    pub(crate) path: f64,
    /// The drafter's place among all.
    pub(crate) source: usize,
}

impl Guesses {
    /// Adds a drafter's proposal, `paths` being the worth of its nodes.
    pub(crate) fn add(&mut self, source: usize, draft: &Draft, paths: &[f64]) {
        let mut places: Vec<usize> = Vec::with_capacity(draft.nodes.len());
        for (node, &path) in draft.nodes.iter().zip(paths) {
            let parent = node.parent.map(|parent| places[parent]);
            let place = self.draft.child(parent, node.token).unwrap_or_else(|| {
                self.draft.nodes.push(DraftNode { parent, ..node.clone() });
                self.guesses.push(Guess { path: 0.0, source });
                self.guesses.len() - 1
            });
            if path > self.guesses[place].path {
                self.guesses[place] = Guess { path, source };
            }
            places.push(place);
        }
        self.keep_paths_falling();
    }

    /// Tokens that the text is expected to share with it.
    pub(crate) fn expected(&self) -> f64 {
        self.guesses.iter().map(|guess| guess.path).sum()
    }

    /// How many of its first nodes follow one another, at most `most`.
    pub(crate) fn leading_chain(&self, most: usize) -> usize {
        let nodes = self.draft.nodes.iter().enumerate().take(most);
        nodes.take_while(|(index, node)| node.parent == index.checked_sub(1)).count()
    }

    /// The nodes of `kept`, which has the parents of all its nodes, the likeliest way first and each way in one piece.
    ///
    /// Ways stay in their order where one was drawn: rejection sampling must try the drawn token before the others,
    /// because which tokens those are may depend on the draw.
    pub(crate) fn prune(&self, kept: &[usize]) -> Self {
        let mut is_kept = vec![false; self.guesses.len()];
        kept.iter().for_each(|&node| is_kept[node] = true);
        let mut pruned = Self::default();
        let mut open = vec![(None, None)];
        while let Some((node, parent)) = open.pop() {
            let place = node.map(|node: usize| {
                pruned.draft.nodes.push(DraftNode { parent, ..self.draft.nodes[node].clone() });
                pruned.guesses.push(self.guesses[node]);
                pruned.guesses.len() - 1
            });
            let mut children: Vec<_> = self.draft.children(node).filter(|&child| is_kept[child]).collect();
            if children.iter().all(|&child| self.draft.nodes[child].drawn_from.is_none()) {
                children.sort_by(|&a, &b| self.guesses[b].path.total_cmp(&self.guesses[a].path));
            }
            open.extend(children.into_iter().rev().map(|child| (Some(child), place)));
        }
        pruned
    }

    /// Two drafters may judge parent and child differently; no node is likelier than what it follows.
    pub(super) fn keep_paths_falling(&mut self) {
        for node in 0..self.guesses.len() {
            if let Some(parent) = self.draft.nodes[node].parent {
                self.guesses[node].path = self.guesses[node].path.min(self.guesses[parent].path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_one_node_and_difference_a_branch() {
        let mut guesses = Guesses::default();
        guesses.add(0, &Draft::chain([(1, 0.0), (2, 0.0), (3, 0.0)]), &[0.9, 0.5, 0.1]);
        guesses.add(1, &Draft::chain([(1, 0.0), (4, 0.0)]), &[0.95, 0.4]);
        assert_eq!(guesses.draft.check(10), Ok(()));
        let tokens: Vec<_> = guesses.draft.nodes.iter().map(|node| (node.token, node.parent)).collect();
        assert_eq!(tokens, [(1, None), (2, Some(0)), (3, Some(1)), (4, Some(0))]);
        let found: Vec<_> = guesses.guesses.iter().map(|guess| (guess.source, guess.path)).collect();
        assert_eq!(found, [(1, 0.95), (0, 0.5), (0, 0.1), (1, 0.4)]);
    }

    #[test]
    fn pruning_keeps_each_way_in_one_piece_and_the_likeliest_first() {
        let mut guesses = Guesses::default();
        guesses.add(0, &Draft::chain([(1, 0.0), (2, 0.0)]), &[0.3, 0.2]);
        guesses.add(1, &Draft::chain([(5, 0.0), (6, 0.0), (7, 0.0)]), &[0.6, 0.5, 0.4]);
        let pruned = guesses.prune(&[0, 1, 2, 3]);
        let tokens: Vec<_> = pruned.draft.nodes.iter().map(|node| (node.token, node.parent)).collect();
        assert_eq!(tokens, [(5, None), (6, Some(0)), (1, None), (2, Some(2))]);
        assert_eq!(pruned.draft.check(10), Ok(()));
        assert!(guesses.prune(&[]).guesses.is_empty());
    }

    #[test]
    fn a_drawn_token_stays_before_its_alternatives() {
        let mut draft = Draft::chain([(3, 0.4), (3, 0.4)]);
        draft.nodes[0].drawn_from = Some([0.25; 4].into());
        draft.nodes[1].parent = None;
        for (token, path) in [(1, 0.4), (2, 0.9)] {
            draft.nodes[1].token = token;
            let mut guesses = Guesses::default();
            guesses.add(0, &draft, &[0.4, path]);
            assert_eq!(guesses.prune(&[0, 1]).draft, draft);
        }
    }
}
