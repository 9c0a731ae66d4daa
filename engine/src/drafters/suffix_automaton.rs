//! An online suffix automaton over token ids: where did the end of the text stand before, and what followed it?
//!
//! Blumer et al. 1985, "The smallest automaton recognizing the subwords of a text"; over several texts as in Blumer et
//! al. 1987, "Complete inverted files". A state stands for the substrings that end at the same positions; `link` leads
//! to the state of the longest suffix that ends at more of them. Where the text's own state is new, the state that its
//! `link` leads to is therefore the longest end of the text that occurred before, and no search is needed. Appending
//! costs amortised constant time; there are at most 2n states and 3n transitions.
//!
//! A transition also knows how often its token followed, and a state where it was last seen to end. Appending adds an
//! end to all states along the links, of which only the first [`COUNTED_LINKS`] that an earlier text shares are told,
//! for there may be as many as tokens (`aaaa`). Natural text has fewer than that; beyond them a count is too low, and
//! an occurrence may not be the most recent one, but is a true one.

mod edges;

use veridraft_models::TokenId;

pub(super) use edges::Edge;
use edges::Edges;

/// States along the links that learn of a new end.
const COUNTED_LINKS: usize = 64;

/// An automaton over the tokens pushed so far.
#[derive(Clone, Debug)]
pub struct SuffixAutomaton {
    states: Vec<State>,
    /// Tokens of all texts.
    tokens: u32,
    /// The state of the whole text.
    last: u32,
    /// The longest end of the text that occurred before.
    matched: Place,
    /// Where that occurrence ended.
    matched_end: u32,
}

/// An earlier occurrence of the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Tokens that agree.
    pub length: usize,
    /// The index, over all tokens pushed, behind the occurrence's last token, less than their number.
    pub end: usize,
}

/// A substring of the texts: a state, and which of its substrings by length. The default is the empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) state: u32,
    pub(super) length: u32,
}

#[derive(Clone, Debug)]
struct State {
    /// Length of the longest substring of the state.
    length: u32,
    /// `u32::MAX` at the root, which has none.
    link: u32,
    recent_end: u32,
    next: Edges,
}

const ROOT: u32 = 0;
const NO_STATE: u32 = u32::MAX;

impl Default for SuffixAutomaton {
    fn default() -> Self {
        let root = State { length: 0, link: NO_STATE, recent_end: 0, next: Edges::None };
        Self { states: vec![root], tokens: 0, last: ROOT, matched: Place::default(), matched_end: 0 }
    }
}

impl SuffixAutomaton {
    /// An automaton over no tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a token to the text.
    pub fn push(&mut self, token: TokenId) {
        self.tokens += 1;
        let length = self.state(self.last).length + 1;
        let is_new = self.state(self.last).next.get(token).is_none();
        let whole = is_new.then(|| self.add(State { length, link: ROOT, recent_end: self.tokens, next: Edges::None }));
        let followed = whole.map_or(self.last, |whole| self.lead_to(token, whole));
        let link = if followed == NO_STATE { ROOT } else { self.split(followed, token) };
        self.matched = Place { state: link, length: self.state(link).length };
        self.matched_end = self.state(link).recent_end;
        self.count(followed, token);
        if let Some(whole) = whole {
            self.state_mut(whole).link = link;
        }
        self.last = whole.unwrap_or(link);
    }

    /// The next token begins another text: no substring reaches over the border.
    pub fn end_text(&mut self) {
        self.last = ROOT;
        self.matched = Place::default();
    }

    /// The longest end of the text that occurred before, and where; it may overlap the end. `None` for no token.
    pub fn longest_match(&self) -> Option<Occurrence> {
        let found = Occurrence { length: self.matched.length as usize, end: self.matched_end as usize };
        (found.length > 0).then_some(found)
    }

    /// The longest end of the text that occurred before.
    pub(super) fn matched(&self) -> Place {
        self.matched
    }

    /// The longest end of the substring `place` and `token` that stands in the texts.
    pub(super) fn advance(&self, place: Place, token: TokenId) -> Place {
        let Place { mut state, mut length } = place;
        loop {
            if let Some(target) = self.state(state).next.get(token) {
                return Place { state: target, length: length + 1 };
            }
            state = self.state(state).link;
            if state == NO_STATE {
                return Place::default();
            }
            length = self.state(state).length;
        }
    }

    /// The last `length` tokens of a substring, all of them where they are no more.
    pub(super) fn shorten(&self, place: Place, length: u32) -> Place {
        let Place { mut state, length: found } = place;
        while state != ROOT && self.state(self.state(state).link).length >= length {
            state = self.state(state).link;
        }
        Place { state, length: found.min(length) }
    }

    /// The state of a state's substrings with `token` behind them, if it ever followed them.
    pub(super) fn target(&self, state: u32, token: TokenId) -> Option<u32> {
        self.state(state).next.get(token)
    }

    /// What followed the substrings of a state, the most frequent first, and how often anything did.
    pub(super) fn continuations(&self, state: u32) -> (&[Edge], u32) {
        let next = &self.state(state).next;
        (next.as_slice(), next.total())
    }

    /// The longest suffix of a state's substrings that ended at more places than they; `None` behind the empty one.
    pub(super) fn link(&self, state: u32) -> Option<Place> {
        let link = self.state(state).link;
        (link != NO_STATE).then(|| Place { state: link, length: self.state(link).length })
    }

    /// Leads every suffix that `token` never followed to the state `whole`; returns the longest one that it did
    /// follow, or `NO_STATE`.
    fn lead_to(&mut self, token: TokenId, whole: u32) -> u32 {
        let mut suffix = self.last;
        while suffix != NO_STATE && self.state(suffix).next.get(token).is_none() {
            self.state_mut(suffix).next.insert(token, whole);
            suffix = self.state(suffix).link;
        }
        suffix
    }

    /// The state of `suffix` and `token` alone: that which the token leads to, unless that holds longer ones too.
    fn split(&mut self, suffix: u32, token: TokenId) -> u32 {
        let target = self.state(suffix).next.get(token).expect("the token followed this suffix");
        let length = self.state(suffix).length + 1;
        if self.state(target).length == length {
            return target;
        }
        let clone = self.add(State { length, ..self.state(target).clone() });
        self.state_mut(target).link = clone;
        let mut suffix = suffix;
        while suffix != NO_STATE && self.state(suffix).next.get(token) == Some(target) {
            self.state_mut(suffix).next.redirect(token, clone);
            suffix = self.state(suffix).link;
        }
        clone
    }

    /// Counts `token` behind `longest` and its suffixes, all of which it followed before.
    fn count(&mut self, longest: u32, token: TokenId) {
        let end = self.tokens;
        let mut suffix = longest;
        for _ in 0..COUNTED_LINKS {
            if suffix == NO_STATE {
                break;
            }
            let state = self.state_mut(suffix);
            suffix = state.link;
            let target = state.next.count(token).expect("what follows a substring follows its ends");
            self.state_mut(target).recent_end = end;
        }
    }

    fn add(&mut self, state: State) -> u32 {
        self.states.push(state);
        u32::try_from(self.states.len() - 1).expect("the texts have fewer than 2^31 tokens")
    }

    fn state(&self, index: u32) -> &State {
        &self.states[index as usize]
    }

    fn state_mut(&mut self, index: u32) -> &mut State {
        &mut self.states[index as usize]
    }
}

#[cfg(test)]
mod tests;
