//! What one call of the draft model takes and gives; whole lives of sequences are in `random`.

mod random;
mod rejection;

use veridraft_models::TokenId;

use super::DraftModel;
use super::scripted::{Scripted, mix};
use crate::drafters::{Draft, DraftRequest, Drafter};
use crate::sampling::SamplingConfig;
use crate::{Request, SequenceId, Verification};

/// A deterministic source of choices.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = mix(self.0);
        (self.0 % bound as u64) as usize
    }

    fn tokens(&mut self, count: usize) -> Vec<TokenId> {
        (0..count).map(|_| self.below(12) as TokenId).collect()
    }
}

fn chain(draft: &Draft) -> Vec<TokenId> {
    let mut tokens = Vec::new();
    let mut parent = None;
    while let Some(node) = draft.children(parent).next() {
        tokens.push(draft.nodes[node].token);
        parent = Some(node);
    }
    tokens
}

/// A drafter with greedy sequences of these prompts, and the model to look into.
fn begun(model: &Scripted, prompts: &[Vec<TokenId>]) -> DraftModel {
    let mut drafter = DraftModel::new(Box::new(model.clone()), model.vocabulary);
    for (id, prompt) in (0..).map(SequenceId).zip(prompts) {
        drafter.begin(id, &Request::new(prompt.clone(), 100));
        drafter.extend(id, prompt);
    }
    drafter
}

fn rows_of(model: &Scripted, run: impl FnOnce()) -> Vec<usize> {
    model.log.lock().unwrap().rows.clear();
    run();
    std::mem::take(&mut model.log.lock().unwrap().rows)
}

#[test]
fn drafts_for_many_sequences_share_their_forwards() {
    let model = Scripted::new(4, 100);
    let prompts: Vec<_> = (0..4).map(|n| Choices(n).tokens(3 + n as usize)).collect();
    let mut drafter = begun(&model, &prompts);
    let wanted: Vec<_> = (0..4).map(|id| DraftRequest::chain(SequenceId(id), 5)).collect();
    let mut drafts = Vec::new();
    // 3 + 4 + 5 + 6 rows are two forwards of at most 16; then one row a sequence.
    assert_eq!(rows_of(&model, || drafts = drafter.propose(&wanted).unwrap()), [16, 2, 4, 4, 4, 4]);
    for (id, draft) in (0..).map(SequenceId).zip(&drafts) {
        let mut tokens = chain(draft);
        tokens.push(7);
        drafter.extend(id, &tokens);
    }
    // All drafts stood: what is left is the last drafted token, which had no row, and the one behind it.
    assert_eq!(rows_of(&model, || drafts = drafter.propose(&wanted).unwrap()), [8, 4, 4, 4, 4]);
    for id in (0..4).map(SequenceId) {
        drafter.extend(id, &[11 - drafts[id.0 as usize].nodes[0].token]);
    }
    assert_eq!(rows_of(&model, || drafts = drafter.propose(&wanted).unwrap()), [4, 4, 4, 4, 4]);
}

#[test]
fn the_cache_idle_longest_is_given_up_first() {
    // Three sequences of 8 tokens fill six blocks of 4 to the last.
    let model = Scripted::new(4, 6);
    let mut drafter = begun(&model, &[vec![1; 8], vec![2; 8], vec![3; 8], vec![4; 8]]);
    let mut rows = |id| rows_of(&model, || drop(drafter.propose(&[DraftRequest::chain(SequenceId(id), 1)]).unwrap()));
    assert_eq!([rows(0), rows(1), rows(2)], [[8], [8], [8]]);
    assert_eq!(rows(0), [1], "its last token alone");
    assert_eq!(rows(3), [8], "the second gives up its blocks");
    assert_eq!([rows(0), rows(2), rows(3)], [[1], [1], [1]]);
    assert_eq!([rows(1), rows(2)], [[8], [1]]);
    assert_eq!(rows(0), [8]);
}

#[test]
fn sequences_without_room_get_no_draft_and_the_last_with_room_a_shorter_one() {
    let model = Scripted::new(4, 5);
    let mut drafter = begun(&model, &[vec![1; 8], vec![2; 6], vec![3; 4]]);
    let wanted: Vec<_> = (0..3).map(|id| DraftRequest::chain(SequenceId(id), 5)).collect();
    let lengths = |drafts: Vec<Draft>| drafts.iter().map(|draft| draft.nodes.len()).collect::<Vec<_>>();
    // 8 + 4 rows are three blocks; two are left for 6 + 2 rows.
    assert_eq!(lengths(drafter.propose(&wanted).unwrap()), [5, 3, 0]);
    assert_eq!(lengths(drafter.propose(&wanted[2..]).unwrap()), [5]);
    drafter.check().unwrap();
}

#[test]
fn a_sequence_longer_than_the_context_gets_no_draft() {
    let mut model = Scripted::new(4, 50);
    model.limits.context_length = 10;
    for (length, expected) in [(8, 3), (10, 1), (11, 0)] {
        let mut drafter = begun(&model, &[vec![1; length]]);
        let drafts = drafter.propose(&[DraftRequest::chain(SequenceId(0), 5)]).unwrap();
        assert_eq!(drafts[0].nodes.len(), expected, "{length} tokens");
    }
}

#[test]
fn an_unlikely_token_is_neither_proposed_nor_followed() {
    let model = Scripted::new(4, 50);
    let wanted = |least_probability| [DraftRequest { least_probability, ..DraftRequest::chain(SequenceId(0), 9) }];
    let all = begun(&model, &[vec![1, 2, 3]]).propose(&wanted(0.0)).unwrap().remove(0);
    let probability = |nodes: usize| all.nodes[..nodes].iter().map(|node| node.confidence).product::<f32>();
    for kept in 0..9 {
        let mut drafter = begun(&model, &[vec![1, 2, 3]]);
        let mut draft = Draft::default();
        let bound = (probability(kept) + probability(kept + 1)) / 2.0;
        let rows = rows_of(&model, || draft = drafter.propose(&wanted(bound)).unwrap().remove(0));
        assert_eq!(draft.nodes, all.nodes[..kept]);
        assert_eq!(rows.len(), kept + 1, "the forward that found the unlikely token is the last");
    }
}

#[test]
fn a_token_too_unlikely_to_go_on_behind_is_still_proposed() {
    let model = Scripted::new(4, 50);
    let wanted = |least_to_go_on| [DraftRequest { least_to_go_on, ..DraftRequest::chain(SequenceId(0), 9) }];
    let all = begun(&model, &[vec![1, 2, 3]]).propose(&wanted(0.0)).unwrap().remove(0);
    let probability = |nodes: usize| all.nodes[..nodes].iter().map(|node| node.confidence).product::<f32>();
    for kept in 1..9 {
        let mut drafter = begun(&model, &[vec![1, 2, 3]]);
        let mut draft = Draft::default();
        let bound = (probability(kept - 1) + probability(kept)) / 2.0;
        let rows = rows_of(&model, || draft = drafter.propose(&wanted(bound)).unwrap().remove(0));
        assert_eq!(draft.nodes, all.nodes[..kept]);
        assert_eq!(rows.len(), kept, "no forward behind it");
    }
}

#[test]
fn tokens_outside_the_targets_vocabulary_are_never_proposed() {
    let model = Scripted::new(4, 50);
    for verification in [Verification::Coupled, Verification::Rejection] {
        let mut request = Request { verification, ..Request::new(vec![1, 2], 100) };
        request.sampling = SamplingConfig { temperature: 5.0, ..Default::default() };
        let wanted = [DraftRequest { max_nodes: 60, max_children: 3, ..DraftRequest::chain(SequenceId(0), 30) }];
        let propose = |target_vocabulary| {
            let mut drafter = DraftModel::new(Box::new(model.clone()), target_vocabulary);
            drafter.begin(SequenceId(0), &request);
            drafter.extend(SequenceId(0), &[1, 2]);
            drafter.propose(&wanted).unwrap().remove(0)
        };
        let less = propose(9);
        less.check(9).unwrap();
        assert!(less.nodes.iter().any(|node| node.token == 8), "{less:?}");
        let more = propose(15);
        more.check(12).unwrap();
        let padded = |node: &crate::drafters::DraftNode| node.drawn_from.as_ref().is_none_or(|q| q[12..] == [0.0; 3]);
        assert!(more.nodes.iter().all(padded));
    }
}

#[test]
fn a_sequence_with_a_token_that_the_draft_model_lacks_gets_no_drafts() {
    let model = Scripted::new(4, 50);
    let mut drafter = begun(&model, &[vec![1, 2], vec![1, 12]]);
    let wanted = [DraftRequest::chain(SequenceId(0), 2), DraftRequest::chain(SequenceId(1), 2)];
    let drafts = drafter.propose(&wanted).unwrap();
    assert_eq!(drafts.iter().map(|draft| draft.nodes.len()).collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn sequences_that_are_not_known_or_named_twice_get_no_drafts() {
    let model = Scripted::new(4, 50);
    let mut drafter = begun(&model, &[vec![1, 2]]);
    drafter.extend(SequenceId(8), &[1]);
    let wanted = [0, 8, 9, 0].map(|id| DraftRequest::chain(SequenceId(id), 2));
    let drafts = drafter.propose(&wanted).unwrap();
    assert_eq!(drafts.iter().map(|draft| draft.nodes.len()).collect::<Vec<_>>(), [2, 0, 0, 0]);
    drafter.release(SequenceId(9));
    drafter.check().unwrap();
}

#[test]
fn alternatives_are_the_runners_up_and_the_likeliest_fill_what_the_chain_leaves() {
    let model = Scripted::new(4, 50);
    let wanted = |max_nodes| [DraftRequest { max_nodes, max_children: 3, ..DraftRequest::chain(SequenceId(0), 3) }];
    let mut drafter = begun(&model, &[vec![1, 2, 3]]);
    let draft = drafter.propose(&wanted(20)).unwrap().remove(0);
    assert_eq!(draft.nodes.len(), 9);
    let mut ranked: Vec<_> = (0..).zip(model.scores(&[1, 2, 3])).collect();
    ranked.sort_by(|a: &(TokenId, f32), b| b.1.total_cmp(&a.1));
    let first: Vec<_> = draft.children(None).map(|node| draft.nodes[node].token).collect();
    assert_eq!(first, [ranked[0].0, ranked[1].0, ranked[2].0]);
    let probability = |mut node: usize| {
        let mut product = draft.nodes[node].confidence;
        while let Some(parent) = draft.nodes[node].parent {
            product *= draft.nodes[parent].confidence;
            node = parent;
        }
        product
    };
    assert!((3..9).map(probability).is_sorted_by(|a, b| a >= b));
    let fewer = drafter.propose(&wanted(5)).unwrap().remove(0);
    assert_eq!(fewer.nodes, draft.nodes[..5]);
}
