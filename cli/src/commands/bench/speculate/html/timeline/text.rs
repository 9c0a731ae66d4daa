//! An answer's text with the wrong guesses struck through where they were made.
//!
//! A pass checks a tree of guesses. The text follows the accepted ones down the tree; what else hangs there at a place
//! comes before the token that is right.

use std::iter::once;

use veridraft_engine::DraftedToken;

use super::super::super::plot::escape;
use super::super::TokenId;
use crate::set_up::Generation;

/// Wrong guesses one behind the other that are shown; there may be more.
const MOST_SHOWN: usize = 10;

/// One pass of an answer.
struct Pass<'a> {
    number: usize,
    draft: &'a [DraftedToken],
    /// What it produced: a token for each accepted guess, and the model's own unless the answer ended before.
    tokens: &'a [TokenId],
    /// Text of some tokens.
    decode: &'a dyn Fn(&[TokenId]) -> String,
}

/// The answer's tokens, of a pass its right guesses before its own token, with the wrong ones among them.
pub(super) fn text(answer: &Generation, decode: &dyn Fn(&[TokenId]) -> String) -> String {
    let mut html = "<div class=\"text\">".to_owned();
    let mut rest = &answer.tokens[..];
    for ((number, step), draft) in (1..).zip(&answer.steps).zip(&answer.drafts) {
        let (tokens, behind) = rest.split_at(step.tokens);
        html += &Pass { number, draft, tokens, decode }.html();
        rest = behind;
    }
    html + "</div>"
}

impl Pass<'_> {
    fn html(&self) -> String {
        let path: Vec<_> = (0..self.draft.len()).filter(|&place| self.draft[place].is_accepted).collect();
        let places = once(None).chain(path.iter().copied().map(Some));
        let at = |(index, place)| {
            let token = self.tokens.get(index).map(|&token| self.standing(token, path.get(index).copied()));
            self.wrong(place) + &token.unwrap_or_default()
        };
        places.enumerate().map(at).collect()
    }

    /// A token of the answer, at a place of the draft or the model's own.
    fn standing(&self, token: TokenId, place: Option<usize>) -> String {
        let class = if place.is_some() { "accepted" } else { "own" };
        let source = place.map_or("the model itself", |place| self.draft[place].source);
        let title = format!("pass {}, {}, token {token}", self.number, escape(source));
        format!("<span class=\"{class}\" title=\"{title}\">{}</span>", escape(&self.visible(token, "↵\n")))
    }

    /// The wrong guesses behind a place of the accepted path, each way through the tree by itself.
    fn wrong(&self, behind: Option<usize>) -> String {
        let mut ways: Vec<Vec<usize>> = Vec::new();
        let is_wrong_here = |place: &usize| self.draft[*place].parent == behind && !self.draft[*place].is_accepted;
        for first in (0..self.draft.len()).filter(is_wrong_here) {
            ways.push(vec![first]);
            self.follow(first, &mut ways);
        }
        ways.iter().map(|way| self.struck(way)).collect()
    }

    /// Continues the last way with what follows `place`; every further child begins a way of its own.
    fn follow(&self, place: usize, ways: &mut Vec<Vec<usize>>) {
        let children = (0..self.draft.len()).filter(|&child| self.draft[child].parent == Some(place));
        for (index, child) in children.enumerate() {
            match ways.last_mut() {
                Some(way) if index == 0 => way.push(child),
                _ => ways.push(vec![child]),
            }
            self.follow(child, ways);
        }
    }

    fn struck(&self, way: &[usize]) -> String {
        let shown: String =
            way.iter().take(MOST_SHOWN).map(|&place| self.visible(self.draft[place].token, "↵")).collect();
        let more = match way.len().saturating_sub(MOST_SHOWN) {
            0 => String::new(),
            more => format!("<i>+{more}</i>"),
        };
        let source = escape(self.draft[way[0]].source);
        let title = format!("pass {}, {source}: {} wrong", self.number, way.len());
        format!("<del title=\"{title}\">{}{more}</del>", escape(&shown))
    }

    /// A token's text with a sign for what would not be seen; `line_end` stands for the end of a line.
    fn visible(&self, token: TokenId, line_end: &str) -> String {
        let text = (self.decode)(&[token]);
        if text.is_empty() {
            return format!("⟨{token}⟩");
        }
        text.chars().fold(String::with_capacity(text.len()), |mut shown, letter| {
            match letter {
                '\n' => shown += line_end,
                '\t' => shown.push('⇥'),
                letter if is_invisible(letter) => shown += &format!("⟨U+{:04X}⟩", u32::from(letter)),
                letter => shown.push(letter),
            }
            shown
        })
    }
}

/// Control characters, and those of Unicode that have no width or turn the direction of the text around them.
fn is_invisible(letter: char) -> bool {
    let is_format = matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    letter.is_control() || is_format
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set_up::Step;

    /// Tokens 10 and above are letters from `a` on; some below are what needs a sign.
    fn decode(tokens: &[TokenId]) -> String {
        let letter = |&token: &TokenId| match token {
            0 => String::new(),
            1 => "\n".to_owned(),
            2 => "\u{202e}".to_owned(),
            3 => "<|end|>".to_owned(),
            4 => "\t".to_owned(),
            token => char::from(b'a' + (token - 10) as u8).to_string(),
        };
        tokens.iter().map(letter).collect()
    }

    /// Token, parent, whether it is accepted.
    type Node = (TokenId, Option<usize>, bool);

    fn drafted(nodes: &[Node]) -> Vec<DraftedToken> {
        let node = |&(token, parent, is_accepted)| DraftedToken { token, parent, source: "lookup", is_accepted };
        nodes.iter().map(node).collect()
    }

    /// The text without titles, `[...]` for accepted, `(...)` for own and `-...-` for rejected tokens.
    fn check(passes: &[(&[Node], &[TokenId])], expected: &str) {
        let step = |tokens: &[TokenId]| Step { tokens: tokens.len(), ..Step::default() };
        let answer = Generation {
            tokens: passes.iter().flat_map(|(_, tokens)| tokens.iter().copied()).collect(),
            steps: passes.iter().map(|(_, tokens)| step(tokens)).collect(),
            drafts: passes.iter().map(|(nodes, _)| drafted(nodes)).collect(),
            ..Generation::default()
        };
        let mut found = String::new();
        let mut closing = ' ';
        for piece in text(&answer, &decode).split('<').skip(2) {
            let (tag, text) = piece.split_once('>').expect("a tag ends");
            let opening = match tag.split([' ', '=']).next() {
                Some("span") if tag.contains("\"accepted\"") => Some(('[', ']')),
                Some("span") => Some(('(', ')')),
                Some("del") => Some(('-', '-')),
                _ => None,
            };
            if let Some((open, close)) = opening {
                found.push(open);
                closing = close;
            } else if tag == "/span" || tag == "/del" {
                found.push(closing);
            }
            found += text;
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn wrong_guesses_stand_where_they_were_made() {
        let chain = [(10, None, true), (11, Some(0), false), (12, Some(1), false)];
        check(&[(&[], &[20]), (&chain, &[10, 15])], "(k)[a]-bc-(f)");
        check(&[(&[(10, None, false)], &[11]), (&[(12, None, true)], &[12, 13])], "-a-(b)[c](d)");
    }

    #[test]
    fn every_way_through_a_tree_is_struck_by_itself() {
        let tree = [
            (10, None, true),
            (11, Some(0), false),
            (12, Some(1), false),
            (13, Some(1), false),
            (14, Some(0), true),
            (15, None, false),
            (16, Some(4), false),
        ];
        check(&[(&tree, &[10, 14, 20])], "-f-[a]-bc--d-[e]-g-(k)");
    }

    #[test]
    fn an_answer_may_end_with_a_guess() {
        check(&[(&[(10, None, true), (11, Some(0), false)], &[10])], "[a]-b-");
    }

    #[test]
    fn a_long_way_is_cut_with_a_count() {
        let way: Vec<_> = (0..13).map(|n: usize| (10 + n as TokenId, n.checked_sub(1), false)).collect();
        check(&[(&way, &[30])], "-abcdefghij+3-(u)");
    }

    #[test]
    fn what_would_not_be_seen_has_a_sign() {
        let chain = [(1, None, false), (0, Some(0), false)];
        check(&[(&chain, &[1]), (&[], &[2]), (&[], &[3]), (&[], &[4])], "-↵⟨0⟩-(↵\n)(⟨U+202E⟩)(&lt;|end|&gt;)(⇥)");
    }
}
