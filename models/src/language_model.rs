//! The seam between the engine and whatever runs a forward pass.

use crate::{Batch, Error, Result, SourceId, TokenId};

/// The model's KV pool as the engine may hand it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSpec {
    /// Slots in a block.
    pub block_tokens: usize,
    /// Blocks in the pool.
    pub blocks: usize,
    /// Bytes of one block, keys and values of all layers.
    pub block_bytes: usize,
}

/// What batches a model takes; the scheduler plans within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows in one batch, at most.
    pub max_rows: usize,
    /// Tokens in one sequence, at most: the model's context length.
    pub context_length: usize,
    /// Sequences may have different numbers of rows in one batch.
    pub ragged: bool,
    /// [`Batch::tree_mask`] is understood.
    pub tree: bool,
    /// One block may stand in the tables of several sequences, and a slot keeps what was written to it.
    ///
    /// Without this, rows that begin before the end of what their sequence has in the cache end it there: what stood
    /// behind them is lost.
    pub share_blocks: bool,
    /// A row's logits have the same bits whatever other rows are in the batch.
    pub row_exact: bool,
}

/// What a model with an encoder takes as a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSpec {
    /// Tokens in one source, at most.
    pub source_length: usize,
    /// Tokens that there are: less than this.
    pub vocabulary: usize,
    /// A token has one meaning in sources and in sequences.
    pub shares_vocabulary: bool,
}

/// Scores before softmax for the rows asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logits {
    /// Columns of a row.
    pub vocabulary: usize,
    /// `[logit_rows, vocabulary]`, f32
    pub values: Vec<f32>,
}

impl Logits {
    /// The scores of the `index`-th row asked for, `[vocabulary]`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.vocabulary..][..self.vocabulary]
    }
}

/// A causal language model over a paged cache, by itself or the decoder behind an encoder.
///
/// With an encoder ([`encoder`](Self::encoder)) every sequence has a source: it is encoded once, any number of sequences
/// may name what came out, and batches name it for each of theirs ([`Batch::sources`]).
pub trait LanguageModel: Send {
    /// The pool that block ids in a batch point into.
    fn cache_spec(&self) -> CacheSpec;

    /// What batches [`forward`](Self::forward) takes.
    fn limits(&self) -> Limits;

    /// Columns of the logits.
    fn vocabulary(&self) -> usize;

    /// Runs one pass: writes every row's key and value to its slot and returns the logits of `batch.logit_rows`.
    ///
    /// After an error the slots of the batch hold unknown values; all others are as before.
    fn forward(&mut self, batch: &Batch) -> Result<Logits>;

    /// Makes slots hold the keys and values of others: `(from, to)`, one after the other, in every layer.
    ///
    /// Only models whose [`limits`](Self::limits) have `tree` or `share_blocks` are asked to.
    fn copy_slots(&mut self, copies: &[(u32, u32)]) -> Result<()>;

    /// What its encoder takes; `None` for a decoder by itself.
    fn encoder(&self) -> Option<EncoderSpec> {
        None
    }

    /// Runs the encoder over a source, at least one token, and keeps what decoding needs of it.
    ///
    /// What comes out does not depend on other sources.
    fn encode(&mut self, _source: &[TokenId]) -> Result<SourceId> {
        Err(Error::Batch("a source to be encoded by a model without an encoder".to_owned()))
    }

    /// Forgets an encoded source; no later batch names it.
    fn drop_source(&mut self, _source: SourceId) {}
}
