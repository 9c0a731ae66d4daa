//! Random calls against plain decoding, against fresh drafters, and against what the pool may hold.

use std::collections::BTreeMap;

use veridraft_models::TokenId;

use super::super::DraftModel;
use super::super::scripted::Scripted;
use super::{Choices, chain};
use crate::drafters::{Draft, DraftRequest, Drafter};
use crate::sampling::{History, Sampler};
use crate::{Request, SequenceId, Verification};

impl Choices {
    fn request(&mut self) -> Request {
        let prompt_length = 1 + self.below(20);
        let mut request = Request::new(self.tokens(prompt_length), 100);
        request.sampling.seed = self.below(1000) as u64;
        if self.below(3) > 0 {
            request.sampling.temperature = [0.5, 1.0][self.below(2)];
            request.sampling.top_k = [0, 1, 5][self.below(3)];
            request.sampling.top_p = [1.0, 0.9][self.below(2)];
        }
        if self.below(3) == 0 {
            request.sampling.repetition_penalty = 1.3;
            request.sampling.frequency_penalty = 0.7;
        }
        request.verification = [Verification::Coupled, Verification::Rejection, Verification::Typical][self.below(3)];
        request
    }
}

/// The slow obvious model: a sequence decoded token by token.
struct Plain {
    request: Request,
    tokens: Vec<TokenId>,
}

impl Plain {
    /// The next `count` tokens of plain decoding.
    fn continuation(&self, model: &Scripted, count: usize) -> Vec<TokenId> {
        let mut tokens = self.tokens.clone();
        let mut history = History::new(&self.request.sampling);
        let (prompt, output) = tokens.split_at(self.request.prompt.len());
        history.extend_prompt(prompt);
        output.iter().for_each(|&token| history.push_output(token));
        let mut sampler = Sampler::new(self.request.sampling.clone()).unwrap();
        for _ in 0..count {
            let token = sampler.sample(&model.scores(&tokens), &history, tokens.len() as u32);
            history.push_output(token);
            tokens.push(token);
        }
        tokens.split_off(self.tokens.len())
    }
}

fn fresh(model: &Scripted, sequences: &BTreeMap<SequenceId, Plain>) -> DraftModel {
    let mut model = model.clone();
    model.log = Default::default();
    let vocabulary = model.vocabulary;
    let mut drafter = DraftModel::new(Box::new(model), vocabulary);
    for (&id, plain) in sequences {
        drafter.begin(id, &plain.request);
        drafter.extend(id, &plain.tokens);
    }
    drafter
}

/// Random calls; after each the pool is whole, and each draft is that of a fresh drafter and of plain decoding.
fn check_random_calls(model: Scripted, seed: u64, calls: usize) -> usize {
    let mut choices = Choices(seed);
    let mut drafter = DraftModel::new(Box::new(model.clone()), model.vocabulary);
    let mut sequences: BTreeMap<SequenceId, Plain> = BTreeMap::new();
    let mut drafted = 0;
    for call in 0..calls {
        if sequences.len() < 5 && choices.below(2) == 0 {
            let id = SequenceId(call as u64);
            let request = choices.request();
            drafter.begin(id, &request);
            drafter.extend(id, &request.prompt);
            sequences.insert(id, Plain { tokens: request.prompt.clone(), request });
        }
        let mut wanted: Vec<_> = sequences.keys().map(|&id| DraftRequest::chain(id, choices.below(7))).collect();
        wanted.retain(|_| choices.below(4) > 0);
        wanted.iter_mut().for_each(|request| {
            request.max_nodes = choices.below(10);
            request.max_children = 1 + choices.below(3);
            request.least_probability = [0.0, 0.05, 0.3][choices.below(3)];
        });
        if choices.below(6) == 0 {
            model.log.lock().unwrap().until_failure = Some(choices.below(4));
        }
        let outcome = drafter.propose(&wanted);
        model.log.lock().unwrap().until_failure = None;
        drafter.check().unwrap();
        let drafts = match outcome {
            Ok(drafts) => drafts,
            Err(error) => {
                assert_eq!(error.to_string(), "ONNX Runtime: scripted failure");
                drafter.propose(&wanted).unwrap()
            }
        };
        drafter.check().unwrap();
        assert_eq!(drafts, fresh(&model, &sequences).propose(&wanted).unwrap());
        for (request, draft) in wanted.iter().zip(&drafts) {
            check_draft(request, draft, &sequences[&request.sequence], &model);
            drafted += draft.nodes.len();
        }
        for (request, draft) in wanted.iter().zip(&drafts) {
            let plain = sequences.get_mut(&request.sequence).unwrap();
            let mut tokens = chain(draft);
            tokens.truncate(choices.below(tokens.len() + 1));
            let count = choices.below(3);
            tokens.extend(choices.tokens(count));
            plain.tokens.extend_from_slice(&tokens);
            drafter.extend(request.sequence, &tokens);
            drafter.check().unwrap();
        }
        let done: Vec<_> = sequences.keys().copied().filter(|_| choices.below(12) == 0).collect();
        for id in done {
            sequences.remove(&id);
            drafter.release(id);
            drafter.check().unwrap();
        }
    }
    drafted
}

fn check_draft(request: &DraftRequest, draft: &Draft, plain: &Plain, model: &Scripted) {
    draft.check(model.vocabulary).unwrap();
    assert!(draft.nodes.len() <= request.max_nodes);
    let mut probabilities: Vec<f32> = Vec::new();
    let mut depths: Vec<usize> = Vec::new();
    for node in &draft.nodes {
        assert!((0.0..=1.0).contains(&node.confidence), "{node:?}");
        let (probability, depth) = node.parent.map_or((1.0, 0), |parent| (probabilities[parent], depths[parent]));
        probabilities.push(probability * node.confidence);
        depths.push(depth + 1);
        assert!(depth < request.max_depth && probability * node.confidence >= request.least_probability);
    }
    for parent in std::iter::once(None).chain((0..draft.nodes.len()).map(Some)) {
        assert!(draft.children(parent).count() <= request.max_children);
    }
    let is_drawn = plain.request.verification == Verification::Rejection
        && plain.request.sampling.temperature > 0.0
        && plain.request.sampling.top_k != 1;
    let expanded: Vec<_> = (0..draft.nodes.len()).filter(|&node| draft.children(Some(node)).next().is_some()).collect();
    if is_drawn {
        for (index, node) in draft.nodes.iter().enumerate() {
            let is_first = draft.children(node.parent).next() == Some(index);
            assert_eq!(node.drawn_from.is_some(), is_first, "the first of siblings is drawn, the others are leaves");
            if let Some(q) = &node.drawn_from {
                assert!(q[node.token as usize] > 0.0 && (q.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                assert_eq!(q.len(), model.vocabulary);
            }
        }
    } else {
        let expected = plain.continuation(model, request.max_depth);
        // An unlikely token may be missing beside a likelier leaf, but only at the end.
        for (&node, &token) in expanded.iter().zip(&expected) {
            assert_eq!(draft.nodes[node].token, token);
        }
        if request.max_children == 1 {
            assert!(expected.starts_with(&chain(draft)), "{expected:?} {draft:?}");
        }
        assert!(draft.nodes.iter().all(|node| node.drawn_from.is_none()));
    }
}

#[test]
fn a_draft_model_equal_to_the_target_drafts_its_tokens_in_any_mix() {
    for seed in 0..8 {
        let drafted = check_random_calls(Scripted::new(4, 200), seed, 120);
        assert!(drafted > 300, "{drafted}");
    }
}

#[test]
fn tiny_pools_and_small_batches_change_no_draft() {
    let mut drafted = 0;
    for seed in 0..20 {
        let mut model = Scripted::new(1 + seed as usize % 4, 6 + 3 * (seed as usize % 7));
        model.limits.max_rows = 1 + seed as usize % 9;
        model.limits.context_length = 24 + seed as usize;
        model.limits.ragged = seed % 3 > 0;
        drafted += check_random_calls(model, 100 + seed, 80);
    }
    assert!(drafted > 500, "{drafted}");
}
