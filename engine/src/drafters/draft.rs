//! What a drafter proposes: a tree of tokens behind the committed ones.
//!
//! ```text
//! committed ... t ─┬─ 0 ── 1 ── 3        nodes    0     1     2     3     4
//!                  └─ 2 ── 4             parent   None  0     None  1     2
//! ```

use std::sync::Arc;

use veridraft_models::TokenId;

use super::DraftRequest;

/// A tree of proposed tokens; a chain where each node follows the one before.
///
/// Parents stand before their children, and children of one parent hold different tokens, a drawn one first,
/// then the likelier before the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The nodes; none where the drafter has nothing to propose.
    pub nodes: Vec<DraftNode>,
}

/// One proposed token.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftNode {
    /// The token.
    pub token: TokenId,
    /// The node it follows; `None` when it follows the last committed token.
    pub parent: Option<usize>,
    /// How sure the drafter is that the target puts this token behind the parent, 0 to 1. What it is worth is
    /// measured; all that is asked of it is that surer guesses are right more often.
    pub confidence: f32,
    /// The distribution that the token was drawn from, `[vocabulary]`, for rejection sampling; `None` for a token that
    /// was not drawn but chosen.
    pub drawn_from: Option<Arc<[f32]>>,
}

impl Draft {
    /// Tokens one behind the other, each with its confidence.
    pub fn chain(tokens: impl IntoIterator<Item = (TokenId, f32)>) -> Self {
        let node = |(index, (token, confidence)): (usize, (TokenId, f32))| DraftNode {
            token,
            parent: index.checked_sub(1),
            confidence,
            drawn_from: None,
        };
        Self { nodes: tokens.into_iter().enumerate().map(node).collect() }
    }

    /// The child of `parent` that holds `token`.
    pub fn child(&self, parent: Option<usize>, token: TokenId) -> Option<usize> {
        self.children(parent).find(|&index| self.nodes[index].token == token)
    }

    /// The nodes that follow `parent`, in order.
    pub fn children(&self, parent: Option<usize>) -> impl Iterator<Item = usize> {
        let first = parent.map_or(0, |parent| parent + 1);
        (first..self.nodes.len()).filter(move |&index| self.nodes[index].parent == parent)
    }

    /// Levels: tokens one behind the other.
    pub fn depth(&self) -> usize {
        self.levels().into_iter().max().unwrap_or(0)
    }

    /// The level of each node, that of the first tokens being 1.
    pub(crate) fn levels(&self) -> Vec<usize> {
        let mut levels: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            levels.push(node.parent.map_or(1, |parent| levels[parent] + 1));
        }
        levels
    }

    /// Whether each node follows the one before.
    pub fn is_chain(&self) -> bool {
        self.nodes.iter().enumerate().all(|(index, node)| node.parent == index.checked_sub(1))
    }

    /// Whether some of its tokens were drawn.
    pub(crate) fn is_drawn(&self) -> bool {
        self.nodes.iter().any(|node| node.drawn_from.is_some())
    }

    /// Cuts what is more than was asked for: levels, nodes from the last on, alternatives.
    pub(crate) fn truncate(&mut self, request: &DraftRequest) {
        let mut places: Vec<Option<(usize, usize)>> = Vec::with_capacity(self.nodes.len());
        let mut kept: Vec<DraftNode> = Vec::new();
        for node in self.nodes.drain(..) {
            let parent = node.parent.map(|parent| places[parent]);
            let depth = match parent {
                Some(None) => usize::MAX,
                Some(Some((_, depth))) => depth + 1,
                None => 1,
            };
            let parent = parent.flatten().map(|(place, _)| place);
            let siblings = kept.iter().filter(|kept| kept.parent == parent).count();
            let fits = depth <= request.max_depth && kept.len() < request.max_nodes && siblings < request.max_children;
            places.push(fits.then_some((kept.len(), depth)));
            if fits {
                kept.push(DraftNode { parent, ..node });
            }
        }
        self.nodes = kept;
    }

    /// Cuts every path behind as many of its tokens as `accepted` says, and one more if that one was drawn: rejection
    /// sampling must try and reject it, or what would else follow the rejection comes from the wrong distribution.
    pub(crate) fn keep_paths(&mut self, mut accepted: impl FnMut(&[TokenId]) -> usize) {
        let is_leaf = |leaf: &usize| self.children(Some(*leaf)).next().is_none();
        let mut is_kept = vec![false; self.nodes.len()];
        for leaf in (0..self.nodes.len()).filter(is_leaf) {
            let mut path: Vec<_> = std::iter::successors(Some(leaf), |&node| self.nodes[node].parent).collect();
            path.reverse();
            let tokens: Vec<_> = path.iter().map(|&node| self.nodes[node].token).collect();
            let is_drawn = |&node: &usize| self.nodes[node].drawn_from.is_some();
            let accepted = accepted(&tokens).min(path.len());
            let kept = accepted + usize::from(path.get(accepted).is_some_and(is_drawn));
            path[..kept].iter().for_each(|&node| is_kept[node] = true);
        }
        let mut places: Vec<usize> = Vec::with_capacity(self.nodes.len());
        let mut kept: Vec<DraftNode> = Vec::new();
        for (node, is_kept) in std::mem::take(&mut self.nodes).into_iter().zip(is_kept) {
            places.push(kept.len());
            if is_kept {
                kept.push(DraftNode { parent: node.parent.map(|parent| places[parent]), ..node });
            }
        }
        self.nodes = kept;
    }

    /// Says what breaks the order of parents or the difference of siblings, or which token is not below `vocabulary`.
    pub fn check(&self, vocabulary: usize) -> Result<(), String> {
        for (index, node) in self.nodes.iter().enumerate() {
            if node.parent.is_some_and(|parent| parent >= index) {
                return Err(format!("node {index} follows node {:?}, expected one before it", node.parent));
            }
            if node.token as usize >= vocabulary {
                return Err(format!("node {index} is token {}, expected less than {vocabulary}", node.token));
            }
            if !(0.0..=1.0).contains(&node.confidence) {
                return Err(format!("node {index} has a confidence of {}, expected 0 to 1", node.confidence));
            }
            if self.child(node.parent, node.token) != Some(index) {
                return Err(format!("node {index} repeats token {} of a sibling", node.token));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SequenceId;

    fn tree(nodes: &[(TokenId, Option<usize>)]) -> Draft {
        let node = |&(token, parent)| DraftNode { token, parent, confidence: 0.5, drawn_from: None };
        Draft { nodes: nodes.iter().map(node).collect() }
    }

    #[test]
    fn children_are_found_by_token() {
        let draft = tree(&[(7, None), (8, Some(0)), (9, None), (8, Some(2)), (7, Some(2))]);
        assert_eq!(draft.children(None).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(draft.children(Some(2)).collect::<Vec<_>>(), [3, 4]);
        assert_eq!([draft.child(Some(2), 7), draft.child(Some(0), 7), draft.child(None, 9)], [Some(4), None, Some(2)]);
        assert!(!draft.is_chain());
        assert!(Draft::chain([(1, 0.5), (1, 0.5)]).is_chain());
        assert!(Draft::default().is_chain());
    }

    #[test]
    fn more_than_was_asked_for_is_cut_with_what_follows_it() {
        let check = |max_depth, max_nodes, max_children, expected: &[(TokenId, Option<usize>)]| {
            let mut draft = tree(&[(7, None), (8, Some(0)), (9, None), (8, Some(2)), (7, Some(2)), (5, Some(1))]);
            draft.truncate(&DraftRequest { max_nodes, max_children, ..DraftRequest::chain(SequenceId(0), max_depth) });
            assert_eq!(draft, tree(expected));
        };
        check(1, 9, 2, &[(7, None), (9, None)]);
        check(3, 9, 1, &[(7, None), (8, Some(0)), (5, Some(1))]);
        check(2, 4, 2, &[(7, None), (8, Some(0)), (9, None), (8, Some(2))]);
        check(3, 9, 9, &[(7, None), (8, Some(0)), (9, None), (8, Some(2)), (7, Some(2)), (5, Some(1))]);
    }

    #[test]
    fn each_path_is_cut_where_it_is_no_longer_accepted() {
        let mut draft = tree(&[(7, None), (8, Some(0)), (9, None), (8, Some(2)), (7, Some(2)), (5, Some(1))]);
        draft.keep_paths(|tokens| match tokens {
            [7, 8, 5] => 2,
            [9, 8] => 0,
            [9, 7] => 1,
            other => panic!("no path: {other:?}"),
        });
        assert_eq!(draft, tree(&[(7, None), (8, Some(0)), (9, None)]));
    }

    #[test]
    fn a_drawn_token_that_is_not_accepted_stays_to_be_rejected() {
        let mut draft = tree(&[(7, None), (8, Some(0)), (9, Some(1)), (5, Some(0))]);
        draft.nodes[..3].iter_mut().for_each(|node| node.drawn_from = Some([0.1; 10].into()));
        let expected = draft.nodes[..2].to_vec();
        draft.keep_paths(|_| 1);
        assert_eq!(draft.nodes, expected);
    }

    #[test]
    fn a_broken_draft_is_found_out() {
        let check = |nodes: &[(TokenId, Option<usize>)], expected: &str| {
            assert_eq!(tree(nodes).check(10).err().as_deref().unwrap_or("fine"), expected);
        };
        check(&[(1, None), (2, None), (1, Some(0)), (1, Some(1))], "fine");
        check(&[(1, None), (2, Some(1))], "node 1 follows node Some(1), expected one before it");
        check(&[(10, None)], "node 0 is token 10, expected less than 10");
        check(&[(1, None), (1, None)], "node 1 repeats token 1 of a sibling");
        let found = Draft::chain([(1, f32::NAN)]).check(10);
        assert_eq!(found, Err("node 0 has a confidence of NaN, expected 0 to 1".to_owned()));
    }
}
