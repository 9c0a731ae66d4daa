//! What can go wrong in the engine, by what the caller can do about it.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Messages are one line: what, found, expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting lies outside its range.
    #[error(transparent)]
    Setting(#[from] crate::InvalidSetting),
    /// There is nothing to continue.
    #[error("the prompt has no tokens, expected at least one")]
    EmptyPrompt,
    /// The model has an encoder, and the request nothing for it.
    #[error("no source is given, expected one, for the model has an encoder")]
    MissingSource,
    /// The model has no encoder.
    #[error("the request has a source of {found} tokens, expected none, for the model has no encoder")]
    UnexpectedSource {
        /// Tokens of the source.
        found: usize,
    },
    /// A source is empty or longer than the encoder takes.
    #[error("the source has {found} tokens, expected 1 to {most}")]
    SourceLength {
        /// Tokens of the source.
        found: usize,
        /// Tokens of a source, at most.
        most: usize,
    },
    /// A token of a source lies outside the encoder's vocabulary.
    #[error("token {found} at index {index} of the source is outside the vocabulary of {vocabulary}")]
    UnknownSourceToken {
        /// Where in it.
        index: usize,
        /// The token.
        found: u32,
        /// Tokens that there are.
        vocabulary: usize,
    },
    /// A request for no tokens.
    #[error("the request is for 0 new tokens, expected at least 1")]
    NothingWanted,
    /// The prompt leaves no room for a new token.
    #[error("the prompt has {found} tokens, but the model's context holds {context_length}, one of them new")]
    PromptTooLong {
        /// Tokens of the prompt.
        found: usize,
        /// Tokens of the context.
        context_length: usize,
    },
    /// The cache can never hold all tokens of the sequence, however idle the engine is.
    #[error(
        "prompt and new tokens, {tokens} together, need {needed} blocks of the KV cache, but it has {blocks}; \
         allow more memory or ask for fewer tokens"
    )]
    CacheTooSmall {
        /// Tokens of the prompt and new ones.
        tokens: usize,
        /// Blocks for them.
        needed: usize,
        /// Blocks of the pool.
        blocks: usize,
    },
    /// A text that is given as a whole does not fit the model's context.
    #[error("a window computes {found} tokens, but the model's context holds {context_length}")]
    WindowTooLong {
        /// Tokens of the window, those behind its last prediction apart.
        found: usize,
        /// Tokens of the context.
        context_length: usize,
    },
    /// A token of a prompt or window lies outside the vocabulary.
    #[error("token {found} at index {index} is outside the vocabulary of {vocabulary}")]
    UnknownToken {
        /// Where in it.
        index: usize,
        /// The token.
        found: u32,
        /// Tokens that there are.
        vocabulary: usize,
    },
    /// The bytes are not those of an n-gram model.
    #[error("not an n-gram model: {0}")]
    NgramModel(String),
    /// A token of a training text lies outside the vocabulary.
    #[error("training token {found} is outside the vocabulary of {vocabulary}")]
    TrainingToken {
        /// The token.
        found: u32,
        /// Tokens that there are.
        vocabulary: usize,
    },
    /// Grammars cannot be compiled for the model's vocabulary.
    #[error("the vocabulary does not serve grammars: {0}")]
    Vocabulary(String),
    /// A schema, an expression or a grammar that cannot be served.
    #[error("{kind}: {reason}")]
    Grammar {
        /// What it is: "JSON schema" ...
        kind: &'static str,
        /// What was found.
        reason: String,
    },
    /// A grammar refuses a token, or is too complex to go on with.
    #[error("the grammar fails behind {pushed} tokens: {reason}")]
    Constraint {
        /// Tokens of the text so far.
        pushed: usize,
        /// Why.
        reason: String,
    },
    /// The forward pass failed; no sequence changed.
    #[error(transparent)]
    Model(#[from] veridraft_models::Error),
}
