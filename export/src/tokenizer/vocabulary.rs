//! The tokens of a GGUF file and what each is for.

use std::collections::HashMap;

use crate::Result;
use crate::checkpoint::gguf::GgufFile;

/// A token's purpose, with the numbers that `tokenizer.ggml.token_type` uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// 1: a piece of text.
    Normal,
    /// 2: stands for what cannot be written.
    Unknown,
    /// 3: steers the model and is no text.
    Control,
    /// 4: text that is never split.
    UserDefined,
    /// 5: fills a gap.
    Unused,
    /// 6: a byte of a character that has no token.
    Byte,
}

/// All tokens by id; their texts differ.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: Vec<&'a str>,
    pub(super) kinds: Vec<TokenKind>,
    /// Token to id.
    pub(super) ids: HashMap<&'a str, u32>,
}

impl<'a> Vocabulary<'a> {
    pub(super) fn read(file: &'a GgufFile) -> Result<Self> {
        let key = "tokenizer.ggml.tokens";
        let tokens = file.texts(key)?.ok_or_else(|| file.error(format!("no `{key}`")))?;
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in (0..).zip(&tokens) {
            if let Some(earlier) = ids.insert(*token, id) {
                return Err(file.error(format!("token {id} is `{token}`, as token {earlier} is")));
            }
        }
        let kinds = read_kinds(file, tokens.len())?;
        Ok(Self { tokens, kinds, ids })
    }
}

fn read_kinds(file: &GgufFile, token_count: usize) -> Result<Vec<TokenKind>> {
    let key = "tokenizer.ggml.token_type";
    let Some(numbers) = file.numbers(key)? else { return Ok(vec![TokenKind::Normal; token_count]) };
    if numbers.len() != token_count {
        return Err(file.error(format!("`{key}` has {} entries, expected {token_count}", numbers.len())));
    }
    let kinds = numbers.iter().map(|&number| match number as i64 {
        1 => Ok(TokenKind::Normal),
        2 => Ok(TokenKind::Unknown),
        3 => Ok(TokenKind::Control),
        4 => Ok(TokenKind::UserDefined),
        5 => Ok(TokenKind::Unused),
        6 => Ok(TokenKind::Byte),
        other => Err(file.error(format!("`{key}` holds {other}, expected 1 to 6"))),
    });
    kinds.collect()
}
