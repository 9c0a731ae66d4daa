//! From text to tokens, for drafts that come from another tokenizer.

use veridraft_models::{TokenId, Tokenizer};

use crate::{Decode, Result};

/// A decoder that knows the way back. What it decodes need not encode to the same tokens again.
pub trait Encode: Decode {
    /// The tokens of a text, nothing added.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>>;

    /// The tokens that stand before every text, most often BOS or none.
    fn start(&self) -> Result<Vec<TokenId>>;
}

impl Encode for Tokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        Ok(self.encode_chat(text)?)
    }

    fn start(&self) -> Result<Vec<TokenId>> {
        Ok(self.encode_raw("")?)
    }
}
