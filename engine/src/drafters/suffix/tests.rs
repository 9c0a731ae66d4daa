use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SEQUENCE: SequenceId = SequenceId(1 << 32);

/// What a suffix drafter should know, as plain texts that are scanned.
#[derive(Clone, Default)]
struct Slow {
    corpus: Vec<Vec<TokenId>>,
    old: Vec<Vec<TokenId>>,
    young: Vec<Vec<TokenId>>,
    own: Vec<Vec<TokenId>>,
}

/// An end of the sequence and drafted tokens, sought in `texts`.
#[derive(Clone)]
struct SlowContext<'a> {
    texts: &'a [Vec<TokenId>],
    is_own: bool,
    pattern: Vec<TokenId>,
    matched: usize,
}

impl SlowContext<'_> {
    /// What stands behind each occurrence of the pattern; `None` where a text ends.
    fn followers(&self, pattern: &[TokenId]) -> Vec<Option<TokenId>> {
        let ends = |text: &Vec<TokenId>| {
            let ends = (pattern.len()..=text.len()).filter(|&end| text[..end].ends_with(pattern));
            ends.map(|end| text.get(end).copied()).collect::<Vec<_>>()
        };
        self.texts.iter().flat_map(ends).collect()
    }

    /// The longest end of the pattern that stands at more places.
    fn shorter(&self) -> Option<Self> {
        let places = self.followers(&self.pattern).len();
        let ends = (1..=self.pattern.len()).map(|start| &self.pattern[start..]);
        let end = ends.into_iter().find(|end| self.followers(end).len() > places)?;
        Some(Self { pattern: end.to_vec(), matched: end.len(), ..self.clone() })
    }

    fn guesses(&self) -> Vec<(TokenId, f32)> {
        let mut counts = BTreeMap::<TokenId, u32>::new();
        self.followers(&self.pattern).into_iter().flatten().for_each(|token| *counts.entry(token).or_default() += 1);
        let total = counts.values().sum::<u32>() as f32;
        let unseen =
            if self.is_own { 3.0 } else { 6.0 } / self.matched as f32 + if counts.len() > 1 { 3.0 } else { 0.0 };
        counts.into_iter().map(|(token, count)| (token, count as f32 / (total + unseen))).collect()
    }

    fn follow(&self, token: TokenId) -> Option<Self> {
        let pattern: Vec<_> = self.pattern.iter().copied().chain([token]).collect();
        let longer = Self { pattern, matched: self.matched + 1, ..self.clone() };
        let followers = longer.followers(&longer.pattern);
        if self.is_own && followers == [None] {
            return longer.shorter().map(|shorter| Self { matched: longer.matched, ..shorter });
        }
        (!followers.is_empty()).then_some(longer)
    }
}

impl Slow {
    fn finish(&mut self, text: &[TokenId], memory_tokens: usize) {
        let half = memory_tokens / 2;
        let text = text[text.len().saturating_sub(half)..].to_vec();
        if self.young.iter().map(Vec::len).sum::<usize>() + text.len() > half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.push(text);
    }

    fn contexts(&self, min_match: usize) -> Vec<SlowContext<'_>> {
        let mut contexts = Vec::new();
        for (texts, is_own) in [(&self.own, true), (&self.corpus, false), (&self.old, false), (&self.young, false)] {
            let sequence = &self.own[0];
            let whole = SlowContext { texts, is_own, pattern: sequence.clone(), matched: sequence.len() };
            let longest = if is_own || whole.followers(sequence).is_empty() { whole.shorter() } else { Some(whole) };
            let shorter = longest.as_ref().and_then(SlowContext::shorter);
            contexts.extend(longest.into_iter().chain(shorter).filter(|found| found.matched >= min_match));
        }
        contexts
    }

    /// The confidences of all tokens behind a path.
    fn guesses(&self, path: &[TokenId], min_match: usize) -> BTreeMap<TokenId, f32> {
        let mut contexts = self.contexts(min_match);
        for &token in path {
            contexts = contexts.iter().filter_map(|context| context.follow(token)).collect();
        }
        let mut surest = BTreeMap::<TokenId, f32>::new();
        for (token, confidence) in contexts.iter().flat_map(SlowContext::guesses) {
            let known = surest.entry(token).or_default();
            *known = known.max(confidence);
        }
        surest
    }

    /// Each node is as sure as it should be, and no likelier token was left out.
    fn check(&self, draft: &Draft, request: &DraftRequest, min_match: usize) {
        draft.check(TokenId::MAX as usize).unwrap();
        assert!(draft.nodes.len() <= request.max_nodes);
        let mut paths = vec![(Vec::new(), 1.0)];
        for node in &draft.nodes {
            let (path, probability): &(Vec<TokenId>, f32) = &paths[node.parent.map_or(0, |parent| parent + 1)];
            paths.push(([path.as_slice(), &[node.token]].concat(), probability * node.confidence));
        }
        assert!(paths.is_sorted_by(|a, b| a.1 >= b.1), "{paths:?}");
        assert!(paths.iter().all(|(path, probability)| {
            path.len() <= request.max_depth && *probability >= request.least_probability
        }));
        let least = paths.last().map_or(1.0, |(_, probability)| *probability);
        for (index, (path, probability)) in paths.iter().enumerate() {
            let children: Vec<_> = draft.children(index.checked_sub(1)).map(|child| &draft.nodes[child]).collect();
            assert!(children.is_sorted_by(|a, b| a.confidence >= b.confidence));
            assert!(children.len() <= request.max_children);
            let guesses = self.guesses(path, min_match);
            for child in &children {
                let expected = guesses[&child.token];
                assert!((child.confidence - expected).abs() < 1e-6, "{path:?} {child:?}, expected {expected}");
            }
            for (token, confidence) in guesses {
                let drafted = children.iter().any(|child| child.token == token);
                let is_full = draft.nodes.len() == request.max_nodes && probability * confidence <= least + 1e-6;
                let has_surer = children.len() == request.max_children
                    && children.iter().all(|child| child.confidence >= confidence - 1e-6);
                let is_unlikely = probability * confidence < request.least_probability + 1e-6;
                let is_deep = path.len() == request.max_depth;
                assert!(drafted || is_full || has_surer || is_unlikely || is_deep, "{path:?} {token} {confidence}");
            }
        }
    }
}

/// What happens between two proposals.
#[derive(Clone, Debug)]
enum Event {
    Corpus(Vec<TokenId>),
    Finished(Vec<TokenId>),
    Extend(Vec<TokenId>),
}

fn event(tokens: TokenId) -> impl Strategy<Value = Event> {
    let text = |length| prop::collection::vec(0..tokens, 0..length);
    prop_oneof![
        text(12).prop_map(Event::Corpus),
        text(24).prop_map(Event::Finished),
        text(6).prop_map(Event::Extend),
        text(6).prop_map(Event::Extend),
    ]
}

fn request() -> impl Strategy<Value = DraftRequest> {
    let bounds = (0usize..4, 0usize..9, 0usize..4, prop_oneof![Just(0.0f32), 0.0f32..0.4]);
    bounds.prop_map(|(max_depth, max_nodes, max_children, least_probability)| DraftRequest {
        max_nodes,
        max_children,
        least_probability,
        ..DraftRequest::chain(SEQUENCE, max_depth)
    })
}

fn finish(suffix: &mut Suffix, id: u64, text: &[TokenId]) {
    suffix.extend(SequenceId(id), text);
    suffix.release(SequenceId(id));
}

fn propose(suffix: &mut Suffix, sequence: SequenceId, max_tokens: usize) -> Vec<TokenId> {
    let drafts = suffix.propose(&[DraftRequest::chain(sequence, max_tokens)]).unwrap();
    assert_eq!(drafts.len(), 1);
    assert!(drafts[0].is_chain());
    drafts[0].nodes.iter().map(|node| node.token).collect()
}

proptest! {
    #[test]
    fn drafts_are_those_of_a_scan_over_all_texts(
        (events, requests) in (2u32..6).prop_flat_map(|tokens| {
            (prop::collection::vec(event(tokens), 1..12), prop::collection::vec(request(), 12))
        }),
        min_match in 1usize..3,
    ) {
        let memory_tokens = 40;
        let mut slow = Slow { own: vec![Vec::new()], ..Slow::default() };
        let mut suffix = Suffix::new(SuffixConfig { min_match, memory_tokens });
        suffix.extend(SEQUENCE, &[]);
        for ((id, event), request) in (0..).zip(&events).zip(&requests) {
            match event {
                Event::Corpus(text) => {
                    suffix.add_text(text);
                    slow.corpus.push(text.clone());
                }
                Event::Finished(text) => {
                    finish(&mut suffix, id, text);
                    slow.finish(text, memory_tokens);
                }
                Event::Extend(tokens) => {
                    suffix.extend(SEQUENCE, tokens);
                    slow.own[0].extend(tokens);
                }
            }
            let draft = suffix.propose(std::slice::from_ref(request)).unwrap().remove(0);
            slow.check(&draft, request, min_match);
        }
    }

    #[test]
    fn memory_holds_the_newest_texts_and_never_more_than_it_may(
        texts in prop::collection::vec(prop::collection::vec(0u32..9, 0..30), 0..12),
        memory_tokens in 0usize..60,
    ) {
        let mut suffix = Suffix::new(SuffixConfig { min_match: 1, memory_tokens });
        let mut finished = 0;
        for (id, text) in (0..).zip(&texts) {
            finish(&mut suffix, id, text);
            finished += text.len().min(memory_tokens / 2);
            let remembered = suffix.memory.tokens();
            prop_assert!(remembered <= memory_tokens);
            prop_assert!(remembered >= finished.min(memory_tokens / 2));
        }
        prop_assert!(suffix.sequences.is_empty());
    }
}

#[test]
fn a_draft_takes_the_most_frequent_continuation() {
    let mut suffix = Suffix::default();
    [[1, 2, 3, 4], [1, 2, 5, 6], [1, 2, 3, 4], [9, 9, 9, 9]].iter().for_each(|text| suffix.add_text(text));
    suffix.extend(SEQUENCE, &[1, 2]);
    assert_eq!(propose(&mut suffix, SEQUENCE, 8), [3, 4]);
}

#[test]
fn a_draft_branches_where_continuations_do() {
    let mut suffix = Suffix::default();
    [[1, 2, 3, 4], [1, 2, 5, 6], [1, 2, 3, 7]].iter().for_each(|text| suffix.add_text(text));
    suffix.extend(SEQUENCE, &[1, 2]);
    let request = DraftRequest { max_children: 2, ..DraftRequest::chain(SEQUENCE, 5) };
    let draft = suffix.propose(&[request]).unwrap().remove(0);
    let nodes: Vec<_> = draft.nodes.iter().map(|node| (node.token, node.parent)).collect();
    assert_eq!(nodes, [(3, None), (5, None), (6, Some(1)), (7, Some(0)), (4, Some(0))]);
    assert!(draft.nodes[0].confidence > draft.nodes[1].confidence);
}

#[test]
fn a_repetition_is_carried_on_past_the_end() {
    let check = |tokens: &[TokenId], expected: &[TokenId]| {
        let mut suffix = Suffix::default();
        suffix.extend(SEQUENCE, tokens);
        assert_eq!(propose(&mut suffix, SEQUENCE, expected.len()), expected);
    };
    check(&[7, 1, 2, 1, 2], &[1, 2, 1, 2, 1]);
    check(&[5, 5, 5], &[5, 5, 5, 5]);
    check(&[1, 2, 3, 9, 1, 2, 3], &[9, 1, 2, 3, 9, 1, 2, 3, 9]);
}

#[test]
fn a_finished_text_of_others_is_not_carried_on() {
    let mut suffix = Suffix::default();
    suffix.add_text(&[1, 2, 1, 2]);
    suffix.extend(SEQUENCE, &[1]);
    assert_eq!(propose(&mut suffix, SEQUENCE, 8), [2, 1, 2]);
}

#[test]
fn sequences_are_apart_until_one_is_released() {
    let mut suffix = Suffix::default();
    suffix.extend(SEQUENCE, &[1, 2, 3, 4, 5]);
    suffix.extend(SequenceId(2), &[1, 2]);
    assert!(propose(&mut suffix, SequenceId(2), 3).is_empty());
    suffix.release(SEQUENCE);
    assert!(propose(&mut suffix, SEQUENCE, 3).is_empty());
    assert_eq!(propose(&mut suffix, SequenceId(2), 3), [3, 4, 5]);
    assert_eq!(suffix.sequences.len(), 1);
}

#[test]
fn the_oldest_texts_are_forgotten_and_the_corpus_is_not() {
    let mut suffix = Suffix::new(SuffixConfig { min_match: 1, memory_tokens: 8 });
    suffix.add_text(&[50, 51]);
    for id in 0..4 {
        finish(&mut suffix, u64::from(id), &[10 * id, 10 * id + 1]);
    }
    let mut follows = |token| {
        let sequence = SequenceId(100 + u64::from(token));
        suffix.extend(sequence, &[token]);
        propose(&mut suffix, sequence, 1)
    };
    assert_eq!([follows(0), follows(10), follows(20), follows(30)], [vec![1], vec![11], vec![21], vec![31]]);
    finish(&mut suffix, 4, &[40, 41]);
    let mut follows = |token| {
        let sequence = SequenceId(200 + u64::from(token));
        suffix.extend(sequence, &[token]);
        propose(&mut suffix, sequence, 1)
    };
    assert_eq!([follows(0), follows(10), follows(20)], [vec![], vec![], vec![21]]);
    assert_eq!([follows(30), follows(40), follows(50)], [vec![31], vec![41], vec![51]]);
}

#[test]
fn a_match_longer_than_the_longest_sought_is_found() {
    let text: Vec<TokenId> = (0..200).collect();
    let mut suffix = Suffix::default();
    suffix.add_text(&text);
    suffix.extend(SEQUENCE, &text[..150]);
    assert_eq!(propose(&mut suffix, SEQUENCE, 3), [150, 151, 152]);
    for &token in &text[150..190] {
        suffix.extend(SEQUENCE, &[token]);
        assert_eq!(propose(&mut suffix, SEQUENCE, 2), [token + 1, token + 2]);
    }
    suffix.add_text(&[189, 7]);
    assert_eq!(propose(&mut suffix, SEQUENCE, 2), [190, 191]);
}

#[test]
fn what_was_learned_is_forgotten_on_demand_and_the_corpus_stays() {
    let mut suffix = Suffix::default();
    suffix.add_text(&[7, 8, 9]);
    finish(&mut suffix, 0, &[1, 2, 3]);
    suffix.extend(SEQUENCE, &[7, 1]);
    let first = |suffix: &mut Suffix| {
        let draft = suffix.propose(&[DraftRequest::chain(SEQUENCE, 1)]).unwrap().remove(0);
        draft.nodes.first().map(|node| node.token)
    };
    assert_eq!(first(&mut suffix), Some(2));
    suffix.forget();
    assert_eq!(first(&mut suffix), None);
    suffix.extend(SEQUENCE, &[8]);
    assert_eq!(first(&mut suffix), Some(9));
}
