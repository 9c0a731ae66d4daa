//! The bytes that each token adds to a text, for what reads a vocabulary byte by byte: grammars.
//!
//! Law: the bytes of a text's tokens one behind the other are the text. They need not be characters one by one, and they
//! do not depend on neighbours. Two families of vocabularies have such bytes: byte-level ones spell each byte as a
//! character (Radford et al. 2019, GPT-2), and SentencePiece's spell a space as `▁` and, where no piece fits, a byte as
//! `<0x0A>` (Kudo and Richardson 2018). What the latter's decoders strip from the beginning of a text counts as text
//! here, because a continuation begins in the middle.

use tokenizers::{Decoder, DecoderWrapper, Tokenizer};

use super::library;
use crate::{Error, Result, TokenId};

/// A text that no piece spans the end of, so that what follows it is encoded as in the middle of a text.
const BEFORE: &str = "\n";

/// Ids that there may be, gaps included: sixty times the largest vocabularies, and small enough to have a table of.
const MAX_SIZE: usize = 1 << 24;

/// The bytes of every id below the greatest, by id; empty for special tokens and for ids that no token has.
pub(super) fn token_bytes(tokenizer: &Tokenizer) -> Result<Vec<Vec<u8>>> {
    let decoder = tokenizer.get_decoder().ok_or_else(|| no_bytes("it has no decoder"))?;
    let mut spellings = Spellings::of(tokenizer)?;
    spellings.decode(decoder)?;
    Ok(spellings.into_bytes())
}

/// Token ids of a text that stands behind another: without the space that some tokenizers put before a text.
pub(super) fn encode_continuation(tokenizer: &Tokenizer, text: &str) -> Result<Vec<TokenId>> {
    let encode = |text: &str| Ok::<_, Error>(library::encode(tokenizer, text, false)?.get_ids().to_vec());
    let alone = encode(text)?;
    let before = encode(BEFORE)?;
    let adds_a_space = before.first().and_then(|&id| tokenizer.id_to_token(id)).is_some_and(|it| it.starts_with('▁'));
    if !adds_a_space {
        return Ok(alone);
    }
    let behind = encode(&format!("{BEFORE}{text}"))?;
    Ok(behind.strip_prefix(before.as_slice()).map_or(alone, <[TokenId]>::to_vec))
}

/// The tokens while decoders go over them. A token that has become bytes is not text any more.
struct Spellings {
    texts: Vec<String>,
    bytes: Vec<Option<Vec<u8>>>,
    fused: bool,
}

impl Spellings {
    fn of(tokenizer: &Tokenizer) -> Result<Self> {
        let vocabulary = tokenizer.get_vocab(true);
        let size = vocabulary.values().max().map_or(0, |&greatest| greatest as usize + 1);
        if size > MAX_SIZE {
            return Err(no_bytes(&format!("it has an id of {}, expected less than {MAX_SIZE}", size - 1)));
        }
        let mut spellings = Self { texts: vec![String::new(); size], bytes: vec![None; size], fused: false };
        for (text, id) in vocabulary {
            spellings.texts[id as usize] = text;
        }
        for (id, token) in tokenizer.get_added_tokens_decoder() {
            if token.special {
                spellings.texts[id as usize].clear();
            }
        }
        Ok(spellings)
    }

    fn decode(&mut self, decoder: &DecoderWrapper) -> Result<()> {
        match decoder {
            DecoderWrapper::Sequence(sequence) => {
                sequence.get_decoders().iter().try_for_each(|decoder| self.decode(decoder))
            }
            DecoderWrapper::ByteLevel(_) => self.decode_each(byte_level),
            DecoderWrapper::ByteFallback(_) => self.decode_each(byte_fallback),
            DecoderWrapper::Replace(_) | DecoderWrapper::Metaspace(_) => self.rewrite(decoder),
            DecoderWrapper::Fuse(_) => {
                self.fused = true;
                Ok(())
            }
            // It then touches the ends of a whole text alone.
            DecoderWrapper::Strip(_) if self.fused => Ok(()),
            DecoderWrapper::Strip(_) => Err(no_bytes("its decoder strips each token")),
            DecoderWrapper::WordPiece(_) | DecoderWrapper::BPE(_) | DecoderWrapper::CTC(_) => {
                Err(no_bytes("its decoder puts spaces between words"))
            }
        }
    }

    fn decode_each(&mut self, decode: impl Fn(&str) -> Option<Vec<u8>>) -> Result<()> {
        for (text, bytes) in self.texts.iter().zip(&mut self.bytes) {
            *bytes = bytes.take().or_else(|| decode(text));
        }
        Ok(())
    }

    /// Lets a decoder that treats tokens one by one go over all of them, behind one that is not theirs, because the
    /// first of a text may lose its space.
    fn rewrite(&mut self, decoder: &DecoderWrapper) -> Result<()> {
        let first = ".".to_owned();
        let texts: Vec<String> = std::iter::once(first).chain(self.texts.drain(..)).collect();
        let count = texts.len();
        let mut texts = library::guarded(|| decoder.decode_chain(texts)).map_err(Error::Tokenizer)?;
        if texts.len() != count {
            return Err(no_bytes("its decoder joins tokens"));
        }
        self.texts = texts.split_off(1);
        Ok(())
    }

    fn into_bytes(self) -> Vec<Vec<u8>> {
        self.texts.into_iter().zip(self.bytes).map(|(text, bytes)| bytes.unwrap_or(text.into_bytes())).collect()
    }
}

/// `None`, and so the spelling itself, where a character stands for no byte; as the decoder has it.
fn byte_level(spelling: &str) -> Option<Vec<u8>> {
    spelling.chars().map(byte_of).collect()
}

/// Printable characters of Latin-1 stand for themselves; the other bytes, in order, for the characters from U+0100 on.
fn byte_of(character: char) -> Option<u8> {
    let stands_for_itself = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u8::try_from(character) {
        Ok(byte) => Some(byte).filter(stands_for_itself),
        Err(_) => (0..=u8::MAX).filter(|byte| !stands_for_itself(byte)).nth((character as usize).checked_sub(0x100)?),
    }
}

/// The byte of a spelling like `<0x0A>`.
fn byte_fallback(spelling: &str) -> Option<Vec<u8>> {
    let digits = spelling.strip_prefix("<0x")?.strip_suffix('>')?;
    let byte = if digits.len() == 2 { u8::from_str_radix(digits, 16).ok()? } else { return None };
    Some(vec![byte])
}

fn no_bytes(reason: &str) -> Error {
    Error::Tokenizer(format!("its tokens have no bytes of their own: {reason}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn tokenizer(model: Value, before: Value, decoder: Value) -> Tokenizer {
        let added = |id: u32, content: &str, special: bool| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special})
        };
        let json = json!({"version": "1.0", "added_tokens": [added(0, "<s>", true), added(1, "call", false)],
            "pre_tokenizer": before, "decoder": decoder, "model": model});
        library::open(json.to_string().as_bytes()).unwrap()
    }

    fn added() -> Map<String, Value> {
        ["<s>", "call"].iter().enumerate().map(|(id, text)| ((*text).to_owned(), id.into())).collect()
    }

    /// A character that stands for a byte, by going the decoder's way back.
    fn spelled(byte: u8) -> char {
        (0..0x200).filter_map(char::from_u32).find(|&character| byte_of(character) == Some(byte)).unwrap()
    }

    fn byte_level_tokenizer() -> Tokenizer {
        let mut vocabulary: Map<String, Value> = added();
        for byte in 0..=u8::MAX {
            vocabulary.insert(spelled(byte).to_string(), (2 + u32::from(byte)).into());
        }
        vocabulary.insert("Ġt".to_owned(), 258.into());
        vocabulary.insert("Ã©".to_owned(), 259.into());
        let byte_level =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let model = json!({"type": "BPE", "vocab": vocabulary, "merges": ["Ġ t", "Ã ©"]});
        tokenizer(model, byte_level.clone(), byte_level)
    }

    /// Pieces of SentencePiece, with a byte for what they lack, under one of its two usual decoders.
    fn piece_tokenizer(decoder: Value) -> Tokenizer {
        let mut vocabulary: Map<String, Value> = added();
        for byte in 0..=u8::MAX {
            vocabulary.insert(format!("<0x{byte:02X}>"), (2 + u32::from(byte)).into());
        }
        for (index, piece) in ["▁", "t", "h", "e", "▁t", "th", "▁the"].iter().enumerate() {
            vocabulary.insert((*piece).to_owned(), (258 + index).into());
        }
        let merges = ["▁ t", "t h", "▁t h", "▁th e"];
        vocabulary.insert("▁th".to_owned(), 265.into());
        let model = json!({"type": "BPE", "byte_fallback": true, "vocab": vocabulary, "merges": merges});
        let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false});
        tokenizer(model, metaspace, decoder)
    }

    fn llama() -> Value {
        json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    }

    #[test]
    fn an_id_that_no_table_can_reach_is_refused() {
        let model = json!({"type": "BPE", "vocab": {"<s>": 0, "call": 1, "a": u32::MAX}, "merges": []});
        let error = token_bytes(&tokenizer(model, Value::Null, llama())).unwrap_err().to_string();
        assert!(error.ends_with("it has an id of 4294967295, expected less than 16777216"), "{error}");
    }

    fn joined(tokenizer: &Tokenizer, ids: &[TokenId]) -> Vec<u8> {
        let bytes = token_bytes(tokenizer).unwrap();
        ids.iter().flat_map(|&id| bytes[id as usize].clone()).collect()
    }

    #[test]
    fn each_kind_of_token_has_its_bytes() {
        let bytes = token_bytes(&byte_level_tokenizer()).unwrap();
        assert_eq!(bytes.len(), 260);
        assert_eq!([&bytes[0], &bytes[1], &bytes[258], &bytes[259]], [b"".as_slice(), b"call", b" t", "é".as_bytes()]);
        for decoder in [
            llama(),
            json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]}),
        ] {
            let bytes = token_bytes(&piece_tokenizer(decoder)).unwrap();
            let found = [&bytes[0], &bytes[1], &bytes[12], &bytes[0xc5], &bytes[258], &bytes[264]];
            assert_eq!(found, [b"".as_slice(), b"call", b"\n", b"\xc3", b" ", b" the"]);
        }
    }

    #[test]
    fn a_byte_level_vocabulary_spells_every_byte() {
        let bytes = token_bytes(&byte_level_tokenizer()).unwrap();
        assert!((0..=u8::MAX).all(|byte| bytes[2 + usize::from(byte)] == [byte]));
        assert_eq!([spelled(b' '), spelled(b'\n'), spelled(0x7f), spelled(0xad)], ['Ġ', 'Ċ', 'ġ', 'Ń']);
    }

    #[test]
    fn a_decoder_without_bytes_is_refused() {
        let check = |decoder: Value, expected: &str| {
            let error = token_bytes(&piece_tokenizer(decoder)).unwrap_err().to_string();
            assert_eq!(error, format!("tokenizer: its tokens have no bytes of their own: {expected}"));
        };
        check(Value::Null, "it has no decoder");
        check(json!({"type": "WordPiece", "prefix": "##", "cleanup": true}), "its decoder puts spaces between words");
        check(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}), "its decoder strips each token");
    }

    #[test]
    fn a_continuation_begins_without_a_space() {
        let tokenizer = piece_tokenizer(llama());
        let bytes_of = |text: &str| joined(&tokenizer, &encode_continuation(&tokenizer, text).unwrap());
        assert_eq!(joined(&tokenizer, library::encode(&tokenizer, "the", false).unwrap().get_ids()), b" the");
        assert_eq!(bytes_of("the"), b"the");
        assert_eq!(bytes_of(" the"), b" the");
        assert_eq!(bytes_of(""), b"");
    }

    proptest! {
        #[test]
        fn the_bytes_of_a_texts_tokens_are_the_text(text in "[\\PC&&[^▁]]{0,20}|[ the\n\u{e9}]{0,20}") {
            for tokenizer in [byte_level_tokenizer(), piece_tokenizer(llama())] {
                let ids = encode_continuation(&tokenizer, &text).unwrap();
                prop_assert_eq!(String::from_utf8(joined(&tokenizer, &ids)).unwrap(), text.as_str());
            }
        }
    }
}
