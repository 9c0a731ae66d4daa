//! What a token of a vocabulary is for.

/// A token's purpose, by the numbers that SentencePiece models and, in `tokenizer.ggml.token_type`, GGUF files use.
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

impl TokenKind {
    /// The kind of a number.
    pub(super) fn numbered(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Normal),
            2 => Some(Self::Unknown),
            3 => Some(Self::Control),
            4 => Some(Self::UserDefined),
            5 => Some(Self::Unused),
            6 => Some(Self::Byte),
            _ => None,
        }
    }
}
