//! Tokens with a role of their own, as far as a GGUF file names them.

use crate::Result;
use crate::checkpoint::gguf::GgufFile;

/// Ids within the vocabulary; `None` where the file is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpecialTokens {
    /// Begins a text.
    pub(crate) bos: Option<u32>,
    /// Ends a text.
    pub(crate) eos: Option<u32>,
    /// Ends a turn of a conversation.
    pub(crate) end_of_turn: Option<u32>,
    /// Stands for what cannot be written.
    pub(crate) unknown: Option<u32>,
    /// Fills a batch.
    pub(crate) padding: Option<u32>,
    /// Begins a text of a masked model, which reads a text's class there.
    pub(crate) class: Option<u32>,
    /// Ends a text of a masked model.
    pub(crate) separator: Option<u32>,
    /// Stands for a token that a masked model is to find.
    pub(crate) mask: Option<u32>,
}

impl SpecialTokens {
    pub(crate) fn read(file: &GgufFile) -> Result<Self> {
        let tokens = file.texts("tokenizer.ggml.tokens")?.unwrap_or_default().len();
        let id = |key: &str| match file.count(key)? {
            Some(id) if id >= tokens => Err(file.error(format!("`{key}` is {id}, but there are {tokens} tokens"))),
            // A vocabulary has fewer tokens than a u32 can count: each takes at least 8 bytes of the file's head.
            Some(id) => Ok(u32::try_from(id).ok()),
            None => Ok(None),
        };
        Ok(Self {
            bos: id("tokenizer.ggml.bos_token_id")?,
            eos: id("tokenizer.ggml.eos_token_id")?,
            end_of_turn: id("tokenizer.ggml.eot_token_id")?,
            unknown: id("tokenizer.ggml.unknown_token_id")?,
            padding: id("tokenizer.ggml.padding_token_id")?,
            class: id("tokenizer.ggml.cls_token_id")?,
            // The format spells it so.
            separator: id("tokenizer.ggml.seperator_token_id")?,
            mask: id("tokenizer.ggml.mask_token_id")?,
        })
    }

    /// The tokens that end an answer, each once.
    pub(crate) fn end_tokens(&self) -> Vec<u32> {
        let turn = self.end_of_turn.filter(|_| self.end_of_turn != self.eos);
        self.eos.into_iter().chain(turn).collect()
    }
}
