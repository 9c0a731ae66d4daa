//! The draft model against plain decoding, against fresh drafters, and against what its pool may hold.

use std::collections::BTreeMap;

use veridraft_models::TokenId;

use super::DraftModel;
use super::scripted::{Scripted, mix};
use crate::drafters::{Draft, DraftRequest, Drafter};
use crate::sampling::rejection::{Rejection, draw};
use crate::sampling::{History, NoiseKey, Sampler, SamplingConfig, Stream, uniform};
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

fn chain(draft: &Draft) -> Vec<TokenId> {
    let mut tokens = Vec::new();
    let mut parent = None;
    while let Some(node) = draft.children(parent).next() {
        tokens.push(draft.nodes[node].token);
        parent = Some(node);
    }
    tokens
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

#[test]
fn rejection_of_trees_of_another_model_keeps_the_targets_distribution() {
    let mut target = Scripted::new(4, 20);
    target.vocabulary = 5;
    target.spread = 3.0;
    let mut draft_model = target.clone();
    draft_model.seed = 18;
    let mut counts = [0.0_f64; 25];
    const DRAWS: u64 = 20_000;
    let mut drafter = DraftModel::new(Box::new(draft_model), 5);
    let mut accepted = 0;
    for id in 0..DRAWS {
        let mut request = Request { verification: Verification::Rejection, ..Request::new(vec![1, 2], 100) };
        request.sampling = SamplingConfig { temperature: 1.0, seed: id, ..Default::default() };
        drafter.begin(SequenceId(id), &request);
        drafter.extend(SequenceId(id), &[1, 2]);
        // The bound cuts some drafts and not others.
        let wanted = DraftRequest {
            max_children: 2,
            max_nodes: 4,
            least_probability: 0.2,
            ..DraftRequest::chain(SequenceId(id), 2)
        };
        let draft = drafter.propose(&[wanted]).unwrap().remove(0);
        drafter.release(SequenceId(id));
        let (mut tokens, mut parent, mut in_draft) = (vec![1, 2], None, true);
        for _ in 0..2 {
            let key = |stream| NoiseKey::new(id, 0, tokens.len() as u32, stream);
            let mut p = Vec::new();
            let history = History::new(&request.sampling);
            Sampler::new(request.sampling.clone()).unwrap().distribution(&target.scores(&tokens), &history, &mut p);
            let mut state = Rejection::new(p);
            let found = draft.children(parent).filter(|_| in_draft).find(|&node| {
                let node = &draft.nodes[node];
                let coin = uniform(key(Stream::Accept).hash(node.token));
                state.try_token(node.drawn_from.as_deref(), node.token, coin)
            });
            accepted += usize::from(found.is_some());
            tokens.push(
                found.map_or_else(|| draw(state.probabilities(), key(Stream::Residual)), |n| draft.nodes[n].token),
            );
            (parent, in_draft) = (found, found.is_some());
        }
        counts[(tokens[2] * 5 + tokens[3]) as usize] += 1.0;
    }
    assert!(accepted > DRAWS as usize / 2, "{accepted}");
    let softmax = |tokens: &[TokenId]| {
        let masses: Vec<f64> = target.scores(tokens).iter().map(|&score| f64::from(score).exp()).collect();
        let sum: f64 = masses.iter().sum();
        masses.into_iter().map(move |mass| mass / sum)
    };
    let first = softmax(&[1, 2]).enumerate();
    let both: Vec<f64> = first.flat_map(|(a, p)| softmax(&[1, 2, a as TokenId]).map(move |q| p * q)).collect();
    let chi_square: f64 =
        both.iter().zip(counts).map(|(p, count)| (count - p * DRAWS as f64).powi(2) / (p * DRAWS as f64)).sum();
    assert!((chi_square - 24.0) / 48_f64.sqrt() < 4.0, "{chi_square}");
}
