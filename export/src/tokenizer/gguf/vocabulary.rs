//! The tokens of a GGUF file and what each is for.

use std::collections::HashMap;

use crate::Result;
use crate::checkpoint::gguf::GgufFile;
use crate::tokenizer::token_kind::TokenKind;

/// All tokens by id; their texts differ.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: Vec<&'a str>,
    pub(super) kinds: Vec<TokenKind>,
}

impl<'a> Vocabulary<'a> {
    pub(super) fn read(file: &'a GgufFile) -> Result<Self> {
        let key = "tokenizer.ggml.tokens";
        let tokens = file.texts(key)?.ok_or_else(|| file.error(format!("no `{key}`")))?;
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            if let Some(earlier) = ids.insert(*token, id) {
                return Err(file.error(format!("token {id} is `{token}`, as token {earlier} is")));
            }
        }
        let kinds = read_kinds(file, tokens.len())?;
        Ok(Self { tokens, kinds })
    }
}

fn read_kinds(file: &GgufFile, token_count: usize) -> Result<Vec<TokenKind>> {
    let key = "tokenizer.ggml.token_type";
    let Some(numbers) = file.numbers(key)? else { return Ok(vec![TokenKind::Normal; token_count]) };
    if numbers.len() != token_count {
        return Err(file.error(format!("`{key}` has {} entries, expected {token_count}", numbers.len())));
    }
    let kind = |&number: &f64| {
        let kind = TokenKind::numbered(number as i64);
        kind.ok_or_else(|| file.error(format!("`{key}` holds {number}, expected 1 to 6")))
    };
    numbers.iter().map(kind).collect()
}
