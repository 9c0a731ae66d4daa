//! The border to the `tokenizers` crate, where its panics become errors.
//!
//! The crate trusts a `tokenizer.json` that it could parse: a post-processor that names a token it does not define, a
//! decoder that strips more than there is, or a normalizer that replaces the empty text make it panic, some of them only
//! when text arrives. Such a file is bad input like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::models::ModelWrapper;
use tokenizers::{Encoding, Tokenizer};

use crate::{Error, Result, TokenId};

/// Parses a `tokenizer.json` and switches off what training may have left on. The error is one line.
pub(super) fn open(json: &[u8]) -> Result<Tokenizer, String> {
    let mut tokenizer = guarded(|| Tokenizer::from_bytes(json))?;
    guarded(|| tokenizer.with_truncation(None).map(|_| ()))?;
    tokenizer.with_padding(None);
    if let ModelWrapper::BPE(model) = tokenizer.get_model()
        && model.dropout.is_some()
    {
        let mut model = model.clone();
        model.dropout = None;
        tokenizer.with_model(model);
    }
    Ok(tokenizer)
}

/// Encodes a text, with or without what the post-processor adds.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str, add_special_tokens: bool) -> Result<Encoding> {
    guarded(|| tokenizer.encode_fast(text, add_special_tokens))
        .map_err(|reason| Error::Tokenizer(format!("cannot encode the text: {reason}")))
}

/// Decodes ids; `None` where the decoder fails.
pub(super) fn decode(tokenizer: &Tokenizer, ids: &[TokenId], skip_special: bool) -> Option<String> {
    guarded(|| tokenizer.decode(ids, skip_special)).ok()
}

/// A panic leaves nothing half done: every call builds its result anew, and the crate skips a cache whose lock it cannot
/// take, a poisoned one included. The process's panic hook still writes its line to standard error.
pub(super) fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
        Err(_) => Err("`tokenizer.json` describes something that cannot work".to_owned()),
    }
}
