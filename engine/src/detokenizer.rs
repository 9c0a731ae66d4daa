//! Streams the text of one sequence, token by token, without ever giving half a character.
//!
//! Law: the pieces one behind the other, with what [`Detokenizer::flush`] gives, are the decoded text of all tokens.
//!
//! A token's text can depend on its neighbours: a character may span several tokens, and some decoders strip the
//! space that begins the text. So the window decoded is a stretch of tokens whose text is already out, as context,
//! and the tokens behind it; what the window's text has beyond the context's is new.
//!
//! ```text
//! tokens     ... dropped ... | context | pending |
//! text       ...... given out .........| held, while it ends in U+FFFD |
//! ```
//!
//! The context is what was last given out, so the window, and with it the cost of a token, stays small. Decoders put
//! U+FFFD where bytes are no character, or none yet, so a text that ends in it waits for the next token. Bytes that
//! never become a character come out as U+FFFD with the text behind them or with the flush.
//!
//! The law holds for every decoder that decodes bytes as `String::from_utf8_lossy` does, with neighbour effects that
//! reach no further than one token that has text. A decoder that takes back a character because of later bytes
//! (SentencePiece's byte fallback: one bad byte spoils its whole run) gets its broken run in the form of the stream.

use veridraft_models::{TokenId, Tokenizer};

/// Pending tokens from which on their garbage is given out where that is safe.
const PENDING_MAX: usize = 16;

/// Turns tokens into text; a tokenizer decides by itself whether special tokens have any.
pub trait Decode {
    /// The text of `ids`, U+FFFD where their bytes are no character.
    fn decode(&self, ids: &[TokenId]) -> String;
}

impl Decode for Tokenizer {
    fn decode(&self, ids: &[TokenId]) -> String {
        Tokenizer::decode(self, ids)
    }
}

/// The streaming text of one sequence.
#[derive(Clone, Debug, Default)]
pub struct Detokenizer {
    /// Context, then pending tokens.
    window: Vec<TokenId>,
    context: usize,
}

impl Detokenizer {
    /// A text that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next token and returns the text that is now certain, often none or several tokens' worth.
    pub fn push(&mut self, token: TokenId, decoder: &(impl Decode + ?Sized)) -> String {
        self.window.push(token);
        let text = self.pending_text(decoder);
        if text.is_empty() {
            String::new()
        } else if !text.ends_with(char::REPLACEMENT_CHARACTER) {
            self.give_out(self.window.len());
            text
        } else if self.window.len() - self.context > PENDING_MAX {
            self.push_garbage(&text, decoder)
        } else {
            String::new()
        }
    }

    /// Returns the text still held back, whatever it is, and begins a new text.
    pub fn flush(&mut self, decoder: &(impl Decode + ?Sized)) -> String {
        let text = self.pending_text(decoder);
        *self = Self::default();
        text
    }

    fn pending_text(&self, decoder: &(impl Decode + ?Sized)) -> String {
        let before = decoder.decode(&self.window[..self.context]);
        let mut text = decoder.decode(&self.window);
        // Equal to `before.len()` unless the decoder took a character back; then what both share counts as given out.
        let given = before.bytes().zip(text.bytes()).take_while(|(old, new)| old == new).count();
        text.split_off(text.floor_char_boundary(given))
    }

    /// Gives out a long run of garbage but for its last token, if that token's bytes stand apart from those before.
    fn push_garbage(&mut self, text: &str, decoder: &(impl Decode + ?Sized)) -> String {
        let last = self.window.len() - 1;
        let tail = decoder.decode(&self.window[last..]);
        let mut without_last = self.clone();
        without_last.window.pop();
        let head = without_last.pending_text(decoder);
        if head.is_empty() || tail.is_empty() || text.strip_prefix(head.as_str()) != Some(tail.as_str()) {
            return String::new();
        }
        self.give_out(last);
        head
    }

    /// The pending tokens up to `end` become the context.
    fn give_out(&mut self, end: usize) {
        self.window.drain(..self.context);
        self.context = end - self.context;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tokens 0 to 255 are bytes; 300 is special and has no text.
    struct Bytes;

    impl Decode for Bytes {
        fn decode(&self, ids: &[TokenId]) -> String {
            let bytes: Vec<u8> = ids.iter().filter_map(|&id| u8::try_from(id).ok()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }

    /// Tokens are stretches of bytes, as in byte-level BPE.
    struct Pieces(Vec<Vec<u8>>);

    impl Decode for Pieces {
        fn decode(&self, ids: &[TokenId]) -> String {
            let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.0[id as usize].clone()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }

    /// Words with a leading space that is stripped where the text begins, as SentencePiece does.
    struct Words;

    impl Decode for Words {
        fn decode(&self, ids: &[TokenId]) -> String {
            let words = ["", " ", " the", " cat", "s", " 猫", "  ", "é", ""];
            let text: String = ids.iter().map(|&id| words[id as usize]).collect();
            text.strip_prefix(' ').map_or(text.clone(), str::to_owned)
        }
    }

    fn stream(ids: &[TokenId], decoder: &impl Decode) -> Vec<String> {
        let mut detokenizer = Detokenizer::new();
        let mut pieces: Vec<String> = ids.iter().map(|&id| detokenizer.push(id, decoder)).collect();
        pieces.push(detokenizer.flush(decoder));
        pieces
    }

    fn check(bytes: &[u8], expected: &[&str]) {
        let ids: Vec<TokenId> = bytes.iter().map(|&byte| byte.into()).collect();
        assert_eq!(stream(&ids, &Bytes), expected);
    }

    #[test]
    fn a_character_comes_when_it_is_whole() {
        check("aé🙂".as_bytes(), &["a", "", "é", "", "", "", "🙂", ""]);
    }

    #[test]
    fn bytes_that_are_no_character_come_with_what_follows_or_with_the_flush() {
        check(b"a\xffb", &["a", "", "\u{fffd}b", ""]);
        check(b"a\xf0\x9f", &["a", "", "", "\u{fffd}"]);
    }

    #[test]
    fn a_space_in_the_middle_survives_a_special_token() {
        assert_eq!(stream(&[0, 2, 0, 3, 0, 4], &Words).concat(), "the cats");
    }

    #[test]
    fn a_decoder_that_takes_a_character_back_is_survived() {
        /// One bad byte spoils the whole run, as SentencePiece's byte fallback does.
        struct Fallback;
        impl Decode for Fallback {
            fn decode(&self, ids: &[TokenId]) -> String {
                let bytes: Vec<u8> = ids.iter().map(|&id| id as u8).collect();
                String::from_utf8(bytes).unwrap_or_else(|_| "\u{fffd}".repeat(ids.len()))
            }
        }
        let ids: [TokenId; 4] = [0xc3, 0xa9, 0xff, 0x61];
        assert!(stream(&ids, &Fallback).concat().starts_with('é'));
    }

    #[test]
    fn endless_garbage_is_given_out_and_the_window_stays_small() {
        let ids = [[0xf0, 0x9f].repeat(500), [0xff].repeat(500), [0xe2, 0x82, 0xac].repeat(3)].concat();
        let mut detokenizer = Detokenizer::new();
        let mut text = String::new();
        for &id in &ids {
            text += &detokenizer.push(id, &Bytes);
            assert!(detokenizer.window.len() <= 2 * PENDING_MAX + 4);
        }
        assert_eq!(text, Bytes.decode(&ids));
    }

    proptest! {
        #[test]
        fn any_bytes_stream_to_the_decoded_text(ids in prop::collection::vec(prop_oneof![
            0u32..256, Just(0xc3), Just(0xa9), Just(0xf0), Just(0x9f), Just(0x99), Just(0x82), Just(300)
        ], 0..120)) {
            prop_assert_eq!(stream(&ids, &Bytes).concat(), Bytes.decode(&ids));
        }

        #[test]
        fn any_split_of_a_text_streams_whole_characters(text in "\\PC{0,40}", cuts in prop::collection::vec(1usize..5, 200)) {
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = left;
            }
            let ids: Vec<TokenId> = (0..pieces.len() as TokenId).collect();
            // No half character came out, for that would have been U+FFFD.
            prop_assert_eq!(stream(&ids, &Pieces(pieces)).concat(), text);
        }

        #[test]
        fn any_words_stream_to_the_decoded_text(ids in prop::collection::vec(0u32..9, 0..60)) {
            prop_assert_eq!(stream(&ids, &Words).concat(), Words.decode(&ids));
        }
    }
}
