//! Tokenizers whose tokens are letters or pairs of letters, so that text can be carried between two vocabularies.

use veridraft_engine::{Decode, Encode, Result};
use veridraft_models::TokenId;

/// Letters that there are: `a` to `l`.
const LETTERS: u32 = 12;

/// Every token is a letter, the first one `a`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Letters;

/// Every letter is a token, `shift` places away from where [`Letters`] has it; behind the letters come all pairs.
#[derive(Clone, Copy, Debug)]
pub struct LetterPairs {
    /// Token 0 is the letter so many places behind `a`.
    pub shift: u32,
}

impl LetterPairs {
    /// Tokens that there are.
    pub const VOCABULARY: usize = (LETTERS + LETTERS * LETTERS) as usize;

    fn letter(self, token: TokenId) -> char {
        letter((token + self.shift) % LETTERS)
    }

    fn token(self, letter: u8) -> TokenId {
        (index(letter) + LETTERS - self.shift % LETTERS) % LETTERS
    }
}

impl Decode for Letters {
    fn decode(&self, ids: &[TokenId]) -> String {
        ids.iter().map(|&id| letter(id)).collect()
    }
}

impl Encode for Letters {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        Ok(text.bytes().map(index).collect())
    }

    fn start(&self) -> Result<Vec<TokenId>> {
        Ok(Vec::new())
    }
}

impl Decode for LetterPairs {
    fn decode(&self, ids: &[TokenId]) -> String {
        let letters = |&id: &TokenId| match id.checked_sub(LETTERS) {
            None => vec![self.letter(id)],
            Some(pair) => vec![self.letter(pair / LETTERS), self.letter(pair % LETTERS)],
        };
        ids.iter().flat_map(letters).collect()
    }
}

impl Encode for LetterPairs {
    /// Two letters a token, from the left; a single letter is left over at the end, so more text changes the last token.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        let token = |letters: &[u8]| match *letters {
            [first, second] => LETTERS + self.token(first) * LETTERS + self.token(second),
            _ => self.token(letters[0]),
        };
        Ok(text.as_bytes().chunks(2).map(token).collect())
    }

    fn start(&self) -> Result<Vec<TokenId>> {
        Ok(vec![0])
    }
}

fn letter(index: u32) -> char {
    char::from(b'a' + index as u8)
}

fn index(letter: u8) -> u32 {
    u32::from(letter - b'a')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_vocabularies_spell_every_text() {
        for shift in [0, 5] {
            for text in ["", "a", "abcdefghijkl", "lka"] {
                let (letters, pairs) = (Letters.encode(text).unwrap(), LetterPairs { shift }.encode(text).unwrap());
                assert_eq!((Letters.decode(&letters), letters.len()), (text.to_owned(), text.len()));
                let decoded = LetterPairs { shift }.decode(&pairs);
                assert_eq!((decoded, pairs.len()), (text.to_owned(), text.len().div_ceil(2)));
                assert!(pairs.iter().all(|&token| (token as usize) < LetterPairs::VOCABULARY));
            }
        }
    }
}
