//! Keys and values of one layer, in blocks.
//!
//! ```text
//! keys    [block][kv_head][head_dim][block_tokens]    a token is a column: lanes run over tokens, so a score needs no
//!                                                     sum across lanes
//! values  [block][kv_head][block_tokens][head_dim]    a token is a row: lanes run over the head
//! ```

use super::AttentionConfig;

/// One layer's pool.
pub struct LayerPages {
    kv_heads: usize,
    head_dim: usize,
    block_tokens: usize,
    blocks: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl LayerPages {
    /// Zeroes for `blocks` blocks. The operating system gives the memory as it is first written.
    pub fn new(config: &AttentionConfig, blocks: usize) -> Self {
        let AttentionConfig { kv_heads, head_dim, block_tokens, .. } = *config;
        let numbers = blocks * kv_heads * head_dim * block_tokens;
        Self { kv_heads, head_dim, block_tokens, blocks, keys: vec![0.0; numbers], values: vec![0.0; numbers] }
    }

    /// Panics unless the pages were made for `config` and have at least `blocks` blocks.
    pub(super) fn assert_fit(&self, config: &AttentionConfig, blocks: usize) {
        let found = (self.kv_heads, self.head_dim, self.block_tokens);
        assert_eq!(found, (config.kv_heads, config.head_dim, config.block_tokens), "pages of this configuration");
        assert!(
            self.blocks >= blocks,
            "rows were checked against a pool of {blocks} blocks, this one has {}",
            self.blocks
        );
    }

    /// Key and value heads.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// The key of one slot and head, `[head_dim]`.
    pub fn key(&self, slot: usize, kv_head: usize) -> Vec<f32> {
        self.key_column(slot, kv_head).copied().collect()
    }

    /// The value of one slot and head, `[head_dim]`.
    pub fn value(&self, slot: usize, kv_head: usize) -> Vec<f32> {
        self.value_row(slot, kv_head).to_vec()
    }

    /// Keys of a block and head, `[head_dim, block_tokens]`.
    pub(crate) fn key_block(&self, block: usize, kv_head: usize) -> &[f32] {
        &self.keys[self.start(block, kv_head)..][..self.head_dim * self.block_tokens]
    }

    /// Values of a block and head, `[block_tokens, head_dim]`.
    pub(crate) fn value_block(&self, block: usize, kv_head: usize) -> &[f32] {
        &self.values[self.start(block, kv_head)..][..self.head_dim * self.block_tokens]
    }

    /// The numbers of one slot's key.
    pub(crate) fn key_column(&self, slot: usize, kv_head: usize) -> impl Iterator<Item = &f32> {
        let (block, offset) = self.place(slot);
        self.key_block(block, kv_head)[offset..].iter().step_by(self.block_tokens)
    }

    /// One slot's value.
    pub(crate) fn value_row(&self, slot: usize, kv_head: usize) -> &[f32] {
        let (block, offset) = self.place(slot);
        &self.value_block(block, kv_head)[offset * self.head_dim..][..self.head_dim]
    }

    pub(crate) fn write(&mut self, slot: usize, kv_head: usize, key: &[f32], value: &[f32]) {
        let (block, offset) = self.place(slot);
        let start = self.start(block, kv_head);
        let column = self.keys[start + offset..].iter_mut().step_by(self.block_tokens);
        column.zip(key).for_each(|(place, number)| *place = *number);
        self.values[start + offset * self.head_dim..][..self.head_dim].copy_from_slice(value);
    }

    pub(crate) fn place(&self, slot: usize) -> (usize, usize) {
        (slot / self.block_tokens, slot % self.block_tokens)
    }

    fn start(&self, block: usize, kv_head: usize) -> usize {
        (block * self.kv_heads + kv_head) * self.head_dim * self.block_tokens
    }
}
