//! Where the numbers of a block lie.
//!
//! ```text
//! keys      [block][kv_head][head_dim][block_tokens]    a token is a column: lanes run over tokens, so a score needs
//!                                                       no sum across lanes
//! values    [block][kv_head][block_tokens][head_dim]    a token is a row: lanes run over the head
//! scales    [block][kv_head][block_tokens]              of keys and of values, where the type has them
//! ```

use super::Element;
use crate::attention::AttentionConfig;

/// Blocks whose numbers are stored as `E` says.
pub(crate) struct Pool<E: Element> {
    kv_heads: usize,
    head_dim: usize,
    block_tokens: usize,
    blocks: usize,
    keys: Vec<E::Code>,
    values: Vec<E::Code>,
    key_scales: Vec<f32>,
    value_scales: Vec<f32>,
}

impl<E: Element> Pool<E> {
    pub(crate) fn new(config: &AttentionConfig, blocks: usize) -> Self {
        let AttentionConfig { kv_heads, head_dim, block_tokens, .. } = *config;
        let tokens = blocks * kv_heads * block_tokens;
        let codes = || vec![E::Code::default(); tokens * head_dim];
        let scales = || vec![0.0; if E::IS_SCALED { tokens } else { 0 }];
        let (key_scales, value_scales) = (scales(), scales());
        Self { kv_heads, head_dim, block_tokens, blocks, keys: codes(), values: codes(), key_scales, value_scales }
    }

    pub(crate) fn assert_fit(&self, config: &AttentionConfig, blocks: usize) {
        let found = (self.kv_heads, self.head_dim, self.block_tokens);
        assert_eq!(found, (config.kv_heads, config.head_dim, config.block_tokens), "pages of this configuration");
        assert!(
            self.blocks >= blocks,
            "rows were checked against a pool of {blocks} blocks, this one has {}",
            self.blocks
        );
    }

    pub(crate) fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    pub(crate) fn key(&self, slot: usize, kv_head: usize) -> Vec<f32> {
        let scale = self.key_scale(slot, kv_head);
        self.key_column(slot, kv_head).map(|code| E::decode(*code, scale)).collect()
    }

    pub(crate) fn value(&self, slot: usize, kv_head: usize) -> Vec<f32> {
        let scale = self.value_scale(slot, kv_head);
        self.value_row(slot, kv_head).iter().map(|code| E::decode(*code, scale)).collect()
    }

    pub(crate) fn write(&mut self, slot: usize, kv_head: usize, key: &[f32], value: &[f32]) {
        let (key_scale, value_scale) = (E::scale(key), E::scale(value));
        let (token, offset) = (self.token(slot, kv_head), slot % self.block_tokens);
        if E::IS_SCALED {
            self.key_scales[token] = key_scale;
            self.value_scales[token] = value_scale;
        }
        let column = self.keys[(token - offset) * self.head_dim + offset..].iter_mut().step_by(self.block_tokens);
        column.zip(key).for_each(|(place, number)| *place = E::encode(*number, key_scale));
        let row = self.values[token * self.head_dim..].iter_mut();
        row.zip(value).for_each(|(place, number)| *place = E::encode(*number, value_scale));
    }

    /// Makes slot `to` hold what slot `from` holds, bit for bit.
    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        let (head_dim, block_tokens) = (self.head_dim, self.block_tokens);
        for kv_head in 0..self.kv_heads {
            let (source, target) = (self.token(from, kv_head), self.token(to, kv_head));
            if E::IS_SCALED {
                self.key_scales[target] = self.key_scales[source];
                self.value_scales[target] = self.value_scales[source];
            }
            self.values.copy_within(source * head_dim..(source + 1) * head_dim, target * head_dim);
            let column = |token, slot| (token - slot % block_tokens) * head_dim + slot % block_tokens;
            let (source, target) = (column(source, from), column(target, to));
            for row in 0..head_dim {
                self.keys[target + row * block_tokens] = self.keys[source + row * block_tokens];
            }
        }
    }

    /// Keys of a block and head, `[head_dim, block_tokens]`.
    #[inline(always)]
    pub(crate) fn key_block(&self, block: usize, kv_head: usize) -> &[E::Code] {
        &self.keys[self.start(block, kv_head) * self.head_dim..][..self.head_dim * self.block_tokens]
    }

    /// Values of a block and head, `[block_tokens, head_dim]`.
    #[inline(always)]
    pub(crate) fn value_block(&self, block: usize, kv_head: usize) -> &[E::Code] {
        &self.values[self.start(block, kv_head) * self.head_dim..][..self.head_dim * self.block_tokens]
    }

    /// Scales of a block's keys, `[block_tokens]`; nothing where the type has none.
    #[inline(always)]
    pub(crate) fn key_scales(&self, block: usize, kv_head: usize) -> &[f32] {
        self.scales(&self.key_scales, block, kv_head)
    }

    /// Scales of a block's values, `[block_tokens]`; nothing where the type has none.
    #[inline(always)]
    pub(crate) fn value_scales(&self, block: usize, kv_head: usize) -> &[f32] {
        self.scales(&self.value_scales, block, kv_head)
    }

    /// The codes of one slot's key.
    pub(crate) fn key_column(&self, slot: usize, kv_head: usize) -> impl Iterator<Item = &E::Code> {
        let (block, offset) = (slot / self.block_tokens, slot % self.block_tokens);
        self.key_block(block, kv_head)[offset..].iter().step_by(self.block_tokens)
    }

    /// The codes of one slot's value.
    #[inline(always)]
    pub(crate) fn value_row(&self, slot: usize, kv_head: usize) -> &[E::Code] {
        &self.values[self.token(slot, kv_head) * self.head_dim..][..self.head_dim]
    }

    /// The scale of one slot's key; 1 where the type has none.
    pub(crate) fn key_scale(&self, slot: usize, kv_head: usize) -> f32 {
        if E::IS_SCALED { self.key_scales[self.token(slot, kv_head)] } else { 1.0 }
    }

    /// The scale of one slot's value; 1 where the type has none.
    pub(crate) fn value_scale(&self, slot: usize, kv_head: usize) -> f32 {
        if E::IS_SCALED { self.value_scales[self.token(slot, kv_head)] } else { 1.0 }
    }

    #[inline(always)]
    fn scales<'a>(&self, scales: &'a [f32], block: usize, kv_head: usize) -> &'a [f32] {
        if E::IS_SCALED { &scales[self.start(block, kv_head)..][..self.block_tokens] } else { &[] }
    }

    /// Tokens before a block and head.
    #[inline(always)]
    fn start(&self, block: usize, kv_head: usize) -> usize {
        (block * self.kv_heads + kv_head) * self.block_tokens
    }

    /// Tokens before a slot's, under one head.
    #[inline(always)]
    fn token(&self, slot: usize, kv_head: usize) -> usize {
        self.start(slot / self.block_tokens, kv_head) + slot % self.block_tokens
    }
}
