//! Keys and values of one layer, in blocks, in one of three types.
//!
//! A [`Pool`] is the layout, the same for all; an [`Element`] is how a row's numbers are stored in it. Kernels are
//! written once over both.

mod pool;
mod element;
mod kv_f32;
mod kv_f16;
mod kv_q8;
#[cfg(test)]
mod tests;

pub(super) use element::Element;
pub(super) use kv_f16::KvF16;
pub(super) use kv_f32::KvF32;
pub(super) use kv_q8::KvQ8;
pub(super) use pool::Pool;

use super::{AttentionConfig, KvType};

/// One layer's pool.
pub struct LayerPages(pub(super) Pools);

/// The pool, by type.
pub(super) enum Pools {
    F32(Pool<KvF32>),
    F16(Pool<KvF16>),
    Q8(Pool<KvQ8>),
}

/// The same expression for the pool of whatever type.
macro_rules! with_pool {
    ($pages:expr, $pool:ident => $result:expr) => {
        match $pages {
            $crate::attention::pages::Pools::F32($pool) => $result,
            $crate::attention::pages::Pools::F16($pool) => $result,
            $crate::attention::pages::Pools::Q8($pool) => $result,
        }
    };
}
pub(super) use with_pool;

impl LayerPages {
    /// Zeroes for `blocks` blocks. The operating system gives the memory as it is first written.
    pub fn new(config: &AttentionConfig, kv_type: KvType, blocks: usize) -> Self {
        Self(match kv_type {
            KvType::F32 => Pools::F32(Pool::new(config, blocks)),
            KvType::F16 => Pools::F16(Pool::new(config, blocks)),
            KvType::Q8 => Pools::Q8(Pool::new(config, blocks)),
        })
    }

    /// Key and value heads.
    pub fn kv_heads(&self) -> usize {
        with_pool!(&self.0, pool => pool.kv_heads())
    }

    /// The key of one slot and head as attention sees it, `[head_dim]`.
    pub fn key(&self, slot: usize, kv_head: usize) -> Vec<f32> {
        with_pool!(&self.0, pool => pool.key(slot, kv_head))
    }

    /// The value of one slot and head as attention sees it, `[head_dim]`.
    pub fn value(&self, slot: usize, kv_head: usize) -> Vec<f32> {
        with_pool!(&self.0, pool => pool.value(slot, kv_head))
    }

    /// Copies key and value of slots, bit for bit: `(from, to)` one after the other. Panics at a slot outside the pool.
    pub fn copy_slots(&mut self, copies: &[(usize, usize)]) {
        with_pool!(&mut self.0, pool => copies.iter().for_each(|&(from, to)| pool.copy(from, to)));
    }

    /// Panics unless the pages were made for `config` and have at least `blocks` blocks.
    pub(super) fn assert_fit(&self, config: &AttentionConfig, blocks: usize) {
        with_pool!(&self.0, pool => pool.assert_fit(config, blocks));
    }
}
