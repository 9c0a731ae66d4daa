use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The longest end of the text that occurred before, most recently, by trying all.
fn slow_match(text: &[TokenId]) -> Option<Occurrence> {
    let found = (1..text.len()).map(|end| {
        let pairs = text[..end].iter().rev().zip(text.iter().rev());
        Occurrence { length: pairs.take_while(|(a, b)| a == b).count(), end }
    });
    found.max_by_key(|found| (found.length, found.end)).filter(|found| found.length > 0)
}

fn check_every_prefix(text: &[TokenId]) {
    let mut automaton = SuffixAutomaton::new();
    assert_eq!(automaton.longest_match(), None);
    for (index, &token) in text.iter().enumerate() {
        automaton.push(token);
        assert_eq!(automaton.longest_match(), slow_match(&text[..=index]), "{:?}", &text[..=index]);
    }
    assert!(automaton.states.len() <= 1.max(2 * text.len()));
}

#[test]
fn a_text_of_one_token_overlaps_itself() {
    check_every_prefix(&[4; 100]);
}

#[test]
fn a_match_deep_in_the_links_is_a_true_one() {
    // The `4` behind the `5` stood last at 100, but more than 64 states end there.
    let mut text = vec![4; 100];
    text.extend([5, 4]);
    let mut automaton = SuffixAutomaton::new();
    text.iter().for_each(|&token| automaton.push(token));
    let found = automaton.longest_match().unwrap();
    assert_eq!((found.length, text[found.end - 1]), (1, 4));
    assert!(found.end <= 100);
}

/// What followed `pattern` in the texts, and how often.
fn slow_counts(texts: &[Vec<TokenId>], pattern: &[TokenId]) -> BTreeMap<TokenId, u32> {
    let mut counts = BTreeMap::new();
    for window in texts.iter().flat_map(|text| text.windows(pattern.len() + 1)) {
        if window.starts_with(pattern) {
            *counts.entry(window[pattern.len()]).or_default() += 1;
        }
    }
    counts
}

fn automaton_over(texts: &[Vec<TokenId>]) -> SuffixAutomaton {
    let mut automaton = SuffixAutomaton::new();
    for text in texts {
        text.iter().for_each(|&token| automaton.push(token));
        automaton.end_text();
    }
    automaton
}

fn counts(automaton: &SuffixAutomaton, place: Place) -> BTreeMap<TokenId, u32> {
    let (edges, total) = automaton.continuations(place.state);
    assert_eq!(edges.iter().map(|edge| edge.count).sum::<u32>(), total);
    edges.iter().map(|edge| (edge.token, edge.count)).collect()
}

#[test]
fn counts_deep_in_the_links_are_too_low_but_not_gone() {
    // Each `4` is new behind one end of the text before it and counted behind the 64 next shorter ones.
    let automaton = automaton_over(&[vec![4; 1000]]);
    let one = automaton.advance(Place::default(), 4);
    assert_eq!(counts(&automaton, one), BTreeMap::from([(4, 65)]));
    let many = (0..900).fold(Place::default(), |place, _| automaton.advance(place, 4));
    assert_eq!((many.length, counts(&automaton, many)), (900, BTreeMap::from([(4, 65)])));
}

#[test]
fn no_substring_reaches_over_the_end_of_a_text() {
    let automaton = automaton_over(&[vec![1, 2], vec![3, 4]]);
    let two = automaton.advance(Place::default(), 2);
    assert_eq!((two.length, automaton.continuations(two.state).0), (1, [].as_slice()));
    assert_eq!(automaton.advance(two, 3).length, 1);
}

#[test]
fn a_state_takes_32_bytes() {
    assert_eq!(size_of::<State>(), 32);
}

proptest! {
    #[test]
    fn matches_are_those_of_the_slow_scan(
        text in (1u32..6).prop_flat_map(|tokens| prop::collection::vec(0..tokens, 0..32)),
    ) {
        check_every_prefix(&text);
    }

    #[test]
    fn counts_over_several_texts_are_those_of_the_slow_scan(
        (texts, query) in (1u32..6).prop_flat_map(|tokens| {
            let text = prop::collection::vec(0..tokens, 0..16);
            (prop::collection::vec(text, 0..6), prop::collection::vec(0..tokens, 0..40))
        }),
        longest in 1u32..9,
    ) {
        let automaton = automaton_over(&texts);
        prop_assert_eq!(automaton.longest_match(), None);
        prop_assert_eq!(counts(&automaton, Place::default()), slow_counts(&texts, &[]));
        let mut place = Place::default();
        for end in 1..=query.len() {
            place = automaton.shorten(automaton.advance(place, query[end - 1]), longest);
            let ends = (0..=end).rev().map(|start| &query[start..end]).take(longest as usize + 1);
            let begins = |text: &Vec<TokenId>, pattern: &[TokenId]| {
                text.windows(pattern.len().max(1)).any(|window| window.starts_with(pattern))
            };
            let stands = |pattern: &&[TokenId]| texts.iter().any(|text| begins(text, pattern));
            let pattern = ends.take_while(|pattern| pattern.is_empty() || stands(pattern)).last().unwrap();
            prop_assert_eq!(place.length as usize, pattern.len());
            prop_assert_eq!(counts(&automaton, place), slow_counts(&texts, pattern));
        }
    }

    #[test]
    fn long_texts_with_copies_match_as_the_slow_scan(
        parts in prop::collection::vec((0usize..80, 0usize..30, prop::collection::vec(0u32..1000, 0..5)), 0..12),
    ) {
        let mut text: Vec<TokenId> = vec![1, 2, 3];
        for (start, length, fresh) in parts {
            let start = start % text.len();
            let copied = text[start..(start + length).min(text.len())].to_vec();
            text.extend(copied);
            text.extend(fresh);
        }
        check_every_prefix(&text);
    }
}
