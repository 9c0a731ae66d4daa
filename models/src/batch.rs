//! One forward pass's input: the only place where the engine's block ids meet the model's pages.
//!
//! Rows of all sequences stand one behind the other; sequence `s` owns rows `query_starts[s]..query_starts[s + 1]`.
//! The first of them stands at position `context` = the number of tokens of that sequence already in the cache, and
//! the tokens before it are found through the block table: logical position `p` lives in slot
//! `block_tables[s][p / block_tokens] * block_tokens + p % block_tokens`.
//!
//! ```text
//! sequence        |---- s = 0 ----|s = 1|
//! token_ids        t5  t6  t7  t8   u2
//! positions         5   6   7   8    2        depth in the sequence; what the rotary embedding turns by
//! slot_mapping     21  22  23  48    8        where the row's K and V are written
//! query_starts      0               4     5
//! ```

/// A token's number in the vocabulary.
pub type TokenId = u32;

/// A block of the KV pool: `block_tokens` consecutive slots in every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// The output of an encoder over one source, which a model keeps until it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u64);

/// Rows for one forward pass. Lengths agree by construction in the engine; a model checks them once at its border.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// `[rows]`
    pub token_ids: Vec<TokenId>,
    /// `[rows]`: the token's depth in its sequence. In a chain each is one more than the last; siblings in a tree share one.
    pub positions: Vec<u32>,
    /// `[rows]`: the slot that takes the row's key and value.
    pub slot_mapping: Vec<u32>,
    /// One table a sequence, each as long as its cached context and new rows need, or longer.
    pub block_tables: Vec<Vec<BlockId>>,
    /// `[sequences + 1]`, first 0, last `rows`, strictly increasing.
    pub query_starts: Vec<u32>,
    /// What each sequence reads beside its own tokens, one a sequence, of a model with an encoder; empty for any other.
    pub sources: Vec<SourceId>,
    /// Which of its own sequence's new rows a row sees; `None` when every sequence is a chain.
    pub tree_mask: Option<TreeMask>,
    /// Rows whose logits are wanted, in the order wanted.
    pub logit_rows: Vec<u32>,
}

/// Ancestors among a sequence's new rows: `visible[row * width + j]` is true when the row sees the `j`-th new row of
/// its own sequence. A row sees itself, and its visible rows, in order, stand at consecutive positions from the
/// sequence's context on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeMask {
    /// At least the largest number of new rows of any sequence in the batch.
    pub width: usize,
    /// `[rows, width]`
    pub visible: Vec<bool>,
}

impl Batch {
    /// The number of rows of all sequences together.
    pub fn rows(&self) -> usize {
        self.token_ids.len()
    }
}
