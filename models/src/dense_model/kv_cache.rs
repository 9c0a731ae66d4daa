//! Keys and values of one sequence, as tensors that go into a pass and come out of it.
//!
//! In place, they are buffers of the whole capacity, bound as input and as output at once; a rejected token is simply
//! written over. Elsewhere each pass gives new tensors, a token longer for each row, that go into the next; rejected
//! tokens are cut off by a copy.

use ort::value::DynTensor;

use super::element::Float;
use crate::{Error, Result};

/// How a graph hands on keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KvUpdate {
    /// Into the buffer that they came from, as GroupQueryAttention can.
    InPlace,
    /// In new tensors.
    Concatenated,
}

/// The tensors that a sequence has.
#[derive(Clone, Copy, Debug)]
pub(super) struct KvLayout {
    /// Keys and values of all layers.
    pub(super) tensors: usize,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
    pub(super) float: Float,
}

/// The tensors of one sequence.
pub(super) struct KvCache {
    update: KvUpdate,
    layout: KvLayout,
    /// Key and value of each layer in turn, `[1, kv_heads, tokens or capacity, head_dim]`.
    pub(super) tensors: Vec<DynTensor>,
    /// Tokens, from the first on, that were written.
    tokens: usize,
}

impl KvCache {
    /// Nothing yet, with room for `capacity` tokens.
    pub(super) fn new(layout: KvLayout, update: KvUpdate, capacity: usize) -> ort::Result<Self> {
        let shape = |tokens| [1, layout.heads, tokens, layout.head_dim];
        let tensor = |_| match update {
            KvUpdate::InPlace => layout.float.unwritten(shape(capacity)),
            KvUpdate::Concatenated => layout.float.empty(shape(0)),
        };
        let tensors = (0..layout.tensors).map(tensor).collect::<ort::Result<_>>()?;
        Ok(Self { update, layout, tensors, tokens: 0 })
    }

    /// Makes `context` tokens the last ones that are held; the caller promises that they are those it wrote.
    pub(super) fn go_back_to(&mut self, context: usize) -> Result<()> {
        if context > self.tokens {
            let held = self.tokens;
            return Err(Error::Batch(format!(
                "rows behind {context} tokens of a sequence, of which {held} are computed"
            )));
        }
        if self.update == KvUpdate::Concatenated && context < self.tokens {
            let cut = self.tensors.iter().map(|tensor| self.layout.float.cut(tensor, context));
            self.tensors = cut.collect::<ort::Result<_>>().map_err(Error::runtime)?;
            self.tokens = context;
        }
        Ok(())
    }

    /// Takes note that a pass wrote tokens up to `end`.
    pub(super) fn wrote(&mut self, end: usize) {
        // In place, tokens written before and behind these are as they were.
        self.tokens = if self.update == KvUpdate::InPlace { self.tokens.max(end) } else { end };
    }
}
