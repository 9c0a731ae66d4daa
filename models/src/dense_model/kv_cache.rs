//! Keys and values of one sequence, as tensors that go into a pass and come out of it.
//!
//! In place, they are buffers of the whole capacity, bound as input and as output at once; a rejected token is simply
//! written over. Elsewhere each pass gives new tensors, a token longer for each row, that go into the next; rejected
//! tokens are cut off by a copy.

use ort::value::DynTensor;

use super::roles::Roles;
use crate::{Error, Result};

/// How a graph hands on keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KvUpdate {
    /// Into the buffer that they came from, as GroupQueryAttention can.
    InPlace,
    /// In new tensors.
    Concatenated,
}

/// The tensors of one sequence.
pub(super) struct KvCache {
    update: KvUpdate,
    /// Key and value of each layer in turn, `[1, kv_heads, tokens or capacity, head_dim]`.
    pub(super) tensors: Vec<DynTensor>,
    /// Tokens, from the first on, that were written.
    tokens: usize,
}

impl KvCache {
    /// Nothing yet, with room for `capacity` tokens.
    pub(super) fn new(roles: &Roles, update: KvUpdate, capacity: usize) -> ort::Result<Self> {
        let shape = |tokens| [1, roles.kv_heads, tokens, roles.head_dim];
        let tensor = |_| match update {
            KvUpdate::InPlace => roles.kv_float.unwritten(shape(capacity)),
            KvUpdate::Concatenated => roles.kv_float.empty(shape(0)),
        };
        let tensors = roles.kv.iter().map(tensor).collect::<ort::Result<_>>()?;
        Ok(Self { update, tensors, tokens: 0 })
    }

    /// Makes `context` tokens the last ones that are held; the caller promises that they are those it wrote.
    pub(super) fn go_back_to(&mut self, context: usize, roles: &Roles) -> Result<()> {
        if context > self.tokens {
            let held = self.tokens;
            return Err(Error::Batch(format!(
                "rows behind {context} tokens of a sequence, of which {held} are computed"
            )));
        }
        if self.update == KvUpdate::Concatenated && context < self.tokens {
            let cut = self.tensors.iter().map(|tensor| roles.kv_float.cut(tensor, context));
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
