//! Log-probabilities as OpenAI's API gives them, which is not the same for its two endpoints.
//!
//! Law of completions: what stands in `text` from `text_offset[i]` on, in characters, begins with `tokens[i]`, if the token
//! has text of its own: not half a character, not a special token that the text leaves out, not the token that a stop
//! string cuts. So where tokens stand is found by decoding them one by one, as the text itself was made.

use serde_json::{Map, Value, json};
use veridraft_engine::{Decode, Detokenizer, TokenLogprobs};
use veridraft_models::{TokenId, Tokenizer};

use super::record::Choice;
use crate::report::token_bytes;

/// Stands for minus infinity, which JSON lacks; the API's own word for "very unlikely".
const NEVER: f64 = -9999.0;

/// The bytes that each token adds to a text, by id, and what makes a text of tokens.
pub(super) struct TokenBytes {
    bytes: Vec<Vec<u8>>,
    decoder: Box<dyn Decode>,
}

impl TokenBytes {
    /// Of all tokens.
    pub(super) fn of_all(tokenizer: &Tokenizer) -> Self {
        Self { bytes: token_bytes(tokenizer), decoder: Box::new(tokenizer.clone()) }
    }

    /// How many of the tokens, one behind the other, begin before `length` bytes of text are there.
    pub(super) fn within(&self, tokens: impl Iterator<Item = TokenId>, length: usize) -> usize {
        let (mut detokenizer, mut begins) = (Detokenizer::new(), 0);
        let is_within = |&token: &TokenId| {
            let begun = begins;
            begins += detokenizer.push(token, &*self.decoder).len();
            begun < length
        };
        tokens.take_while(is_within).count()
    }

    /// `logprobs` of a chat choice.
    pub(super) fn of_message(&self, choice: &Choice) -> Value {
        let scored = |token: TokenId, logprob: f64| json!({ "token": self.spelled(token), "logprob": finite(logprob), "bytes": self.bytes(token) });
        let content = choice.scored(self).iter().map(|score| {
            let mut entry = scored(score.token, score.logprob);
            entry["top_logprobs"] = score.top.iter().map(|&(token, logprob)| scored(token, logprob)).collect();
            entry
        });
        json!({ "content": content.collect::<Value>(), "refusal": null })
    }

    /// `logprobs` of a completion's choice.
    pub(super) fn of_text(&self, prompt: Option<Echo>, choice: &Choice) -> Value {
        let mut columns = Columns::default();
        if let Some(Echo { tokens, text, scores }) = prompt {
            let unscored = tokens.len() - scores.len();
            let scores = std::iter::repeat_n(None, unscored).chain(scores.iter().map(Some));
            let mut walk = Walk::of(self, text);
            for (&token, score) in tokens.iter().zip(scores) {
                let place = walk.place_of_special(token).unwrap_or_else(|| walk.place(token));
                columns.push(self, place, score);
            }
            columns.before = text.chars().count();
        }
        let mut walk = Walk::of(self, &choice.text);
        choice.scored(self).iter().for_each(|score| columns.push(self, walk.place(score.token), Some(score)));
        json!({
            "tokens": columns.tokens,
            "token_logprobs": columns.token_logprobs,
            "top_logprobs": columns.top_logprobs,
            "text_offset": columns.text_offset,
        })
    }

    fn bytes(&self, token: TokenId) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], |bytes| bytes)
    }

    /// The text of a token that has one of its own.
    fn text(&self, token: TokenId) -> Option<&str> {
        str::from_utf8(self.bytes(token)).ok()
    }

    /// The token's text; of half a character the bytes, in the API's notation.
    fn spelled(&self, token: TokenId) -> String {
        let bytes = || self.bytes(token).iter().map(|byte| format!("\\x{byte:02x}"));
        self.text(token).map_or_else(|| format!("bytes:{}", bytes().collect::<String>()), str::to_owned)
    }
}

/// A prompt that stands before the answer.
#[derive(Clone, Copy)]
pub(super) struct Echo<'a> {
    pub(super) tokens: &'a [TokenId],
    pub(super) text: &'a str,
    /// Of all tokens but the first.
    pub(super) scores: &'a [TokenLogprobs],
}

/// Goes over a text token by token and tells where each stands.
struct Walk<'a> {
    texts: &'a TokenBytes,
    /// What no token had yet.
    rest: &'a str,
    /// Characters before the rest.
    characters: usize,
    detokenizer: Detokenizer,
}

/// A token in a text.
struct Place {
    /// As it stands there.
    token: String,
    /// Characters before it.
    offset: usize,
}

impl<'a> Walk<'a> {
    fn of(texts: &'a TokenBytes, text: &'a str) -> Self {
        Self { texts, rest: text, characters: 0, detokenizer: Detokenizer::new() }
    }

    /// Where the next token stands.
    fn place(&mut self, token: TokenId) -> Place {
        let piece = self.detokenizer.push(token, &*self.texts.decoder);
        let before = self.characters;
        let own = self.texts.text(token).filter(|own| !own.is_empty());
        let nowhere = || Place { token: self.texts.spelled(token), offset: before };
        let Some(own) = own.filter(|_| !piece.is_empty()) else {
            self.pass(&piece);
            return nowhere();
        };
        if !self.pass(&piece) {
            return nowhere();
        }
        match piece.strip_suffix(own) {
            // Behind bytes that have become no character.
            Some(garbage) => Place { token: own.to_owned(), offset: before + garbage.chars().count() },
            // Some tokens are shorter in a text than alone: without the space that begins it.
            None => Place { token: piece, offset: before },
        }
    }

    /// Where the next token stands if decoding leaves it out, and the text of the prompt has it all the same.
    fn place_of_special(&mut self, token: TokenId) -> Option<Place> {
        let own = self.texts.text(token).filter(|own| !own.is_empty())?;
        if !self.rest.starts_with(own) || !self.texts.decoder.decode(&[token]).is_empty() {
            return None;
        }
        let offset = self.characters;
        self.pass(own);
        Some(Place { token: own.to_owned(), offset })
    }

    /// Goes on behind a piece, if it is what comes next.
    fn pass(&mut self, piece: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(piece) else { return false };
        self.rest = rest;
        self.characters += piece.chars().count();
        true
    }
}

/// One entry a token in each.
#[derive(Default)]
struct Columns {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f64>>,
    top_logprobs: Vec<Option<Map<String, Value>>>,
    text_offset: Vec<usize>,
    /// Characters before the text that the next tokens are of.
    before: usize,
}

impl Columns {
    fn push(&mut self, texts: &TokenBytes, place: Place, score: Option<&TokenLogprobs>) {
        self.token_logprobs.push(score.map(|score| finite(score.logprob)));
        self.top_logprobs.push(score.map(|score| {
            // The token itself is always there, as it stands in the text; of tokens that look alike the likeliest.
            let own = || (place.token.clone(), score.logprob);
            let spelled = |&(token, logprob): &(TokenId, f64)| {
                if token == score.token { own() } else { (texts.spelled(token), logprob) }
            };
            let mut top = Map::new();
            for (text, logprob) in score.top.iter().map(spelled).chain([own()]) {
                top.entry(text).or_insert_with(|| finite(logprob).into());
            }
            top
        }));
        self.text_offset.push(self.before + place.offset);
        self.tokens.push(place.token);
    }
}

fn finite(logprob: f64) -> f64 {
    if logprob.is_finite() { logprob } else { NEVER }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use veridraft_engine::FinishReason;

    /// Tokens of these bytes; those that begin with `<` are left out of texts, and a text loses its first space.
    struct Pieces(Vec<Vec<u8>>);

    impl Decode for Pieces {
        fn decode(&self, ids: &[TokenId]) -> String {
            let pieces = ids.iter().map(|&id| &self.0[id as usize]).filter(|piece| !piece.starts_with(b"<"));
            let text = String::from_utf8_lossy(&pieces.flatten().copied().collect::<Vec<_>>()).into_owned();
            text.strip_prefix(' ').map_or(text.clone(), str::to_owned)
        }
    }

    impl TokenBytes {
        /// Tokens 0, 1, ... with these bytes.
        pub(crate) fn fixed<T: AsRef<[u8]>>(tokens: &[T]) -> Self {
            let bytes: Vec<_> = tokens.iter().map(|token| token.as_ref().to_vec()).collect();
            Self { bytes: bytes.clone(), decoder: Box::new(Pieces(bytes)) }
        }
    }

    const TOKENS: [&[u8]; 9] = [b" a", b"b", b"<s>", b"\xe4", b"\xb8\x89", "é".as_bytes(), b" ", b"\xff", b"<b>"];

    fn scores(tokens: &[TokenId]) -> Vec<TokenLogprobs> {
        tokens.iter().map(|&token| TokenLogprobs { token, logprob: -1.0, top: vec![(3, -0.5), (4, -0.75)] }).collect()
    }

    fn choice(texts: &TokenBytes, tokens: &[TokenId]) -> Choice {
        Choice {
            text: texts.decoder.decode(tokens),
            tokens: tokens.to_vec(),
            logprobs: scores(tokens),
            reason: Some(FinishReason::Length),
            ..Choice::default()
        }
    }

    fn column<'a>(logprobs: &'a Value, name: &str) -> &'a Vec<Value> {
        logprobs[name].as_array().expect("a list")
    }

    #[test]
    fn special_tokens_and_dropped_spaces_have_no_place_in_a_text() {
        let texts = TokenBytes::fixed(&TOKENS);
        let found = texts.of_text(None, &choice(&texts, &[2, 0, 2, 0, 3, 4, 7, 1, 1]));
        let expected = json!(["<s>", "a", "<s>", " a", "bytes:\\xe4", "bytes:\\xb8\\x89", "bytes:\\xff", "b", "b"]);
        assert_eq!(found["tokens"], expected);
        assert_eq!(found["text_offset"], json!([0, 0, 1, 1, 3, 3, 4, 5, 6]));
        let top = json!({ "bytes:\\xe4": -0.5, "bytes:\\xb8\\x89": -0.75, "a": -1.0 });
        assert_eq!(found["top_logprobs"][1], top);
    }

    #[test]
    fn a_prompt_may_spell_special_tokens() {
        let texts = TokenBytes::fixed(&TOKENS);
        let check = |text: &str, tokens: &[TokenId], offsets: Value| {
            let echo = Echo { tokens, text, scores: &scores(&tokens[1..]) };
            assert_eq!(texts.of_text(Some(echo), &choice(&texts, &[1]))["text_offset"], offsets, "{text}");
        };
        check("b<b>b", &[1, 8, 1], json!([0, 1, 4, 5]));
        check("b<b>b", &[2, 1, 8, 1], json!([0, 0, 1, 4, 5]));
        check("bb", &[2, 1, 8, 1], json!([0, 0, 1, 1, 2]));
        // A text that its tokens do not give back, as of a tokenizer that takes accents away.
        check("ébé", &[1, 1, 1], json!([0, 0, 0, 3]));
    }

    proptest! {
        #[test]
        fn what_stands_at_an_offset_begins_with_its_token(
            tokens in prop::collection::vec(0..TOKENS.len() as TokenId, 1..40),
            prompt in prop::collection::vec(0..TOKENS.len() as TokenId, 1..20),
        ) {
            let texts = TokenBytes::fixed(&TOKENS);
            let choice = choice(&texts, &tokens);
            let echoed = texts.decoder.decode(&prompt);
            let echo = Echo { tokens: &prompt, text: &echoed, scores: &scores(&prompt[1..]) };
            let found = texts.of_text(Some(echo), &choice);
            let text = echoed.clone() + &choice.text;
            let (spelled, offsets) = (column(&found, "tokens"), column(&found, "text_offset"));
            let mut last = 0;
            for ((&token, spelled), offset) in prompt.iter().chain(&tokens).zip(spelled).zip(offsets) {
                let (spelled, offset) = (spelled.as_str().expect("text"), offset.as_u64().expect("a number") as usize);
                let rest: String = text.chars().skip(offset).collect();
                let has_text = ![2, 3, 4, 7, 8].contains(&token);
                prop_assert!(!has_text || rest.starts_with(spelled) || spelled == " ", "{spelled:?} at {offset}: {text:?}");
                prop_assert!(offset >= last);
                last = offset;
            }
        }

        #[test]
        fn tokens_within_a_text_are_those_that_begin_before_its_end(
            tokens in prop::collection::vec(0..TOKENS.len() as TokenId, 0..12),
        ) {
            let texts = TokenBytes::fixed(&TOKENS);
            let text = texts.decoder.decode(&tokens);
            for length in 0..=text.len() {
                let found = texts.within(tokens.iter().copied(), length);
                let (mut detokenizer, mut begins) = (Detokenizer::new(), Vec::new());
                let mut whole = String::new();
                for &token in &tokens {
                    begins.push(whole.len());
                    whole += &detokenizer.push(token, &*texts.decoder);
                }
                prop_assert_eq!(found, begins.iter().filter(|&&begin| begin < length).count());
            }
        }
    }
}
