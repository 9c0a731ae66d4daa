//! Drafts from an n-gram model: what most often followed the latest tokens in some training text.
//!
//! A draft is the tree of the likeliest continuations. Best first: of all tokens that could be added, the one goes in
//! whose path is the most probable, so that of all trees of that size it holds the most expected acceptances, if the
//! model is right (Wang et al. 2024, "OPT-Tree", grow a tree by the same rule).

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use veridraft_models::TokenId;

use super::{Draft, DraftNode, DraftRequest, Drafter};
use crate::ngram::{NgramContext, NgramModel};
use crate::{Result, SequenceId};

/// Drafts by an n-gram model's probabilities. Of a sequence it keeps the context alone: its last tokens, looked up.
#[derive(Debug)]
pub struct NgramDrafter<B> {
    model: Arc<NgramModel<B>>,
    sequences: HashMap<SequenceId, NgramContext>,
}

/// A draft that grows, and the tokens that could be added next.
struct Growth<'a, B> {
    model: &'a NgramModel<B>,
    request: &'a DraftRequest,
    draft: Draft,
    open: BinaryHeap<Candidate>,
}

/// A token that could be added.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: TokenId,
    parent: Option<usize>,
    /// Tokens on the way to it, itself included.
    depth: usize,
    /// p(token | what stands before it).
    confidence: f64,
    /// The product of the confidences on the way to it, its own included.
    path: f64,
    /// What stands before it.
    context: NgramContext,
}

impl<B: AsRef<[u8]>> NgramDrafter<B> {
    /// A drafter without sequences.
    pub fn new(model: Arc<NgramModel<B>>) -> Self {
        Self { model, sequences: HashMap::new() }
    }

    fn draft(&self, context: &NgramContext, request: &DraftRequest) -> Draft {
        let (draft, open) = (Draft::default(), BinaryHeap::new());
        let mut growth = Growth { model: &self.model, request, draft, open };
        growth.open_children(context, None, 1, 1.0);
        while growth.draft.nodes.len() < request.max_nodes
            && let Some(best) = growth.open.pop()
        {
            growth.take(&best);
        }
        growth.draft
    }
}

impl<B: AsRef<[u8]>> Growth<'_, B> {
    fn take(&mut self, best: &Candidate) {
        let Candidate { token, parent, depth, confidence, path, context } = *best;
        self.draft.nodes.push(DraftNode { token, parent, confidence: confidence as f32, drawn_from: None });
        // The last node needs no children; looking them up would cost as much as those of any other.
        if self.draft.nodes.len() < self.request.max_nodes {
            let parent = Some(self.draft.nodes.len() - 1);
            self.open_children(&self.model.advance(&context, token), parent, depth + 1, path);
        }
    }

    fn open_children(&mut self, context: &NgramContext, parent: Option<usize>, depth: usize, path_before: f64) {
        if depth > self.request.max_depth {
            return;
        }
        let children = self.request.max_children.min(self.request.max_nodes);
        for (token, confidence) in self.model.successors_after(context, children) {
            let path = path_before * confidence;
            // The siblings that come after are less likely still.
            if path < f64::from(self.request.least_probability) {
                return;
            }
            self.open.push(Candidate { token, parent, depth, confidence, path, context: *context });
        }
    }
}

impl<B: AsRef<[u8]> + Send + Sync> Drafter for NgramDrafter<B> {
    fn name(&self) -> &'static str {
        "ngram"
    }

    fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]) {
        let context = self.sequences.entry(sequence).or_default();
        // Tokens older than a context is long would be forgotten again.
        let used = &tokens[tokens.len().saturating_sub(self.model.order() - 1)..];
        *context = used.iter().fold(*context, |context, &token| self.model.advance(&context, token));
    }

    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>> {
        let draft = |request: &DraftRequest| {
            let context = self.sequences.get(&request.sequence)?;
            Some(self.draft(context, request))
        };
        Ok(wanted.iter().map(|request| draft(request).unwrap_or_default()).collect())
    }

    fn release(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence);
    }
}

/// The greater goes in first: the more probable path; of equal ones the child of the earlier node; of siblings the
/// likelier, then the lower token.
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let parents = || other.parent.cmp(&self.parent);
        let siblings = || self.confidence.total_cmp(&other.confidence).then(other.token.cmp(&self.token));
        self.path.total_cmp(&other.path).then_with(parents).then_with(siblings)
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ngram::{NgramConfig, train};

    const SEQUENCE: SequenceId = SequenceId(1);

    fn drafter(documents: &[Vec<TokenId>], order: usize, vocabulary: usize) -> NgramDrafter<Vec<u8>> {
        let config = NgramConfig { order, vocabulary, tokenizer: [0; 32] };
        NgramDrafter::new(Arc::new(train(documents, &config).expect("the text is sound")))
    }

    fn propose<B: AsRef<[u8]> + Send + Sync>(drafter: &mut NgramDrafter<B>, request: DraftRequest) -> Draft {
        let mut drafts = drafter.propose(&[request]).expect("an n-gram model never fails");
        assert_eq!(drafts.len(), 1);
        drafts.remove(0)
    }

    /// The probabilities of all paths that a draft may hold, the most probable first.
    fn allowed_paths(model: &NgramModel<Vec<u8>>, context: &[TokenId], request: &DraftRequest) -> Vec<f64> {
        let mut all = Vec::new();
        let mut ends = vec![(context.to_vec(), 1.0)];
        for _ in 0..request.max_depth {
            let longer = |(tokens, path): &(Vec<TokenId>, f64)| {
                let successors = model.successors(tokens, request.max_children);
                let tokens = tokens.clone();
                let path = *path;
                successors
                    .into_iter()
                    .map(move |(token, confidence)| ([&tokens[..], &[token]].concat(), path * confidence))
            };
            ends = ends
                .iter()
                .flat_map(longer)
                .filter(|(_, path)| *path >= f64::from(request.least_probability))
                .collect();
            all.extend(ends.iter().map(|(_, path)| *path));
        }
        all.sort_by(|one, other| other.total_cmp(one));
        all.truncate(request.max_nodes);
        all
    }

    /// The probability of the path to each node of a draft.
    fn paths(draft: &Draft) -> Vec<f64> {
        let mut paths: Vec<f64> = Vec::new();
        for node in &draft.nodes {
            paths.push(f64::from(node.confidence) * node.parent.map_or(1.0, |parent| paths[parent]));
        }
        paths
    }

    proptest! {
        #[test]
        fn a_draft_is_the_tree_of_the_most_probable_paths(
            documents in vec(vec(0_u32..8, 0..30), 1..4),
            prompt in vec(0_u32..9, 0..6),
            order in 1..=4_usize,
            (max_depth, max_nodes, max_children) in (0..5_usize, 0..12_usize, 0..4_usize),
            least_probability in prop_oneof![Just(0.0_f32), 0.0..0.3_f32],
        ) {
            let mut drafter = drafter(&documents, order, 10);
            let (start, rest) = prompt.split_at(prompt.len() / 2);
            drafter.extend(SEQUENCE, start);
            drafter.extend(SEQUENCE, rest);
            let request = DraftRequest { max_nodes, max_children, least_probability, ..DraftRequest::chain(SEQUENCE, max_depth) };
            let draft = propose(&mut drafter, request);
            prop_assert_eq!(draft.check(10), Ok(()));
            let (found, expected) = (paths(&draft), allowed_paths(&drafter.model, &prompt, &request));
            prop_assert_eq!(found.len(), expected.len());
            prop_assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
            for parent in (0..draft.nodes.len()).map(Some).chain([None]) {
                let siblings: Vec<_> = draft.children(parent).map(|index| draft.nodes[index].confidence).collect();
                prop_assert!(siblings.len() <= max_children && siblings.is_sorted_by(|one, other| one >= other));
            }
        }
    }

    #[test]
    fn a_chain_goes_where_the_text_went_most_often() {
        let mut drafter = drafter(&[vec![1, 2, 3, 4, 9, 1, 2, 3, 5, 1, 2, 3, 4, 8]], 3, 10);
        drafter.extend(SEQUENCE, &[7, 1]);
        let draft = propose(&mut drafter, DraftRequest::chain(SEQUENCE, 3));
        assert!(draft.is_chain());
        assert_eq!(draft.nodes.iter().map(|node| node.token).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn sequences_are_apart_and_a_released_one_is_forgotten() {
        let mut drafter = drafter(&[vec![1, 2, 1, 2, 3, 4, 3, 4]], 2, 10);
        drafter.extend(SEQUENCE, &[1]);
        drafter.extend(SequenceId(2), &[3]);
        assert_eq!(propose(&mut drafter, DraftRequest::chain(SEQUENCE, 1)).nodes[0].token, 2);
        assert_eq!(propose(&mut drafter, DraftRequest::chain(SequenceId(2), 1)).nodes[0].token, 4);
        drafter.release(SEQUENCE);
        assert!(propose(&mut drafter, DraftRequest::chain(SEQUENCE, 1)).nodes.is_empty());
        assert_eq!(drafter.sequences.len(), 1);
    }

    #[test]
    #[ignore = "prints times: 2 to 4 us for a draft of 8 nodes, in the dev profile"]
    fn a_draft_takes_microseconds() {
        // Frequencies fall as 1 / rank, as those of words do, and a token depends on the one before.
        let (mut state, mut last) = (1_u64, 0);
        let text: Vec<TokenId> = (0..400_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let uniform = (state >> 33) as f64 / f64::from(1_u32 << 31);
                last = ((40_000_f64.powf(uniform) - 1.0) as u32 + last / 16) % 40_000;
                last
            })
            .collect();
        let start = Instant::now();
        let mut drafter = drafter(std::slice::from_ref(&text), 4, 49_152);
        println!("training on {} tokens: {:.2?}", text.len(), start.elapsed());
        for (max_children, max_depth) in [(1, 8), (3, 4), (8, 8)] {
            let request = DraftRequest { max_nodes: 8, max_children, ..DraftRequest::chain(SEQUENCE, max_depth) };
            let (mut nodes, start) = (0, Instant::now());
            for &token in &text[..10_000] {
                drafter.extend(SEQUENCE, &[token]);
                nodes += propose(&mut drafter, request).nodes.len();
            }
            println!("{max_children} children: {:.2?} a draft, {nodes} nodes in all", start.elapsed() / 10_000);
        }
    }
}
