//! An online suffix automaton over token ids: where did the end of the text stand before?
//!
//! Blumer et al. 1985, "The smallest automaton recognizing the subwords of a text". A state stands for the substrings
//! that end at the same positions; `link` leads to the state of the longest suffix that ends at more of them. The
//! state that `link` of the whole text's state leads to is therefore the longest end of the text that occurred before,
//! and no search is needed. Appending costs amortised constant time; there are at most 2n states and 3n transitions.
//!
//! Each state also knows where it was last seen to end. Appending ends all states along the links, of which only the
//! first [`RECENT_LINKS`] are told, for there may be as many as tokens (`aaaa`). Natural text has fewer than that; beyond
//! them an occurrence may not be the most recent one, but is a true one.

use std::collections::BTreeMap;

use veridraft_models::TokenId;

/// States along the links that learn of a new end.
const RECENT_LINKS: usize = 32;

/// An automaton over the tokens pushed so far.
#[derive(Clone, Debug)]
pub struct SuffixAutomaton {
    states: Vec<State>,
    /// The state of the whole text.
    last: u32,
    longest_match: Option<Occurrence>,
}

/// An earlier occurrence of the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Tokens that agree.
    pub length: usize,
    /// The index behind the occurrence's last token, less than the length of the text.
    pub end: usize,
}

#[derive(Clone, Debug)]
struct State {
    /// Length of the longest substring of the state.
    length: u32,
    /// `u32::MAX` at the root, which has none.
    link: u32,
    recent_end: u32,
    next: Transitions,
}

/// Most states have one transition; a map for each would be most of the memory.
#[derive(Clone, Debug)]
enum Transitions {
    None,
    One(TokenId, u32),
    #[expect(clippy::box_collection, reason = "a map in place would make every state a third larger")]
    Many(Box<BTreeMap<TokenId, u32>>),
}

const ROOT: u32 = 0;
const NO_STATE: u32 = u32::MAX;

impl Default for SuffixAutomaton {
    fn default() -> Self {
        let root = State { length: 0, link: NO_STATE, recent_end: 0, next: Transitions::None };
        Self { states: vec![root], last: ROOT, longest_match: None }
    }
}

impl SuffixAutomaton {
    /// An automaton over no tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a token to the text.
    pub fn push(&mut self, token: TokenId) {
        let end = self.state(self.last).length + 1;
        let whole = self.add(State { length: end, link: ROOT, recent_end: end, next: Transitions::None });
        let link = self.link_for(token, whole);
        self.state_mut(whole).link = link;
        self.last = whole;
        let suffix = self.state(link);
        self.longest_match =
            (link != ROOT).then_some(Occurrence { length: suffix.length as usize, end: suffix.recent_end as usize });
        self.end_at(link, end);
    }

    /// The longest end of the text that occurred before, and where; it may overlap the end. `None` for no token.
    pub fn longest_match(&self) -> Option<Occurrence> {
        self.longest_match
    }

    /// Leads every suffix that `token` never followed to the state `whole`; returns the state of the longest one that
    /// it did follow.
    fn link_for(&mut self, token: TokenId, whole: u32) -> u32 {
        let mut suffix = self.last;
        while suffix != NO_STATE {
            if let Some(target) = self.state(suffix).next.get(token) {
                return self.split(suffix, token, target);
            }
            self.state_mut(suffix).next.set(token, whole);
            suffix = self.state(suffix).link;
        }
        ROOT
    }

    /// The state of `suffix` and `token` alone: `target`, unless that holds longer substrings too.
    fn split(&mut self, suffix: u32, token: TokenId, target: u32) -> u32 {
        let length = self.state(suffix).length + 1;
        if self.state(target).length == length {
            return target;
        }
        let clone = self.add(State { length, ..self.state(target).clone() });
        self.state_mut(target).link = clone;
        let mut suffix = suffix;
        while suffix != NO_STATE && self.state(suffix).next.get(token) == Some(target) {
            self.state_mut(suffix).next.set(token, clone);
            suffix = self.state(suffix).link;
        }
        clone
    }

    fn end_at(&mut self, longest: u32, end: u32) {
        let mut suffix = longest;
        for _ in 0..RECENT_LINKS {
            if suffix == ROOT {
                break;
            }
            self.state_mut(suffix).recent_end = end;
            suffix = self.state(suffix).link;
        }
    }

    fn add(&mut self, state: State) -> u32 {
        self.states.push(state);
        u32::try_from(self.states.len() - 1).expect("a text has fewer than 2^31 tokens")
    }

    fn state(&self, index: u32) -> &State {
        &self.states[index as usize]
    }

    fn state_mut(&mut self, index: u32) -> &mut State {
        &mut self.states[index as usize]
    }
}

impl Transitions {
    fn get(&self, token: TokenId) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(only, target) => (*only == token).then_some(*target),
            Self::Many(map) => map.get(&token).copied(),
        }
    }

    fn set(&mut self, token: TokenId, target: u32) {
        match self {
            Self::Many(map) => {
                map.insert(token, target);
            }
            Self::One(only, old) if *only != token => {
                *self = Self::Many(Box::new(BTreeMap::from([(*only, *old), (token, target)])));
            }
            Self::None | Self::One(..) => *self = Self::One(token, target),
        }
    }
}

#[cfg(test)]
mod tests {
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
        // The `4` behind the `5` stood last at 100, but more than 32 states end there.
        let mut text = vec![4; 100];
        text.extend([5, 4]);
        let mut automaton = SuffixAutomaton::new();
        text.iter().for_each(|&token| automaton.push(token));
        let found = automaton.longest_match().unwrap();
        assert_eq!((found.length, text[found.end - 1]), (1, 4));
        assert!(found.end <= 100);
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
}
